"""Which layers, heads and positions a field is asked about, and how a sentence says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.syntax import tree
from tensorshark.traces.text import safe_text

Quantity = Literal["some", "any", "every", "all"]
"""How a sentence speaks of several cells: at least one, not one (after `not`), each, all taken together."""

_WHOLE = "all"
"""The span that every trace has, as in the position language of the analyzers."""


class Pick(msgspec.Struct, frozen=True):
    """The selection along one axis; no parts: all of it."""

    axis: str
    parts: tree.Parts = ()
    variable: str = ""
    """Name of the variable of `any(l, p: …)` that stands here and runs over all of it."""

    @property
    def single(self) -> bool:
        """True when it is one cell at most, in every trace."""
        return len(self.parts) == 1 and _single(self.parts[0])

    @property
    def last(self) -> bool:
        """True for `[-1]`."""
        return len(self.parts) == 1 and isinstance(self.parts[0], tree.At) and self.parts[0].index == -1

    @property
    def fixed(self) -> bool:
        """True when the indices are the same whatever the size: all of it, or counted from the front."""
        return all(_fixed(part) for part in self.parts)

    @property
    def spans(self) -> bool:
        """True when it names a span, so that the trace's spans have to be known."""
        return any(isinstance(part, tree.Named) for part in self.parts)

    def indices(self, size: int, spans: Mapping[str, slice] | None = None) -> list[int]:
        """Ascending, each once; what lies outside of `size` is left out."""
        if not self.parts:
            return list(range(size))
        return _indices(self.parts, range(size), spans or {})

    def words(self, quantity: Quantity) -> str:
        """`layer 12`, `some head`, `every token of the prompt`, `the last token`."""
        if self.variable:
            return f"{noun(self.axis)} {self.variable}"
        if not self.parts:
            return f"{quantity} {noun(self.axis)}{'s' if quantity == 'all' else ''}"
        if len(self.parts) > 1:
            listed = ", ".join(_short(part) for part in self.parts)
            return _several(self.axis, f"of {listed}", quantity)
        return _part_words(self.axis, self.parts[0], quantity)


def _single(part: tree.Part) -> bool:
    if isinstance(part, tree.Named):
        return part.parts is not None and len(part.parts) == 1 and _single(part.parts[0])
    return isinstance(part, tree.At) or (isinstance(part, tree.Through) and part.first == part.last)


def _fixed(part: tree.Part) -> bool:
    if isinstance(part, tree.At):
        return part.index >= 0
    return isinstance(part, tree.Through) and part.first >= 0 and part.last >= 0


def _indices(parts: tree.Parts, cells: Sequence[int], spans: Mapping[str, slice]) -> list[int]:
    """Of the cells that are there, those that the parts name."""
    size = len(cells)
    found: set[int] = set()
    for part in parts:
        if isinstance(part, tree.At):
            at = part.index + size * (part.index < 0)
            found.update(cells[at : at + 1] if at >= 0 else ())
        elif isinstance(part, tree.Through):
            first, last = (end + size * (end < 0) for end in (part.first, part.last))
            found.update(cells[max(0, first) : max(0, last + 1)])
        elif isinstance(part, tree.Slice):
            found.update(cells[part.start : part.stop : part.step])
        elif part.name in spans or part.name == _WHOLE:
            within = cells[spans[part.name]] if part.name in spans else cells
            found.update(within if part.parts is None else _indices(part.parts, within, {}))
    return sorted(found)


def noun(axis: str) -> str:
    """What an axis counts, in a sentence."""
    return {LAYER: "layer", HEAD: "head", POS: "token"}[axis]


def _several(axis: str, which: str, quantity: Quantity) -> str:
    return f"{quantity} {noun(axis)}{'s' if quantity == 'all' else ''} {which}"


def _part_words(axis: str, part: tree.Part, quantity: Quantity) -> str:
    if isinstance(part, tree.At):
        ends = {-1: "the last", 0: "the first" if axis == POS else ""}
        end = ends.get(part.index)
        return f"{end} {noun(axis)}" if end else f"{noun(axis)} {part.index}"
    if isinstance(part, tree.Named):
        span = f"the {safe_text(part.name, 40)}" if part.name != _WHOLE else "the whole text"
        if part.parts is None:
            return _several(axis, f"of {span}", quantity)
        return f"{Pick(axis, part.parts).words(quantity)} of {span}"
    return _several(axis, f"of {_short(part)}", quantity)


def _short(part: tree.Part) -> str:
    """The part in a list."""
    if isinstance(part, tree.At):
        return str(part.index)
    if isinstance(part, tree.Through):
        return f"{part.first} to {part.last}"
    if isinstance(part, tree.Slice):
        start, stop, step = ("" if end is None else str(end) for end in (part.start, part.stop, part.step))
        return f"[{start}:{stop}{':' * bool(step)}{step}]"
    span = f"the {safe_text(part.name, 40)}" if part.name != _WHOLE else "the whole text"
    if part.parts is None:
        return span
    return f"{', '.join(_short(inner) for inner in part.parts)} of {span}"
