"""Two traces side by side: tokens in common columns, how far apart the states are, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tensorshark.forensics.compare import Distance, align, distance, first_apart
from tensorshark.traces.sites import DEFAULT_SITES, SITES
from tensorshark.traces.trace import Trace

TOLERANCE = 1e-4
"""States whose difference is shorter than this share of their length count as the same."""


@dataclass(frozen=True)
class Column:
    """One column: a token of the one trace, of the other, or of both."""

    a: int | None
    """Position in the first trace."""
    b: int | None
    """Position in the second trace."""
    pair: int
    """Index among the aligned pairs; -1 where the tokens differ or one side has none."""


@dataclass(frozen=True)
class Comparison:
    """One site of two traces."""

    columns: tuple[Column, ...]
    """All tokens of both, in order."""
    pairs: tuple[tuple[int, int], ...]
    """Positions of the aligned tokens in both."""
    layers: tuple[int, ...]
    distances: tuple[Distance, ...]
    """Per layer, of the aligned pairs (pair,)."""


@dataclass(frozen=True)
class Parting:
    """Where the states of two traces first differ, reading tokens first, then layers and sites."""

    token: int
    """Position in the first trace."""
    layer: int
    site: str
    share: float
    """The difference's length over the longer state's."""


def refusal(a: Trace, b: Trace) -> str:
    """Why two traces cannot be compared, in words; empty when they can."""
    if a.model.fingerprint != b.model.fingerprint:
        return (
            f"{a.model.name} and {b.model.name} are different models: their dimensions mean different things."
        )
    unlike = [site for site in DEFAULT_SITES if _shape(a, site) != _shape(b, site)]
    if unlike:
        return f"{', '.join(unlike)} was not captured alike in both: layers or types differ."
    if not any(site in a.sites for site in DEFAULT_SITES):
        return "Neither trace has states to compare."
    return ""


def compare(a: Trace, b: Trace, site: str) -> Comparison:
    """Align the tokens and measure one site. Raises IntegrityError where a trace is damaged."""
    pairs = align(a.token_ids, b.token_ids)
    layers = a.sites[site].layers if site in a.sites else []
    left, right = [i for i, _ in pairs], [j for _, j in pairs]
    names = [SITES[site].at(layer) for layer in layers]
    distances = [distance(a.load(name)[left], b.load(name)[right]) for name in names]
    return Comparison(
        tuple(columns(pairs, len(a.tokens), len(b.tokens))), tuple(pairs), tuple(layers), tuple(distances)
    )


def parting(a: Trace, b: Trace) -> Parting | None:
    """Where the states of aligned tokens first differ by more than TOLERANCE; None when they nowhere do."""
    pairs = align(a.token_ids, b.token_ids)
    steps = sorted(
        (layer, DEFAULT_SITES.index(name))
        for name in DEFAULT_SITES
        if name in a.sites
        for layer in a.sites[name].layers
    )
    if not pairs or not steps:
        return None
    left, right = [i for i, _ in pairs], [j for _, j in pairs]
    names = [SITES[DEFAULT_SITES[site]].at(layer) for layer, site in steps]
    relative = np.stack(
        [distance(a.load(name)[left], b.load(name)[right]).relative for name in names], axis=1
    )
    apart = first_apart(relative, TOLERANCE)  # of (pair, step)
    if apart is None:
        return None
    layer, site = steps[apart[1]]
    return Parting(pairs[apart[0]][0], layer, DEFAULT_SITES[site], float(relative[apart]))


def columns(pairs: Sequence[tuple[int, int]], length_a: int, length_b: int) -> list[Column]:
    """Aligned tokens in one column each; between them the others, those of both sides side by side."""
    found: list[Column] = []
    i = j = 0
    for index, (next_i, next_j) in enumerate([*pairs, (length_a, length_b)]):
        while i < next_i or j < next_j:
            found.append(Column(i if i < next_i else None, j if j < next_j else None, -1))
            i, j = min(i + 1, next_i), min(j + 1, next_j)
        if index < len(pairs):
            found.append(Column(i, j, index))
            i, j = i + 1, j + 1
    return found


def _shape(trace: Trace, site: str) -> tuple[object, ...]:
    stored = trace.sites.get(site)
    return (tuple(stored.layers), stored.dtype) if stored else ()
