"""Measuring with other people's analyzers: in a worker process, under its limits.

An analyzer that kills the process, or takes too long, loses the trace that it was at; the next traces get a
new process, a few times.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics import host
from tensorshark.forensics.analyzer import Cells
from tensorshark.forensics.jobs import (
    AnyMessage,
    AskedCells,
    Ending,
    JobFailed,
    Limits,
    Measured,
    MeasuredCells,
    MeasureJob,
)
from tensorshark.forensics.measured import declared
from tensorshark.forensics.measured.columns import Array
from tensorshark.forensics.measured.declared import Declared
from tensorshark.forensics.measured.running import Asked, Failure, Values, array, values
from tensorshark.forensics.view import ViewTrace
from tensorshark.forensics.worker import Worker
from tensorshark.traces.errors import AnalyzerError, TensorsharkError

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

LIMITS = Limits(seconds=120.0, bytes=4 << 30)
"""Of one job."""
TRACES = 64
"""Of one job."""
CRASHES = 3
"""Processes that may be lost before the rest is given up."""
_LOOK_S = 0.1
"""How often to ask whether to stop while the worker is silent."""


# In this process


@cache
def _worker() -> Worker:
    return Worker()


def close() -> None:
    """End the worker; the next one who measures starts another."""
    _worker().close()
    _worker.cache_clear()


def values_apart(
    field: Declared, capture: Capture, asked: Iterable[Asked], check: Callable[[], None]
) -> Iterator[tuple[int, Values]]:
    """As `running.values`, but the analyzer is loaded and run in the worker."""
    turns, crashes, reason = iter(asked), 0, ""
    while batch := list(islice(turns, TRACES)):
        waiting = {each.number: each for each in batch}
        for each in batch:
            if isinstance(each.trace, Failure):
                del waiting[each.number]
                yield each.number, each.trace
        while waiting and crashes < CRASHES:
            crashed = None
            for message in _said(_job(field, capture, waiting.values()), check):
                if isinstance(message, Measured) and message.number in waiting:
                    yield message.number, _values(message, field, waiting.pop(message.number).cells)
                elif isinstance(message, JobFailed):
                    crashed = message
            if crashed is None:
                break
            crashes += crashed.crashed
            reason = f"{field.analyzer} failed: {crashed.reason}"
            if not crashed.crashed:
                crashes = CRASHES  # it cannot even begin
            if waiting and crashed.crashed:
                number = next(iter(waiting))
                del waiting[number]
                yield number, Failure(reason, False)
        for number in waiting:
            yield number, Failure(reason or f"{field.analyzer} said nothing about it", False)


def _job(field: Declared, capture: Capture, asked: Iterable[Asked]) -> MeasureJob:
    cells = [
        AskedCells(
            each.trace.id,
            each.number,
            list(each.cells.layers),
            list(each.cells.heads),
            list(each.cells.positions),
        )
        for each in asked
        if not isinstance(each.trace, Failure)
    ]
    path = str(capture.path.absolute())
    return MeasureJob(field=field.info.name, capture=path, asked=cells, limits=LIMITS)


def _said(job: MeasureJob, check: Callable[[], None]) -> Iterator[AnyMessage]:
    """Messages of a job until it ends; cancelled when `check` raises."""
    inbox: queue.SimpleQueue[AnyMessage] = queue.SimpleQueue()
    ticket = _worker().submit(job, inbox.put)
    try:
        while True:
            try:
                message = inbox.get(timeout=_LOOK_S)
            except queue.Empty:
                check()
                continue
            yield message
            if isinstance(message, Ending):
                return
            check()
    finally:
        ticket.cancel()  # nothing where it has ended


def _values(message: Measured, field: Declared, cells: Cells) -> Values:
    """What the worker said, checked again: it ran a stranger's code."""
    if message.reason:
        return Failure(message.reason, message.lasting)
    found: dict[str, Array] = {}
    try:
        for name, said in message.fields.items():
            other = declared.find(name)
            if other is None or other.analyzer != field.analyzer:
                continue
            flat = (
                said.numbers if other.info.type == "number" else np.array([*said.others, None], object)[:-1]
            )
            found[name] = array(flat.reshape(said.shape), other, cells)
        if field.info.name not in found:
            raise AnalyzerError(f"{field.analyzer} left out {field.info.name}")
    except (AnalyzerError, ValueError) as error:
        return Failure(host.said(error), False)
    return found


# In the worker


def measured(job: MeasureJob, capture: Capture, stop: Callable[[], None]) -> Iterator[Measured]:
    """One message per trace. Raises what keeps the analyzer from being loaded."""
    field = declared.find(job.field)
    if field is None:
        raise AnalyzerError(f"no analyzer declares {job.field}")
    analyzer = host.load(field.analyzer)()

    def asked() -> Iterator[Asked]:
        for each in job.asked:
            stop()
            cells = Cells(each.layers, each.heads, each.positions)
            try:
                yield Asked(each.number, ViewTrace.of(capture.trace(each.trace)), cells)
            except TensorsharkError as error:
                yield Asked(each.number, Failure(host.said(error), False), cells)

    for number, made in values(analyzer, field, asked()):
        if isinstance(made, Failure):
            yield Measured(number=number, reason=made.reason, lasting=made.lasting)
        else:
            yield Measured(number=number, fields={name: _packed(cells) for name, cells in made.items()})


def _packed(cells: Array) -> MeasuredCells:
    if cells.dtype == object:
        return MeasuredCells(
            shape=list(cells.shape), numbers=np.empty(0, np.float64), others=cells.ravel().tolist()
        )
    return MeasuredCells(shape=list(cells.shape), numbers=np.asarray(cells.ravel(), np.float64))
