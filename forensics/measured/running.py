"""Running one analyzer's `measure` over traces, so that a bad trace or a bad analyzer ends nothing.

The same for our analyzers, in this process, and for others, in the worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tensorshark.forensics import host
from tensorshark.forensics.analyzer import Analyzer, Cells, Needs
from tensorshark.forensics.measured import declared
from tensorshark.forensics.measured.columns import Array
from tensorshark.forensics.measured.declared import Declared
from tensorshark.forensics.view import ViewTrace, lacking
from tensorshark.traces.errors import AnalyzerError, IntegrityError, NotFoundError, UntrustedError

MOST_CELLS = 1 << 26
"""Of one trace."""


class Failure(NamedTuple):
    """Why a trace has no value."""

    reason: str
    """Safe to print, with a remedy where there is one."""
    lasting: bool
    """True when another try would end the same, so that it is kept on disk."""


class Asked(NamedTuple):
    """What is asked of one trace."""

    number: int
    trace: ViewTrace | Failure
    """The trace, or why it cannot be opened."""
    cells: Cells


Values = dict[str, Array] | Failure
"""Field -> cells, float64 or objects: the one asked for, and others that came for free."""


class _Turns:
    """Hands traces to an analyzer, and remembers whose turn it is and what stopped it."""

    def __init__(self, field: Declared, asked: Iterator[Asked]) -> None:
        self.waiting: deque[tuple[int, Cells]] = deque()
        """Handed over and not answered. Traces are not held: their tensors take room."""
        self.failed: list[tuple[int, Failure]] = []
        self.stopped: BaseException | None = None
        self.ended = False
        self._field = field
        self._asked = asked

    def __iter__(self) -> Iterator[tuple[ViewTrace, Cells]]:
        while True:
            try:
                number, trace, cells = next(self._asked)
                missing = None if isinstance(trace, Failure) else _lacking(trace, self._field)
            except StopIteration:
                self.ended = True
                return
            except BaseException as error:
                self.stopped = error
                raise
            if isinstance(trace, Failure):
                self.failed.append((number, trace))
            elif missing is not None:
                self.failed.append((number, missing))
            else:
                self.waiting.append((number, cells))
                yield trace, cells


def values(analyzer: Analyzer, field: Declared, asked: Iterable[Asked]) -> Iterator[tuple[int, Values]]:
    """(number, values) of every trace, not always in their order. Raises only what `asked` raises."""
    turns = _Turns(field, iter(asked))
    while not turns.ended:
        try:
            for value in analyzer.measure_all(iter(turns), field.info.name):
                if not turns.waiting:
                    raise AnalyzerError(f"measure_all of {field.analyzer} makes more values than traces")
                number, cells = turns.waiting.popleft()
                yield number, _checked(value, field, cells)
            problem = Failure(f"measure_all of {field.analyzer} makes fewer values than traces", False)
            stuck = not turns.ended
        except (Exception, SystemExit) as error:
            if turns.stopped is not None:
                raise turns.stopped from None
            problem = _failure(error)
            stuck = not turns.ended and not turns.waiting
        if turns.stopped is not None:
            raise turns.stopped
        if stuck:
            next(iter(turns), None)  # it took none: give up one, so that there is an end
        yield from turns.failed
        yield from ((number, problem) for number, _ in turns.waiting)
        turns.failed.clear()
        turns.waiting.clear()


def _lacking(trace: ViewTrace, field: Declared) -> Failure | None:
    """What the analyzer needs and the trace has not."""
    needs = field.needs
    missing = lacking(trace, Needs(needs.sites, needs.stats, needs.lens))
    return None if missing is None else Failure(f"{missing.reason}; {missing.remedy}", True)


def _checked(value: Any, field: Declared, cells: Cells) -> Values:
    """What an analyzer made, as arrays of the right type and shape."""
    try:
        if isinstance(value, BaseException):
            raise value
        if not isinstance(value, dict):
            return {field.info.name: array(value, field, cells)}
        if field.info.name not in value:
            raise AnalyzerError(f"{field.analyzer} left out {field.info.name}")
        known = {name: declared.find(name) for name in value}
        return {
            name: array(value[name], each, cells)
            for name, each in known.items()
            if each is not None and each.analyzer == field.analyzer
        }
    except (Exception, SystemExit) as error:
        return _failure(error)


def array(value: Any, field: Declared, cells: Cells) -> Array:
    """Cells with the field's axes: float64 with NaN, or objects with None. Raises AnalyzerError."""
    name, shape = field.info.name, cells.shape(field.info.axes)
    if int(np.prod(shape, dtype=np.int64)) > MOST_CELLS:
        raise AnalyzerError(f"{name} has {shape} cells here; select layers, heads or tokens")
    try:
        made = np.asarray(value, np.float64 if field.info.type == "number" else object)
    except (TypeError, ValueError):
        raise AnalyzerError(f"{name} is not {field.info.type}s of shape {shape}") from None
    if made.shape != shape:
        raise AnalyzerError(f"{name} has shape {made.shape}; {shape} was asked for")
    if made.dtype != object:
        return made
    kinds = (str,) if field.info.type == "text" else (bool, np.bool_)
    if not all(each is None or isinstance(each, kinds) for each in made.ravel().tolist()):
        raise AnalyzerError(f"{name} holds something else than {field.info.type} and None")
    if field.info.type == "truth":
        plain = np.empty(shape, object)
        plain.ravel()[:] = [None if each is None else bool(each) for each in made.ravel().tolist()]
        return plain
    return made


def _failure(error: BaseException) -> Failure:
    """The error in words, and whether it will be the same next time."""
    if isinstance(error, NotFoundError):
        return Failure(f"{error}; {host.REMEDY}", True)
    passing = isinstance(error, IntegrityError | UntrustedError | OSError | MemoryError | SystemExit)
    return Failure(host.said(error), not passing)
