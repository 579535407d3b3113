"""The seam: one object behind the commands, the panes and every other front end.

    with Engine("demo.tshark") as engine:
        numbers = engine.select('label.category == "injection"', sort="resid_post.norm#-1[-1]")
        for row in engine.rows(numbers[:50]):
            print(row.number, row.labels, row.norms)

Knows no screen. What takes long either takes a budget (`refresh`), can be cancelled (`select`), or goes to a
worker process whose messages come back on another thread (`lens`, `run`). Any thread may call any method.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.case import place
from tensorshark.traces.index import Index, TraceRow
from tensorshark.traces.store import Capture, Trace

if TYPE_CHECKING:
    from tensorshark.forensics.filter import Check, Completion, Cost
    from tensorshark.forensics.filter.answers.answer import OnFound
    from tensorshark.forensics.filter.answers.plan import Plan
    from tensorshark.forensics.filter.answers.why import ClauseCount, Why
    from tensorshark.forensics.filter.context import Context
    from tensorshark.forensics.filter.fields import FieldInfo
    from tensorshark.forensics.jobs import LensJob, RunJob
    from tensorshark.forensics.similar import Hits, Metric
    from tensorshark.forensics.slices import Slice
    from tensorshark.forensics.stats import Asked, Stats
    from tensorshark.forensics.worker import OnMessage, Ticket, Worker
    from tensorshark.traces.case import Case
    from tensorshark.traces.index.cell import Cell

Numbers = NDArray[np.int64]


class Engine:
    """One open capture.

    With `wait` the index is complete when the constructor returns. Without, it returns in milliseconds
    whatever the capture's size, and `refresh` with a budget catches up slice by slice.
    Raises NotFoundError or UntrustedError where there is no capture.
    """

    def __init__(self, path: str | Path, *, wait: bool = True) -> None:
        self.capture = Capture.open(path)
        self.index = Index.open(self.capture, refresh=wait)
        self._case: Case | None = None
        self._lock = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._closed = False
        self._labels: tuple[int, dict[str, dict[str, int]]] = (-1, {})

    def check(self, text: str, selected: int = 0) -> Check:
        """What a filter that is being typed means so far; `selected` as in `select`. Raises nothing."""
        from tensorshark.forensics.filter import check

        return check(text, self.index, context=self.context(selected))

    def missing(self, text: str, expressions: Iterable[str] = (), selected: int = 0) -> list[str]:
        """What to say beside the answer to a filter and some columns: what no trace here has, and what could
        not be measured and why. Raises FilterError for a column that cannot be read."""
        expressions = [each for each in expressions if each.strip()]
        if not text.strip() and not expressions:
            return []
        from tensorshark.forensics.filter.hints import missing

        found, context = self.check(text, selected), self.context(selected)
        said = [found.reason] if found.state == "ok" else []
        said += [missing(each, self.index, context) for each in expressions]
        return [line for line in dict.fromkeys(said) if line]

    def complete(
        self, text: str, position: int, history: Sequence[str] = (), selected: int = 0
    ) -> list[Completion]:
        """What could be typed at `position` (in characters) of a filter.

        `history` are filters applied before, the most recent first.
        """
        from tensorshark.forensics.filter import complete

        return complete(text, position, self.index, self.context(selected), history)

    def select(
        self,
        text: str = "",
        sort: str = "",
        descending: bool = False,
        cancelled: Callable[[], bool] | None = None,
        on_found: OnFound | None = None,
        selected: int = 0,
        limit: int | None = None,
    ) -> Numbers:
        """Numbers (from 1) of the traces that a filter matches, by a field expression or in capture order.

        With `limit` only the first so many, which by a field takes a quarter of the time.
        Traces without a value for `sort` come last. A long scan calls `on_found` about every 100 ms with the
        numbers found so far, in order, and with how many of how many traces it has been through. `selected`
        is the number of the trace that `$field` speaks of. Raises FilterError, or the filter's Cancelled once
        `cancelled` says True.
        """
        if not text.strip() and not sort.strip():
            numbers = np.arange(1, len(self.index) + 1, dtype=np.int64)
            return (numbers[::-1] if descending else numbers)[:limit]
        from tensorshark.forensics.filter import parse, sort_key
        from tensorshark.forensics.filter.values.operands import Tier

        context = self.context(selected)
        key = sort_key(sort, context.macros) if sort.strip() else None

        def arranged(numbers: Numbers) -> Numbers:
            """In the order asked for."""
            if key is not None:
                return key.order(self.index, numbers, descending, cancelled, context, limit)
            return (numbers[::-1] if descending else numbers)[:limit]

        def found(numbers: Numbers, done: int, total: int) -> None:
            if on_found is not None and (key is None or key.value.tier is not Tier.TRACE):
                on_found(arranged(numbers), done, total)

        return arranged(parse(text, context.macros).select(self.index, cancelled, context, found))

    def why(self, text: str, numbers: Sequence[int] | Numbers, selected: int = 0) -> list[list[Why]]:
        """For each of these traces, which a filter matches, what made it so. Raises FilterError."""
        from tensorshark.forensics.filter import parse

        context = self.context(selected)
        return parse(text, context.macros).why(self.index, numbers, context)

    def explain(self, text: str, selected: int = 0) -> Plan:
        """How a filter will be answered, and what that takes. Raises FilterError."""
        from tensorshark.forensics.filter import parse

        context = self.context(selected)
        return parse(text, context.macros).explain(self.index, context)

    def clause_counts(
        self, text: str, cancelled: Callable[[], bool] | None = None, selected: int = 0
    ) -> list[ClauseCount]:
        """How many traces satisfy each clause of a filter alone. Raises FilterError or Cancelled."""
        from tensorshark.forensics.filter import parse

        context = self.context(selected)
        return parse(text, context.macros).counts(self.index, context, cancelled)

    def context(self, selected: int = 0) -> Context:
        """What filters may ask that is not in the capture: macros, the case, and the trace of this number."""
        from tensorshark.forensics import config

        said = self._case is not None or place.exists(self.capture)
        return config.context(self.case if said else None, selected)

    @property
    def case(self) -> Case:
        """Marks, tags, notes, macros and saved filters; made with the first thing that is said."""
        from tensorshark.traces.case import Case

        with self._lock:
            if self._case is None:
                self._case = Case.open(self.capture, write=True)
            return self._case

    def count(self, text: str = "") -> int:
        """How many traces a filter matches. Raises FilterError."""
        return len(self.select(text)) if text.strip() else len(self.index)

    def stats(self, asked: Asked, cancelled: Callable[[], bool] | None = None, selected: int = 0) -> Stats:
        """Groups of traces compared; `selected` as in `select`.

        Raises FilterError, UsageError for too many groups, or Cancelled.
        """
        from tensorshark.forensics.stats import stats

        return stats(self.index, asked, cancelled, self.context(selected))

    def rows(self, numbers: Sequence[int] | Numbers) -> list[TraceRow]:
        """What the list shows of these traces, in their order; numbers that are not there are left out."""
        return self.index.rows(numbers)

    def cost(self, text: str) -> Cost:
        """What `select` would take, at most; takes no look at the traces. Raises FilterError."""
        from tensorshark.forensics.filter import parse

        return parse(text, self.context().macros).cost(self.index)

    def fields(self) -> list[FieldInfo]:
        """What filters, columns and sort keys can name, with this capture's labels."""
        from tensorshark.forensics.filter.fields import fields

        return fields(self.index)

    def values(
        self,
        text: str,
        numbers: Sequence[int] | Numbers,
        cancelled: Callable[[], bool] | None = None,
        selected: int = 0,
    ) -> list[Any]:
        """What a column of this field expression holds for these traces; None where absent. FilterError."""
        from tensorshark.forensics.filter import values

        return values(text, self.index, numbers, cancelled, self.context(selected))

    def ids(self, numbers: Sequence[int] | Numbers) -> list[str]:
        """Ids of these traces, in their order. Raises NotFoundError for a number that is not there."""
        return self.index.ids(numbers)

    def slice(self, name: str, what: str, layers: Sequence[int] = (), pos: str = "all[:]") -> Slice:
        """Part of a trace's numbers, not read yet; see `slices.cut`. Raises as that and `trace` do."""
        from tensorshark.forensics.slices import cut

        return cut(self.trace(name), what, layers, pos)

    def trace(self, name: str) -> Trace:
        """By id, a unique beginning of one, or `#` and its number.

        Raises NotFoundError, IntegrityError or UntrustedError.
        """
        if name.startswith("#") and name[1:].isdecimal() and len(name) < 20:
            return self.index.trace(int(name[1:]))
        number = self.index.number_of(name)
        return self.index.trace(number) if number else self.capture.trace(name)

    def number(self, name: str) -> int:
        """Of a trace by `#NUMBER`, id or a unique beginning of one. Raises NotFoundError."""
        from tensorshark.forensics.similar import named

        return named(self.index, name)

    def cell(
        self, number: int, site: str = "resid_post", layer: int | None = None, position: str = "-1"
    ) -> Cell:
        """What `similar` compares a trace with others by; by default the last token at its middle layer.

        Raises NotFoundError for what was not captured, UsageError for what has no vector per token.
        """
        from tensorshark.forensics.similar import cell_of

        return cell_of(self.index.trace(number), site, layer, position)

    def similar(
        self,
        number: int,
        cell: Cell,
        k: int = 10,
        metric: Metric = "cos",
        *,
        among: Numbers | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Hits:
        """The `k` traces whose vector in `cell` is closest to that of trace `number`, closest first.

        The first question about a cell opens the traces, and `on_progress` hears (done, total); later ones
        take milliseconds. `among` (ascending) are those that may be found. Raises the filter's Cancelled.
        """
        from tensorshark.forensics.similar import similar

        return similar(
            self.index, number, cell, k, metric, among=among, on_progress=on_progress, cancelled=cancelled
        )

    def labels(self) -> dict[str, dict[str, int]]:
        """Key -> value -> how many traces carry it."""
        count = len(self.index)
        if self._labels[0] != count:
            self._labels = (count, self.index.labels())
        return self._labels[1]

    def lens(self, job: LensJob, on_message: OnMessage) -> Ticket:
        """Read the residual stream of a trace through the logit lens: a LensGrid, then Done.

        A newer job takes the place of one that has not begun. `on_message` is called on another thread.
        """
        return self._worker("lens").submit(job, on_message)

    def run(self, job: RunJob, on_message: OnMessage) -> Ticket:
        """Run an analyzer: Progress, results, then Done. `on_message` is called on another thread."""
        return self._worker("analyzers").submit(job, on_message)

    def warm(self) -> None:
        """Start the lens worker now, so that the first grid does not wait for it."""
        self._worker("lens").warm()

    def follow(self) -> bool:
        """True when `refresh` has something to do: costs a stat per writer, for polling."""
        return self.index.behind

    def refresh(self, budget_s: float | None = None) -> int:
        """Take in what was committed since; returns how many traces the index gained. See `Index.refresh`."""
        return self.index.refresh(budget_s)

    def close(self) -> None:
        """Stop the workers and close the index; idempotent."""
        with self._lock:
            self._closed, workers = True, list(self._workers.values())
        for worker in workers:
            worker.close()
        if self._case is not None:
            self._case.close()
        self.index.close()

    def _worker(self, name: str) -> Worker:
        """One for the lens and one for analyzers: a long analyzer, or a bad one, does not stop the lens."""
        from tensorshark.forensics.worker import Worker  # most commands never start one

        with self._lock:
            worker = self._workers.setdefault(name, Worker())
            if self._closed:
                worker.close()
            return worker

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
