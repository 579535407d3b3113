"""Values with axes: tokens, tensors, and the numbers per layer, head and position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS, FieldInfo, Type
from tensorshark.forensics.filter.syntax.tree import At, Quantifier
from tensorshark.forensics.filter.values.operands import Numbers, Shown, Tier, Value, asked_in_blocks
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.forensics.filter.values.selection import Pick, Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.trace import Trace


_BATCH = 16384
"""Traces whose tokens are looked at together."""


class _Axes(Value, frozen=True):
    """A value with axes to select from."""

    field: FieldInfo
    picks: tuple[Pick, ...]
    """One per axis of the field, in the field's order."""

    @property
    def always(self) -> bool:
        return False

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def single(self) -> bool:
        return all(pick.single for pick in self.picks)

    def pick(self, axis: str) -> Pick:
        """The selection along one axis of the field."""
        return next(pick for pick in self.picks if pick.axis == axis)

    def words(self, quantity: Quantity) -> str:
        named = {pick.axis: pick.words(quantity) for pick in self.picks}
        parts = [self.field.noun]
        if LAYER in named:
            parts[0] += f" {named[LAYER]}"
        if HEAD in named:
            parts.append(f"of {named[HEAD]}")
        if POS in named:
            parts.append(f"at {named[POS]}")
        return " ".join(parts)


class _Opened(_Axes, frozen=True):
    """A value that takes opening the trace."""

    @property
    def tier(self) -> Tier:
        return Tier.TRACE

    def of(self, trace: Trace) -> Any:
        """The values of one trace."""
        raise NotImplementedError

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        for number in numbers.tolist():
            reader.check()
            values = reader.opened(number, self.of)
            if values is not None:
                yield number, values


class Token(_Opened, frozen=True):
    """Tokens, as text."""

    def words(self, quantity: Quantity) -> str:
        return self.pick(POS).words(quantity)

    def of(self, trace: Trace) -> list[str]:
        return [trace.tokens[at] for at in self.pick(POS).indices(len(trace.tokens), trace.spans)]


class TokenId(_Opened, frozen=True):
    """Tokens, as numbers in the vocabulary: in the index, which knows no spans."""

    def words(self, quantity: Quantity) -> str:
        return f"id of {self.pick(POS).words(quantity)}"

    @property
    def tier(self) -> Tier:
        return Tier.TRACE if self.pick(POS).spans else Tier.ROWS

    def of(self, trace: Trace) -> list[int]:
        return [trace.token_ids[at] for at in self.pick(POS).indices(len(trace.token_ids), trace.spans)]

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        if self.tier == Tier.TRACE:
            yield from super().read(reader, numbers)
            return
        query = "SELECT row, token_ids FROM tokens WHERE 1"
        for number, data in reader.rows(query, [], numbers):
            ids = np.frombuffer(data, "<i4")
            yield number, ids[self.pick(POS).indices(len(ids))]

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
        parts = self.pick(POS).parts
        at = parts[0].index if len(parts) == 1 and isinstance(parts[0], At) else None
        if parts and at is None:
            return super().among(reader, relation, quantifier, numbers)
        rows = reader.rows("SELECT row, token_ids FROM tokens WHERE 1", [], numbers)
        found = [np.empty(0, np.int64)]
        while batch := list(islice(rows, _BATCH)):
            found.append(_with_tokens(batch, at, relation, quantifier))
        return np.concatenate(found)


def _with_tokens(
    batch: list[tuple[int, bytes]], at: int | None, relation: Relation, quantifier: Quantifier
) -> Numbers:
    """Numbers of the traces whose token ids, or that at one index, satisfy the relation, all at once."""
    ids = np.frombuffer(b"".join(data for _, data in batch), "<i4")  # of all traces, one after the other
    sizes = np.array([len(data) // 4 for _, data in batch])
    numbers, starts = np.array([number for number, _ in batch]), np.cumsum(sizes) - sizes
    if at is not None:
        there = (sizes > at) if at >= 0 else (sizes >= -at)
        chosen = (starts + at + sizes * (at < 0))[there]
        return numbers[there][relation.array(ids[chosen])]
    there = sizes > 0
    hits = np.add.reduceat(relation.array(ids), starts[there], dtype=np.int64) if ids.size else sizes[there]
    return numbers[there][hits > 0 if quantifier == "any" else hits == sizes[there]]


class Site(_Opened, frozen=True):
    """Whether tensors are there: one `True` where the selection hits any."""

    def of(self, trace: Trace) -> list[bool]:
        site = trace.sites.get(self.field.key)
        if site is None:
            return []
        sizes = {HEAD: trace.model.heads, POS: len(trace.token_ids)}
        hit = set(self.pick(LAYER).indices(trace.model.layers)) & set(site.layers)
        rest = [pick.indices(sizes[pick.axis], trace.spans) for pick in self.picks if pick.axis != LAYER]
        return [True] if hit and all(rest) else []


class Signal(_Opened, frozen=True):
    """Numbers per layer, head and position."""

    @property
    def indexed(self) -> bool:
        """True when the index holds all that is selected: the last token of a field without heads."""
        return self.pick(POS).last and HEAD not in self.field.axes

    @property
    def tier(self) -> Tier:
        return Tier.ROWS if self.indexed else Tier.TRACE

    def grid(self, trace: Trace) -> NDArray[Any]:
        """The selected cells with their axes; layers that were not captured are NaN, positions that are not
        there are left out."""
        stat = trace.stats.get(self.field.key)
        if stat is None:
            return np.empty([0] * len(self.picks), np.float32)
        stored = {layer: row for row, layer in enumerate(trace.stat_layers(self.field.key))}
        layers = self.pick(LAYER).indices(trace.model.layers)
        out = np.full((len(layers), *stat.shape[1:]), np.nan, np.float32)
        for row, layer in enumerate(layers):
            if layer in stored:
                out[row] = stat[stored[layer]]
        for axis, pick in enumerate(self.picks):
            if axis > 0:
                out = out.take(pick.indices(out.shape[axis], trace.spans), axis=axis)
        return out

    def of(self, trace: Trace) -> NDArray[Any]:
        cells = self.grid(trace).ravel()
        there: NDArray[Any] = cells[~np.isnan(cells)]
        return there

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX if self.indexed else Tier.TRACE

    def blocks(self, reader: Reader) -> Iterator[tuple[int, NDArray[Any]]] | None:
        return reader.blocks(self.field.name, self.pick(LAYER)) if self.indexed else None

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        return asked_in_blocks(self, reader, relation, quantifier)

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        if not self.indexed:
            yield from super().read(reader, numbers)
            return
        for number, cells in zip(
            numbers.tolist(), reader.at(self.field.name, self.pick(LAYER), numbers), strict=True
        ):
            yield number, cells[~np.isnan(cells)]

    def show(self, reader: Reader, numbers: Numbers) -> list[Shown]:
        if self.indexed:
            rows = reader.at(self.field.name, self.pick(LAYER), numbers)
            return [_squeezed(cells[:, None], self.shown_picks) for cells in rows]
        grids = [reader.opened(number, self.grid) for number in numbers.tolist()]
        return [None if grid is None else _squeezed(grid, self.shown_picks) for grid in grids]

    @property
    def shown_picks(self) -> tuple[Pick, ...]:
        """Of the axes of `grid`."""
        return self.picks


class HeadMeans(Signal, frozen=True):
    """The mean over heads of an attention field, per layer and position: what the index holds of it.

    Absent where one head's value is.
    """

    @property
    def indexed(self) -> bool:
        return self.pick(POS).last

    def grid(self, trace: Trace) -> NDArray[Any]:
        grid = super().grid(trace)  # (layer, head, pos)
        if grid.shape[1] == 0:
            return np.empty((0, 0), np.float32)
        means: NDArray[Any] = np.ascontiguousarray(np.moveaxis(grid, 1, -1)).mean(-1)  # (layer, pos)
        return means

    @property
    def shown_picks(self) -> tuple[Pick, ...]:
        return tuple(pick for pick in self.picks if pick.axis != HEAD)


def _squeezed(grid: NDArray[Any], picks: tuple[Pick, ...]) -> Shown:
    """Nested lists without the axes along which there is one cell at most; None for NaN and for nothing."""
    for axis in reversed(range(grid.ndim)):
        if axis < len(picks) and picks[axis].single:
            if grid.shape[axis] == 0:
                return None
            grid = grid.take(0, axis=axis)
    cells = np.asarray(grid).astype(object)
    cells[np.isnan(grid)] = None
    shown: Shown = cells.tolist()
    return shown
