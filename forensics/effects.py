"""How far apart two groups of numbers are, and how sure one can be of it.

    difference   mean(a) - mean(b)
    d            Cohen's d: the difference over the pooled standard deviation (divisor n_a + n_b - 2); its
                 interval is d +- z sqrt((n_a + n_b) / (n_a n_b) + d^2 / (2 (n_a + n_b)))
                 (Hedges and Olkin 1985, Statistical Methods for Meta-Analysis, chapter 5)
    auroc        P(a > b) + P(a = b) / 2, the Mann-Whitney U over n_a n_b; its interval is DeLong's: the
                 variances of the placements of each group among the other (DeLong, DeLong and Clarke-Pearson
                 1988, Biometrics 44:837). Where these have no spread, as when the groups do not overlap,
                 it would have no width; it is Newcombe's then (2006, Statistics in Medicine 25:559, method 5)
    p            Mann-Whitney, two-sided: exact where one group has at most 8 values, the other at most 2048
                 over that, and none are equal, else normal with correction for ties and for continuity
    p_holm       p after Holm (1979, Scandinavian Journal of Statistics 6:65), over all comparisons made

All intervals are at 95 %. p and the intervals take traces for independent; traces of one prompt are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.groups import Floats, Key, finite

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""
FEW = 8
"""Values up to which the exact distribution of U is used."""

Interval = tuple[float, float]


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One expression in two groups. What cannot be said of the values there are is None."""

    a: list[Key]
    b: list[Key]
    expression: str
    n_a: int
    """Traces of `a` with a value."""
    n_b: int
    difference: float | None
    """Mean of `a` less mean of `b`."""
    d: float | None
    d_interval: Interval | None
    auroc: float | None
    """Above one half: the values of `a` are the larger ones."""
    auroc_interval: Interval | None
    auroc_method: str
    """Of the interval: `DeLong`, `Newcombe`, or empty."""
    p: float | None
    p_method: str
    """`exact`, `normal`, or empty."""
    p_holm: float | None = None
    shared_prompts: int | None = None
    """Prompts that traces of both groups have; None where that was not looked for."""


def contrasts(expression: str, keys: Sequence[list[Key]], parts: Sequence[Floats]) -> list[Contrast]:
    """Every pair of groups, of their numbers, each group's sorted and without NaN. `p_holm` is left out."""
    places = Placements(parts)
    return [_contrast(expression, keys, parts, places, a, b) for a, b in combinations(range(len(parts)), 2)]


def _contrast(
    expression: str, keys: Sequence[list[Key]], parts: Sequence[Floats], places: Placements, a: int, b: int
) -> Contrast:
    n_a, n_b = len(parts[a]), len(parts[b])
    d = cohen(places.moments[a], places.moments[b])
    auroc, interval, method = places.auroc(a, b)
    p, test = places.p(a, b)
    with np.errstate(invalid="ignore"):
        difference = finite(places.moments[a].mean - places.moments[b].mean)
    return Contrast(
        a=keys[a],
        b=keys[b],
        expression=expression,
        n_a=n_a,
        n_b=n_b,
        difference=difference,
        d=d,
        d_interval=None if d is None else cohen_interval(d, n_a, n_b),
        auroc=auroc,
        auroc_interval=interval,
        auroc_method=method,
        p=p,
        p_method=test,
    )


class Moments(msgspec.Struct, frozen=True):
    """Of one group; NaN where there is none."""

    count: int
    mean: float
    squares: float
    """Sum of the squared distances from the mean."""

    @classmethod
    def of(cls, part: Floats) -> Moments:
        """Of the numbers of a group."""
        if not len(part):
            return cls(0, math.nan, math.nan)
        with np.errstate(invalid="ignore"):
            mean = float(part.mean())
            return cls(len(part), mean, float(((part - mean) ** 2).sum()))


def cohen(a: Moments, b: Moments) -> float | None:
    """Cohen's d; None with fewer than three values, no spread, or an infinite value."""
    freedom = a.count + b.count - 2
    if not a.count or not b.count or freedom < 1:
        return None
    pooled = math.sqrt((a.squares + b.squares) / freedom)
    return None if not pooled or not math.isfinite(pooled) else (a.mean - b.mean) / pooled


def cohen_interval(d: float, n_a: int, n_b: int) -> Interval:
    """At 95 %, for large samples; see the top of this file."""
    reach = Z * math.sqrt((n_a + n_b) / (n_a * n_b) + d * d / (2 * (n_a + n_b)))
    return d - reach, d + reach


class Placements:
    """Where the numbers of each group stand among those of the others: all pairs from one sort.

    `parts` are sorted. The share of group b below each number that there is in any group (and half of the
    share at it) is one running sum; the placements of group a are that sum, read at a's numbers.
    """

    def __init__(self, parts: Sequence[Floats]) -> None:
        self.parts = parts
        self.moments = [Moments.of(part) for part in parts]
        self._ids, self._distinct = _identities(parts)
        self._tied = self._tied_counts()
        self._spread = [self._placed_in(b) for b in range(len(parts))]
        """b -> for each group (mean, sample variance) of its placements in b."""

    def auroc(self, a: int, b: int) -> tuple[float | None, Interval | None, str]:
        """AUROC of a over b, its interval at 95 %, and whose that is."""
        n_a, n_b = len(self.parts[a]), len(self.parts[b])
        if not n_a or not n_b:
            return None, None, ""
        area, of_a = self._spread[b][a]
        _, of_b = self._spread[a][b]
        if n_a > 1 and n_b > 1 and (variance := of_a / n_a + of_b / n_b) > 0:
            reach = Z * math.sqrt(variance)
            return area, (max(0.0, area - reach), min(1.0, area + reach)), "DeLong"
        return area, newcombe(area, n_a, n_b), "Newcombe"

    def p(self, a: int, b: int) -> tuple[float | None, str]:
        """Two-sided p of Mann and Whitney's test, and how it was found."""
        n_a, n_b = len(self.parts[a]), len(self.parts[b])
        if not n_a or not n_b:
            return None, ""
        u = self._spread[b][a][0] * n_a * n_b
        together = self._tied[a] + self._tied[b]
        ties = float((together.astype(np.float64) ** 3 - together).sum())
        if min(n_a, n_b) <= FEW and not ties and n_a * n_b <= _EXACT:
            return exact_p(round(u), n_a, n_b), "exact"
        return normal_p(u, n_a, n_b, ties), "normal"

    def _placed_in(self, b: int) -> list[tuple[float, float]]:
        count = len(self.parts[b])
        if not count:
            return [(math.nan, math.nan)] * len(self.parts)
        at = np.bincount(self._ids[b], minlength=self._distinct)
        shares = np.cumsum(at) - at / 2
        shares /= count
        placed = []
        for ids in self._ids:
            among = shares[ids]
            mean = float(among.mean()) if len(ids) else math.nan
            placed.append((mean, float(among.var(ddof=1)) if len(ids) > 1 else math.nan))
        return placed

    def _tied_counts(self) -> NDArray[np.int64]:
        """(group, number that is there more than once): how often each group has it."""
        counts = [np.bincount(ids, minlength=self._distinct) for ids in self._ids]
        tied = np.flatnonzero(sum(counts, np.zeros(self._distinct, np.int64)) > 1)
        return np.array([count[tied] for count in counts]).reshape(len(counts), len(tied))


_EXACT = 2048
"""Product of the sizes up to which the exact distribution is worth its time and memory."""


def _identities(parts: Sequence[Floats]) -> tuple[list[NDArray[np.int64]], int]:
    """For each sorted part the ranks of its numbers among the different ones of all; how many these are."""
    joined = np.concatenate(parts) if parts else np.empty(0)
    order = np.argsort(joined, kind="stable")  # merges the runs that the parts are
    values = joined[order]
    ids = np.empty(len(joined), np.int64)
    if len(joined):
        ids[order] = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])
    bounds = np.cumsum([len(part) for part in parts])[:-1]
    return np.split(ids, bounds), int(ids.max()) + 1 if len(ids) else 0


def newcombe(area: float, n_a: int, n_b: int) -> Interval:
    """The areas A from which `area` is at most Z standard errors away, the error being that at A."""
    near = (n_a + n_b) / 2 - 1

    def beyond(true: float) -> bool:
        spread = 1 + near * ((1 - true) / (2 - true) + true / (1 + true))
        return abs(true - area) > Z * math.sqrt(true * (1 - true) * spread / (n_a * n_b))

    def edge(outer: float) -> float:
        inside, outside = area, outer
        if not beyond(outer):
            return outer
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
        return inside

    return edge(0.0), edge(1.0)


def normal_p(u: float, n_a: int, n_b: int, ties: float) -> float:
    """Two-sided p of U with the normal distribution; `ties` is the sum of t^3 - t over equal numbers."""
    count = n_a + n_b
    if count < 2:
        return 1.0
    variance = n_a * n_b / 12 * (count + 1 - ties / (count * (count - 1)))
    distance = abs(u - n_a * n_b / 2) - 0.5
    if variance <= 0 or distance <= 0:
        return 1.0
    return min(1.0, math.erfc(distance / math.sqrt(2 * variance)))


def exact_p(u: int, n_a: int, n_b: int) -> float:
    """Two-sided p of U when no two numbers are equal: twice the smaller tail, at most 1."""
    few, many = sorted((n_a, n_b))
    # shares[m]: the distribution of U for (n, m), from (n - 1, m) moved by m and (n, m - 1), by the largest
    shares = [np.ones(1) for _ in range(many + 1)]
    for n in range(1, few + 1):
        row = [np.ones(1)]
        for m in range(1, many + 1):
            new = np.zeros(n * m + 1)
            new[m:] += shares[m] * (n / (n + m))
            new[: len(row[m - 1])] += row[m - 1] * (m / (n + m))
            row.append(new)
        shares = row
    tail = min(u, n_a * n_b - u)
    return float(min(1.0, 2 * shares[many][: tail + 1].sum()))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjusted p of tests made together; None stays None and is not counted."""
    known = sorted((p, at) for at, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    most = 0.0
    for before, (p, at) in enumerate(known):
        most = max(most, min(1.0, p * (len(known) - before)))
        adjusted[at] = most
    return adjusted
