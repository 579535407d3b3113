"""Why a trace matches: the clauses that made it so, and their cells; and how many match each clause alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from tensorshark.forensics.filter.answers.answer import answer
from tensorshark.forensics.filter.answers.correlated import Correlated
from tensorshark.forensics.filter.answers.kept import Kept
from tensorshark.forensics.filter.answers.predicates import (
    Both,
    Comparison,
    Either,
    Exclusive,
    Leaf,
    Not,
    Paired,
    Predicate,
)
from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.values.arrays import AXIS, Array, aligned, present, satisfied
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Cell as Content
from tensorshark.forensics.filter.values.operands import Numbers, Selected, Tier, Value, batches
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.reference import Reference
from tensorshark.forensics.filter.values.relations import Bools, Present, compare
from tensorshark.forensics.filter.values.typed import typed

MOST = 20
"""Cells that are listed of a clause, and values of one of them; `count` says how many cells there are."""

LONGEST = 200
"""Characters of a text that is listed as a cell."""
_LENGTHS = "SELECT row, seq_len FROM traces WHERE damaged = 0"

Clauses = Sequence[tuple[Leaf, str]]
"""The comparisons of a filter, as they were typed."""


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cell of a value, by the axes that it has."""

    value: Content | None = None
    """None where there is no more to it than that it is there: of tensors."""
    layer: int | None = None
    head: int | None = None
    token: int | None = None
    """Position in the trace, from 0."""
    other: Content | None = None
    """What it was compared with, where that is a value of the trace too."""
    values: dict[str, Content | list[Content | None] | None] = {}
    """Of `any(l, p: …)`: each field that uses the variables, as it is typed, and its value there, None where
    it is absent; a list where it has several, such as one per head, at most 20."""


class Why(msgspec.Struct, frozen=True):
    """One clause that made a trace match."""

    clause: str
    """As it was typed."""
    words: str
    """In words, as it holds of this trace."""
    true: bool
    """False for a clause that stands under `not`, and is not true of this trace."""
    cells: list[Cell]
    """Of a true clause those that satisfy it, of another those that are there and do not; at most MOST."""
    count: int
    """How many such cells there are."""


class ClauseCount(msgspec.Struct, frozen=True):
    """How many traces satisfy one clause alone."""

    clause: str
    words: str
    count: int
    of: int
    """Traces asked."""


def counts(clauses: Clauses, reader: Reader) -> list[ClauseCount]:
    """In the order in which they stand. Answers that are kept cost nothing; others may take a scan."""
    return [
        ClauseCount(typed, leaf.words(), int(answer(leaf, reader).sum()), reader.count)
        for leaf, typed in clauses
    ]


def why(predicate: Predicate, clauses: Clauses, reader: Reader, numbers: Numbers) -> list[list[Why]]:
    """For each of these traces the clauses that made it match, in the order in which they stand.

    Of `or` those that are true, of `xor` all, under `not` those that are not.
    """
    ascending = np.unique(numbers)
    true = _truths(predicate, reader, ascending)
    cited: list[dict[Leaf, bool]] = []
    listed: dict[tuple[Leaf, bool], list[int]] = defaultdict(list)
    for at, number in enumerate(ascending.tolist()):
        of_trace = {leaf: bool(found[at]) for leaf, found in true.items()}
        cited.append(dict(_cited(predicate, of_trace, True)))
        for key in cited[-1].items():
            listed[key].append(number)
    cells = {key: dict(_cells(*key, reader, np.array(found))) for key, found in listed.items()}
    typed = dict(clauses)
    made: dict[int, list[Why]] = {}
    for number, leaves in zip(ascending.tolist(), cited, strict=True):
        made[number] = [
            Why(typed.get(leaf, leaf.words()), leaf.words(not truth), truth, *cells[leaf, truth][number])
            for leaf, truth in leaves.items()
        ]
    return [made[number] for number in np.asarray(numbers).tolist()]


def _truths(predicate: Predicate, reader: Reader, numbers: Numbers) -> dict[Leaf, Bools]:
    """Each comparison's answer about these traces (number,); what is not known yet is asked, and kept."""
    kept = Kept(reader)
    found, learned = {}, {}
    for leaf in dict.fromkeys(predicate.leaves()):
        asked = kept.asked(leaf)
        new = numbers[~asked.asked[numbers - 1]]
        if len(new):
            asked.ask(leaf, reader, new)
            learned[leaf] = asked
        found[leaf] = asked.true[numbers - 1]
    kept.keep(learned)
    return found


def _truth(predicate: Predicate, true: Mapping[Leaf, bool]) -> bool:
    """Whether it is true of a trace of which these comparisons are."""
    known = {leaf: np.array([each]) for leaf, each in true.items()}
    return bool(predicate.bounds(known, 1)[0][0])


def _cited(predicate: Predicate, true: Mapping[Leaf, bool], wanted: bool) -> Iterator[tuple[Leaf, bool]]:
    """The comparisons that made it what is wanted, and whether they are true."""
    if isinstance(predicate, Leaf):
        yield predicate, wanted
    elif isinstance(predicate, Not):
        yield from _cited(predicate.part, true, not wanted)
    elif isinstance(predicate, Both | Either):
        for part in predicate.parts:
            if _truth(part, true) is wanted:
                yield from _cited(part, true, wanted)
    elif isinstance(predicate, Exclusive):
        for part in predicate.parts:
            yield from _cited(part, true, _truth(part, true))


# Cells


def _cells(
    leaf: Leaf, true: bool, reader: Reader, numbers: Numbers
) -> Iterator[tuple[int, tuple[list[Cell], int]]]:
    """(number, (the first cells, how many)) of these traces."""
    tier = max((value.tier for value in leaf.values), default=Tier.INDEX)
    # Which of several tokens it is takes the trace: rows of the index are filled up to the longest.
    if tier is Tier.ROWS and any(_axes(value) for value in leaf.values):
        tier = Tier.TRACE
    for batch in batches(tier, reader, numbers):
        found, values, others = _evidence(leaf, true, batch)
        found = np.broadcast_to(found, (*found.shape[:3], batch.count))
        for at, number in enumerate(batch.numbers.tolist()):
            places = np.argwhere(found[..., at])
            listed = [_cell(leaf, batch, place, at, values, others) for place in places[:MOST]]
            yield number, (listed, len(places))


def _evidence(leaf: Leaf, true: bool, batch: Batch) -> tuple[Bools, Array | None, Array | None]:
    """Which cells (layer, head, pos, trace) speak for the answer, their values, and what those were compared
    with."""
    if isinstance(leaf, Comparison):
        if type(leaf.relation) is Present:
            there = leaf.value.there(batch)
            values = None if leaf.value.type == "tensor" else leaf.value.cells(batch)
            return (there if true else np.zeros_like(there)), values, None
        cells = leaf.value.cells(batch)
        found = satisfied(cells, leaf.relation)
        return (found if true else present(cells) & ~found), cells, None
    if isinstance(leaf, Paired):
        left, right = aligned(leaf.left.cells(batch), leaf.right.cells(batch))
        left, right = np.broadcast_arrays(left, right)
        there = present(left) & present(right)
        found = np.zeros(there.shape, dtype=bool)
        found[there] = [
            bool(compare(ours, leaf.operator, theirs)) is true
            for ours, theirs in zip(left[there], right[there], strict=True)
        ]
        return found, left, right
    if isinstance(leaf, Correlated):
        found, asked = leaf.cells(batch)
        return (found if true else ~found) & asked, None, None
    return np.zeros((1, 1, 1, 1), dtype=bool), None, None


def _cell(
    leaf: Leaf, batch: Batch, place: Array, at: int, values: Array | None, others: Array | None
) -> Cell:
    if isinstance(leaf, Correlated):  # a variable runs over all that there is of its axis
        over = {axis: int(place[n]) for axis, n in AXIS.items() if axis in leaf.axes}
        fields = dict.fromkeys(field for value in leaf.values for field in _using(value))
        there = {typed(field): _there(field, batch, place, at) for field in fields}
        return Cell(None, over.get(LAYER), over.get(HEAD), over.get(POS), None, there)
    left, right = leaf.values[0], leaf.values[-1]
    named = {axis: _coordinate(leaf.values, batch, at, axis, int(place[n])) for axis, n in AXIS.items()}
    return Cell(
        None if values is None else _content(left, values, place, at),
        named[LAYER],
        named[HEAD],
        named[POS],
        None if others is None else _content(right, others, place, at),
    )


def _content(value: Value, cells: Array, place: Array, at: int) -> Content:
    """One cell as a Python value; along an axis of size 1 it is the same for all."""
    index = [min(int(n), size - 1) for n, size in zip((*place, at), cells.shape, strict=True)]
    content: Any = cells[tuple(index)]
    plain: Content = content.item() if isinstance(content, np.generic) else content
    if isinstance(plain, str) and len(plain) > LONGEST:
        return f"{plain[:LONGEST]}…"
    return int(plain) if value.whole and isinstance(plain, float) else plain


def _there(field: Value, batch: Batch, place: Array, at: int) -> Content | list[Content | None] | None:
    """What a field that uses variables is in one of their cells."""
    cells = field.cells(batch)
    chosen = tuple(
        slice(int(place[n]), int(place[n]) + 1) if axis in field.bound else slice(None)
        for axis, n in AXIS.items()
    )
    found = cells[(*chosen, min(at, cells.shape[-1] - 1))]
    there = present(found)
    listed = [
        _content(field, found[..., None], np.array(each), 0) if there[each] else None
        for each in islice(np.ndindex(found.shape), MOST)
    ]
    if set(field.axes) - set(field.bound):
        return listed
    return listed[0] if listed else None


def _using(value: Value) -> Iterator[Selected | Reference]:
    """The fields in it that use variables and have values to show."""
    if isinstance(value, Selected | Reference):
        if value.bound and value.type != "tensor":
            yield value
        return
    for part in value.parts:
        yield from _using(part)


def _coordinate(values: Sequence[Value], batch: Batch, at: int, axis: str, place: int) -> int | None:
    """The model layer, head or position of the cell at a place along an axis; None without the axis."""
    for value in values:
        for part in _selected(value):
            if axis in part.field.axes:
                indices = _indices(part, batch, at, axis)
                if place < len(indices) and (len(indices) == 1 or axis in _axes(value)):
                    return indices[place]
    return None


def _indices(part: Selected, batch: Batch, at: int, axis: str) -> list[int]:
    """What is selected along an axis in one trace of a batch."""
    if isinstance(batch, TraceBatch):
        return part.coordinates(batch, axis)
    assert isinstance(batch, IndexBatch)
    if axis == LAYER:
        return batch.reader.plan(part.pick(axis), batch.layers)
    lengths = batch.once("seq_len", lambda: batch.spread(batch.rows(_LENGTHS), 0))
    return part.pick(axis).indices(lengths[at]) if axis == POS and not part.pick(axis).spans else []


def _selected(value: Value) -> Iterator[Selected]:
    """The fields with axes that a value is made of."""
    if isinstance(value, Selected):
        yield value
    for part in value.parts:
        yield from _selected(part)


def _axes(value: Value) -> tuple[str, ...]:
    return (*value.axes, *value.bound)
