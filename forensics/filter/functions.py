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

Floats = NDArray[Any]
"""float32 or float64."""


class Function(msgspec.Struct, frozen=True):
    """One function."""

    name: str
    takes: Literal["number", "text", "any"]
    gives: Literal["number", "text"]
    reduces: bool
    """True when it makes one value of several; False when it makes one of each."""
    help: str
    example: str
    """A filter that uses it; run by the tests and printed in the docs."""
    words: str
    """In a sentence, before what it is applied to."""
    of: Callable[[Any], Any]
    """A non-empty float64 array (reducing numbers), a non-empty list (`any`), or one value, to one value."""
    nothing: Any = None
    """What it makes of no value at all; None: nothing."""
    cells: Callable[[Floats], Floats] | None = None
    """The same for float64 (cell, trace), NaN where absent: (trace,), or (cell, trace) unless it reduces."""


def _sum(cells: Floats) -> Floats:
    present = ~np.isnan(cells)
    total = np.where(present, cells, 0.0).sum(axis=0)
    sums: Floats = np.where(present.any(axis=0), total, np.nan)
    return sums


def _mean(cells: Floats) -> Floats:
    means: Floats = np.divide(_sum(cells), (~np.isnan(cells)).sum(axis=0))
    return means


def _std(cells: Floats) -> Floats:
    present = ~np.isnan(cells)
    squares = np.where(present, (cells - _mean(cells)) ** 2, 0.0)  # NaN for an infinite cell, and then in all
    deviations: Floats = np.sqrt(np.divide(squares.sum(axis=0), present.sum(axis=0)))
    return deviations


def _number(
    name: str, help: str, example: str, words: str, of: Any, cells: Any = None, reduces: bool = True
) -> Function:
    return Function(name, "number", "number", reduces, help, example, words, of, cells=cells)


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        _number(
            "max", "the largest value", "max(resid_post.norm#20) > 900", "largest", np.max,
            lambda cells: np.fmax.reduce(cells, axis=0),
        ),
        _number(
            "min", "the smallest value", "min(attn.entropy#5[-1]) < 0.1", "smallest", np.min,
            lambda cells: np.fmin.reduce(cells, axis=0),
        ),
        _number(
            "mean", "the arithmetic mean; that of attention fields is over heads first",
            "mean(attn.entropy#12[-1]) < 1", "mean", np.mean, _mean,
        ),
        _number("median", "the middle value", "median(resid_post.norm#20) > 100", "median", np.median),
        _number("sum", "the sum", "sum(attn.sink#3:0) > 20", "sum of", np.sum, _sum),
        _number(
            "std", "the standard deviation (of the values as a whole, not an estimate)",
            "std(resid_post.norm[-1]) > 30", "standard deviation of", np.std, _std,
        ),
        _number("abs", "the value without its sign", "abs(next.p) > 0.5", "magnitude of", abs, np.abs, False),
        Function(
            "count", "any", "number", True, "how many values there are", "count(expert.code) >= 2",
            "number of values of", len, nothing=0,
        ),
        Function(
            "len", "text", "number", False, "how many characters a text has", "len(prompt) > 200",
            "length of", len,
        ),
        Function(
            "lower", "text", "text", False, "the text in small letters", 'lower(prompt) contains "password"',
            "lower-case", str.lower,
        ),
        Function(
            "upper", "text", "text", False, "the text in capitals", 'upper(label.category) == "CODE"',
            "upper-case", str.upper,
        ),
    )
}  # fmt: skip
"""Name -> function."""

PREDICATES = {"has": "whether there is any value"}
"""Functions that are true or false, which the checker knows itself -> what they say."""

PLANNED = frozenset(
    (
        "argmax",
        "argmin",
        "quantile",
        "zscore",
        "cos",
        "dist",
        "norm",
        "rank",
        "entropy",
        "similar_to",
        "string",
    )
)
"""Functions that the language has a place for and this version does not answer."""


def begins(word: str) -> bool:
    """True when a function may still be typed out of `word`."""
    return any(name.startswith(word) for name in (*FUNCTIONS, *PREDICATES))
