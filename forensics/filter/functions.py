"""The functions of the display filter: one table, like that of the fields.

NaN and absent values are left out before a function sees them; of nothing, a function makes nothing, and
`count` makes 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.closeness import cosine, distance, dots

Array = NDArray[Any]


class Parameter(msgspec.Struct, frozen=True):
    """A number that a function is given beside the value."""

    name: str
    low: float
    """The least that it may be."""
    high: float
    """The most."""


class Function(msgspec.Struct, frozen=True):
    """One function."""

    name: str
    takes: Literal["number", "text", "tensor", "any"]
    gives: Literal["number", "text"]
    reduces: bool
    """True when it makes one value of several; False when it makes one of each."""
    help: str
    example: str
    """A filter that uses it; run by the tests and printed in the docs."""
    words: str
    """In a sentence, before what it is applied to."""
    of: Callable[..., Array]
    """Cells, absent where NaN or, in an array of objects, None. If it reduces: (cell, …), float64 or objects,
    with a cell or more, to (…); if it takes tensors: (…, d_model) to (…), in float64; otherwise any shape to
    the same."""
    nothing: float | None = None
    """What it makes of no value at all; None: nothing."""
    keeps_one: bool = False
    """True when of one cell it makes that cell."""
    whole: bool = False
    """True when what it makes is a whole number."""
    signature: str = ""
    """How it is written, where that is not its name and one value."""
    place: bool = False
    """True when it searches along one axis: `of` gives the place of a cell, and the value is the layer, head
    or token there."""
    constants: tuple[Parameter, ...] = ()
    """Numbers that are typed behind the value."""
    tensors: int = 1
    """How many tensors it takes, if any."""
    corpus: bool = False
    """True when all traces have a say in it: `values.corpus` makes it, and `of` is not used."""


def _present(cells: Array) -> Array:
    there: Array = np.asarray(cells != None) if cells.dtype == object else ~np.isnan(cells)  # noqa: E711
    return there


def _each(make: Callable[[Any], Any], kind: Any) -> Callable[[Array], Array]:
    """A function of one text, for arrays of them."""
    nothing = np.nan if kind is np.float64 else None

    def of(cells: Array) -> Array:
        made = np.empty(cells.size, dtype=kind)
        made[:] = [nothing if cell is None else make(cell) for cell in cells.ravel()]
        return made.reshape(cells.shape)

    return of


def _sum(cells: Array) -> Array:
    present = _present(cells)
    total = np.where(present, cells, 0.0).sum(axis=0)
    sums: Array = np.where(present.any(axis=0), total, np.nan)
    return sums


def _mean(cells: Array) -> Array:
    means: Array = np.divide(_sum(cells), _present(cells).sum(axis=0))
    return means


def _std(cells: Array) -> Array:
    present = _present(cells)
    squares = np.where(present, (cells - _mean(cells)) ** 2, 0.0)  # NaN for an infinite cell, and then in all
    deviations: Array = np.sqrt(np.divide(squares.sum(axis=0), present.sum(axis=0)))
    return deviations


def _median(cells: Array) -> Array:
    ordered = np.sort(cells, axis=0)  # NaN last
    count = _present(cells).sum(axis=0, keepdims=True)
    middle = (np.maximum(count - 1, 0) // 2, count // 2)
    low, high = (np.take_along_axis(ordered, at, axis=0)[0] for at in middle)
    medians: Array = np.where(low == high, low, (low + high) / 2)  # two infinities are one, not their mean
    return medians


def _quantile(cells: Array, share: float) -> Array:
    """Between two neighbours in proportion, as numpy's; that makes NaN of some where one is infinite."""
    if not len(cells):
        return np.full(cells.shape[1:], np.nan)
    ordered = np.sort(cells, axis=0)  # NaN last
    last = np.maximum(_present(cells).sum(axis=0) - 1, 0)
    low = np.floor(share * last).astype(np.intp)
    above = share * last - low
    below, over = (np.take_along_axis(ordered, at[None], 0)[0] for at in (low, np.minimum(low + 1, last)))
    with np.errstate(invalid="ignore"):
        between = below * (1 - above) + over * above
    quantiles: Array = np.where((above == 0) | (below == over), below, between)
    return quantiles


def _entropy(cells: Array) -> Array:
    total = _sum(cells)
    shares = cells / total
    terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    fine = (total > 0) & np.isfinite(total) & ~(cells < 0).any(axis=0)
    entropies: Array = np.where(fine, np.maximum(-terms.sum(axis=0), 0.0), np.nan)
    return entropies


def _argument(best: Any) -> Callable[[Array], Array]:
    """The place of the first cell that is the best one; NaN where there is none."""

    def of(cells: Array) -> Array:
        found = cells == best.reduce(cells, axis=0)
        places = np.full(cells.shape[1:], np.nan)
        for place in reversed(range(len(cells))):  # the first is written last; many traces at a time
            np.copyto(places, place, where=found[place])
        return places

    return of


def _length(vectors: Array) -> Array:
    lengths: Array = np.sqrt(dots(vectors, vectors))
    return lengths


def _number(
    name: str, help: str, example: str, words: str, of: Any, keeps_one: bool = True, **more: Any
) -> Function:
    return Function(name, "number", "number", True, help, example, words, of, keeps_one=keeps_one, **more)


def _corpus(name: str, help: str, example: str, words: str) -> Function:
    return Function(name, "number", "number", False, help, example, words, lambda cells: cells, corpus=True)


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        _number(
            "max", "the largest value", "max(resid_post.norm#20) > 900", "largest",
            lambda cells: np.fmax.reduce(cells, axis=0),
        ),
        _number(
            "min", "the smallest value", "min(attn.entropy#5[-1]) < 0.1", "smallest",
            lambda cells: np.fmin.reduce(cells, axis=0),
        ),
        _number(
            "mean",
            "the arithmetic mean; that of attention fields is over heads first, and absent where a head's is",
            "mean(attn.entropy#12[-1]) < 1", "mean", _mean,
        ),
        _number("median", "the middle value", "median(resid_post.norm#20) > 100", "median", _median),
        _number("sum", "the sum", "sum(attn.sink#3:0) > 20", "sum of", _sum),
        _number(
            "std", "the standard deviation (of the values as a whole, not an estimate)",
            "std(resid_post.norm[-1]) > 30", "standard deviation of", _std, keeps_one=False,
        ),
        Function(
            "abs", "number", "number", False, "the value without its sign", "abs(next.p) > 0.5",
            "magnitude of", np.abs,
        ),
        Function(
            "count", "any", "number", True, "how many values there are", "count(expert.code) >= 2",
            "number of values of", lambda cells: _present(cells).sum(axis=0).astype(np.float64), nothing=0.0,
            whole=True,
        ),
        _number(
            "quantile", "the value below which a share of the values lies, between two of them in proportion",
            "quantile(resid_post.norm#20, 0.9) > 200", "quantile", _quantile,
            constants=(Parameter("share", 0.0, 1.0),),
        ),
        _number(
            "entropy", "in nats, of the values taken as shares of their sum; none where one is negative",
            "entropy(attn.sink#12[-1]) > 2", "entropy of", _entropy, keeps_one=False,
        ),
        _number(
            "argmax", "the layer, head or token at which the value is largest, along the one that is open",
            "argmax(resid_post.norm[-1]) < 20", "place of the largest", _argument(np.fmax), keeps_one=False,
            place=True, whole=True,
        ),
        _number(
            "argmin", "the same of the smallest", "argmin(attn.entropy#12[-1]) == 3", "place of the smallest",
            _argument(np.fmin), keeps_one=False, place=True, whole=True,
        ),
        Function(
            "norm", "tensor", "number", False, "the length (L2) of each vector",
            "norm(resid_post#12[-1]) > 90", "length of", _length,
        ),
        Function(
            "cos", "tensor", "number", False, "the cosine between the vectors of two tensors",
            "cos(resid_post#2[-1], resid_post#1[-1]) > 0.9", "cosine between", cosine, tensors=2,
        ),
        Function(
            "dist", "tensor", "number", False, "the distance (L2) between the vectors of two tensors",
            "dist(resid_post#2[-1], resid_post#1[-1]) < 5", "distance between",
            distance, tensors=2,
        ),
        Function(
            "len", "text", "number", False, "how many characters a text has", "len(prompt) > 200",
            "length of", _each(len, np.float64), whole=True,
        ),
        Function(
            "lower", "text", "text", False, "the text in small letters", 'lower(prompt) contains "password"',
            "lower-case", _each(str.lower, object),
        ),
        Function(
            "upper", "text", "text", False, "the text in capitals", 'upper(label.category) == "CODE"',
            "upper-case", _each(str.upper, object),
        ),
        _corpus(
            "zscore",
            "how many standard deviations above the mean of all traces, or of those of `over=FILTER`, per"
            " layer and head, of one token",
            'zscore(resid_post.norm#12[-1], over=label.split == "train") > 3', "z-score of",
        ),
        _corpus(
            "rank", "the place among all traces, 1 for the largest; equal ones share the smaller number",
            "rank(resid_post.norm#12[-1]) <= 10", "rank of",
        ),
        Function(
            "similar_to", "any", "number", False,
            "cosine of the angle between a vector of each trace and that of the named one",
            'similar_to("#7", resid_post, 12, -1) > 0.9', "likeness to a trace of", np.asarray,
            signature="similar_to(trace, site, layer, token)",
        ),
    )
}  # fmt: skip
"""Name -> function."""

PREDICATES = {"has": "whether there is any value"}
"""Functions that are true or false, which the checker knows itself -> what they say."""


def begins(word: str) -> bool:
    """True when a function may still be typed out of `word`."""
    return any(name.startswith(word) for name in (*FUNCTIONS, *PREDICATES))
