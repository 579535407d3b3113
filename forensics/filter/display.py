"""A display filter as others use it: parse once, then say it, price it, answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from tensorshark.forensics.filter.answers.answer import OnFound, answer
from tensorshark.forensics.filter.answers.costs import Cost, estimate
from tensorshark.forensics.filter.answers.predicates import Leaf, Predicate
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.syntax.macros import expand
from tensorshark.forensics.filter.values.batch import TraceBatch, TraceLike
from tensorshark.forensics.filter.values.operands import Numbers
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.reference import NOBODY, SELECTED
from tensorshark.traces.errors import FilterError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.answers.plan import Plan
    from tensorshark.forensics.filter.answers.why import ClauseCount, Why
    from tensorshark.traces.index import Index
    from tensorshark.traces.store import Capture

State = Literal["empty", "ok", "incomplete", "bad", "slow", "old"]
Cancel = Callable[[], bool] | None
"""Asked every few milliseconds of work; when it says True, `Cancelled` is raised."""

SLOW_SECONDS = 0.5
"""A filter that is expected to take longer is `slow`."""


class Need(msgspec.Struct, frozen=True):
    """Something in a filter that cannot be answered from one trace alone."""

    what: str
    """In words: `number, a trace's place in its capture,`."""
    column: int
    """Where it stands, 0-based."""
    length: int
    """Characters."""


class Filter(msgspec.Struct, frozen=True):
    """A filter that can be read. An empty one matches every trace."""

    text: str
    """As typed."""
    predicate: Predicate | None
    """What it asks; None when it is empty."""
    old: tuple[int, int, str] | None = None
    """Column, length and reason of the first thing that works and is not advised."""
    needs_index: tuple[Need, ...] = ()
    """What in it cannot be answered from one trace alone; empty when `holds` can answer."""
    clauses: tuple[tuple[Leaf, str], ...] = ()
    """Its comparisons, each once, as they were typed; those of a macro as they stand in its text."""

    @property
    def references(self) -> bool:
        """True when it speaks of the selected trace, as in `$seq_len`."""
        return any(need.what == SELECTED for need in self.needs_index)

    def __str__(self) -> str:
        return self.words()

    def words(self) -> str:
        """The filter as a sentence: `traces labelled injection whose prompt contains "x"`."""
        return "all traces" if self.predicate is None else f"traces {self.predicate.words()}"

    def select(
        self,
        index: Index,
        cancelled: Cancel = None,
        context: Context | None = None,
        on_found: OnFound | None = None,
    ) -> Numbers:
        """Numbers (from 1, ascending) of the traces that match. Raises Cancelled, and FilterError
        for a filter with `references` where the context has no selected trace.

        A long scan calls `on_found` about every 100 ms with the numbers so far, and with how many of how many
        traces in question it has been through. What was learned before it was cancelled is remembered: the
        next time it goes on from there.
        """
        if self.references and not (context and context.selected):
            need = next(need for need in self.needs_index if need.what == SELECTED)
            raise FilterError(NOBODY, self.text, need.column, need.length)
        reader = Reader(index, cancelled, context)
        if self.predicate is None:
            return np.arange(1, reader.count + 1, dtype=np.int64)
        found = np.flatnonzero(answer(self.predicate, reader, on_found))
        found += 1  # in place: a million numbers are 8 MB
        return found

    def holds(self, trace: TraceLike) -> bool:
        """Whether one trace matches, which need not be in any capture: nothing but the trace is read.

        Raises FilterError for a filter that `needs_index`.
        """
        if self.needs_index:
            need = self.needs_index[0]
            reason = f"{need.what} cannot be told from one trace alone"
            raise FilterError(reason, self.text, need.column, need.length)
        if self.predicate is None:
            return True
        return bool(self.predicate.truth(TraceBatch(trace, Context())).any())

    def why(
        self, index: Index, numbers: Sequence[int] | Numbers, context: Context | None = None
    ) -> list[list[Why]]:
        """For each of these traces, which match, the clauses that made it so, with the cells that did."""
        from tensorshark.forensics.filter.answers.why import why

        if self.predicate is None:
            return [[] for _ in numbers]
        wanted = np.asarray(numbers, dtype=np.int64)
        return why(self.predicate, self.clauses, Reader(index, None, context), wanted)

    def counts(
        self, index: Index, context: Context | None = None, cancelled: Cancel = None
    ) -> list[ClauseCount]:
        """How many traces satisfy each clause alone. Raises Cancelled."""
        from tensorshark.forensics.filter.answers.why import counts

        return counts(self.clauses, Reader(index, cancelled, context))

    def explain(self, index: Index, context: Context | None = None) -> Plan:
        """How it will be answered, in which order, and what that takes; takes no look at the traces."""
        from tensorshark.forensics.filter.answers.plan import plan

        return plan(self.predicate, self.clauses, Reader(index, None, context), self.words())

    def cost(self, index: Index) -> Cost:
        """What `select` would take, at most; takes no look at the traces themselves."""
        return Cost(True, 0, 0) if self.predicate is None else estimate(self.predicate, index)


class Check(msgspec.Struct, frozen=True):
    """What to show beside a filter that is being typed."""

    state: State
    words: str = ""
    """The filter as a sentence, when it can be read."""
    reason: str = ""
    """What is wrong or worth knowing; empty when nothing is."""
    column: int = 0
    """Where that starts, 0-based."""
    length: int = 0
    """How many characters it covers; 0 when it is about the whole filter."""


def parse(text: str, macros: Mapping[str, str] = MappingProxyType({})) -> Filter:
    """Read a filter; blank text is the empty filter. Raises FilterError, and nothing else.

    `macros` are the texts that `${name}` stands for; all places are those in `text`.
    """
    expanded = expand(text, macros)
    try:
        filter = _parse(expanded.text)
    except FilterError as error:
        raise expanded.error(error) from None
    old, needs = filter.old, filter.needs_index
    if expanded.text is not text:
        old = old and (*expanded.place(*old[:2])[:2], old[2])
        needs = tuple(Need(need.what, *expanded.place(need.column, need.length)[:2]) for need in needs)
    return msgspec.structs.replace(filter, text=text, old=old, needs_index=needs)


def _parse(text: str) -> Filter:
    """A filter without macros."""
    if not text.strip():
        return Filter(text, None)
    from tensorshark.forensics.filter.checks.checker import Checker
    from tensorshark.forensics.filter.syntax.parser import parse as tree_of

    checker = Checker(text)
    predicate = checker.predicate(tree_of(text))
    beyond = [Need(what, place.start, place.stop - place.start) for place, what in checker.complaint.beyond]
    old = None
    if checker.complaint.old is not None:
        place, reason = checker.complaint.old
        old = (place.start, place.stop - place.start, reason)
    typed = {leaf: text[place.start : place.stop] for leaf, place in checker.clauses.items()}
    clauses = tuple((leaf, typed[leaf]) for leaf in dict.fromkeys(predicate.leaves()) if leaf in typed)
    return Filter(text, predicate, old, tuple(beyond), clauses)


def check(
    text: str,
    index: Index | None = None,
    macros: Mapping[str, str] = MappingProxyType({}),
    context: Context | None = None,
) -> Check:
    """The state of a filter that is being typed; with an index also what it will cost. Raises nothing.

    A `context` has macros of its own.
    """
    if not text.strip():
        return Check("empty", "all traces")
    context = context or Context(macros=macros)
    try:
        filter = parse(text, context.macros)
    except FilterError as error:
        state: State = "incomplete" if error.incomplete else "bad"
        return Check(state, reason=error.reason, column=error.column, length=error.length)
    if filter.old:
        column, length, reason = filter.old
        return Check("old", filter.words(), reason, column, length)
    if index is None:
        return Check("ok", filter.words())
    from tensorshark.forensics.filter.hints import hint

    cost = filter.cost(index)
    if cost.seconds > SLOW_SECONDS:
        return Check("slow", filter.words(), cost.words())
    return Check("ok", filter.words(), hint(filter, index, context))


def select(capture: Capture, text: str) -> Iterator[str]:
    """Ids of the traces that match, in capture order: the entry point behind `Capture.select`."""
    from tensorshark.forensics import config
    from tensorshark.traces.index import Index

    context = config.of(capture)
    filter = parse(text, context.macros)
    with Index.open(capture) as index:
        ids = dict(index.query("SELECT row, id FROM traces"))
        found = [ids[number] for number in filter.select(index, context=context).tolist()]
    return iter(found)
