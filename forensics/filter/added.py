"""Functions that plugins add to the filter language.

    [project.entry-points."tensorshark.functions"]
    crest = "my_package:CREST"

`my_package.CREST` is any object with the attributes of `functions.Function`: `takes`, `gives`, `reduces`,
`help`, `words` and `of` at least. Its name is that of the entry point, and no name of ours can be taken.
Unlike an analyzer it runs in this process, as part of every comparison that calls it; it is imported when a
filter first does. What it raises is told as an error of the filter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec
import numpy as np

from tensorshark.forensics.filter.functions import FUNCTIONS, Array, Function
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

GROUP = "tensorshark.functions"
_TAKES = ("number", "text", "any")
_GIVES = ("number", "text")
_FIELDS = ("takes", "gives", "reduces", "help", "words", "of")
"""What has to be there; the rest has defaults."""


def names() -> list[str]:
    """Of all functions that plugins add; nothing is imported."""
    return sorted(_entries())


@lru_cache(maxsize=64)
def find(name: str) -> Function | None:
    """The function of that name that a plugin adds. Raises FilterError for one that cannot be used."""
    entry = _entries().get(name)
    if entry is None:
        return None
    whose = f"{safe_text(name, 40)}(…), which {_origin(entry)} adds,"
    try:
        made = entry.load()
        given = {field: getattr(made, field) for field in Function.__struct_fields__ if hasattr(made, field)}
    except Exception as error:
        raise FilterError(f"{whose} cannot be imported: {_told(error)}") from None
    if lacking := [field for field in _FIELDS if field not in given]:
        raise FilterError(f"{whose} lacks {', '.join(lacking)}")
    if given["takes"] not in _TAKES or given["gives"] not in _GIVES or not callable(given["of"]):
        raise FilterError(f"{whose} takes or gives what no function does: see docs/filter.md")
    of = _guarded(whose, given["of"], bool(given["reduces"]), given["gives"] == "number")
    given |= {"name": name, "of": of, "corpus": False, "tensors": 1, "example": given.get("example", "")}
    try:
        return msgspec.convert(given, Function)
    except msgspec.ValidationError as error:
        raise FilterError(f"{whose} is not as a function is: {_told(error)}") from None


def _guarded(whose: str, of: Callable[..., Any], reduces: bool, number: bool) -> Callable[..., Array]:
    """`of`, which may raise or return anything: made to return what it should, or to raise FilterError."""

    def guarded(cells: Array, *constants: float) -> Array:
        try:
            with np.errstate(all="ignore"):
                made = np.asarray(of(cells.copy(), *constants), dtype=np.float64 if number else object)
        except Exception as error:
            raise FilterError(f"{whose} failed: {_told(error)}") from None
        expected = cells.shape[1:] if reduces else cells.shape
        if made.shape != expected:
            raise FilterError(f"{whose} made shape {made.shape} of {cells.shape}, not {expected}")
        return made

    return guarded


@lru_cache(maxsize=1)
def _entries() -> dict[str, EntryPoint]:
    """By name; of several with one name that of the package that comes first."""
    found = sorted(entry_points(group=GROUP), key=_origin, reverse=True)
    return {entry.name: entry for entry in found if entry.name not in FUNCTIONS}


def _origin(entry: EntryPoint) -> str:
    return safe_text(f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package", 80)


def _told(error: Exception) -> str:
    return safe_text(f"{type(error).__name__}: {error}", 200)
