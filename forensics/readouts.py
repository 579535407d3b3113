"""Lens readings of stored traces, kept cell by cell: moving the cursor computes only what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import lens
from tensorshark.forensics.jobs import Floats, Integers, LensGrid, LensJob
from tensorshark.traces.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture
    from tensorshark.traces.trace import Trace

_OPEN = 3
"""Traces whose residuals are kept."""
_KEPT = 16
"""Traces whose readings are kept."""
_CELLS = 4_000_000
"""Largest number of (layer, pos, k) whose readings are kept for one trace."""

Report = Callable[[int, int], None]
"""Called with (positions done, positions in all); may raise to stop."""
Key = tuple[str, str, int, int | None]
"""Uuid of the capture, trace, k, tracked token."""


@dataclass
class _Sheet:
    """All readings of one trace so far, over its (layer, pos) plane."""

    known: NDArray[np.bool_]
    """(layer, pos)"""
    token_ids: Integers
    """(layer, pos, k)"""
    probs: Floats
    entropy: Floats
    """(layer, pos)"""
    kl: Floats
    kl_reverse: Floats
    rank: Integers
    tracked: Integers
    """(pos,)"""

    @classmethod
    def blank(cls, layers: int, positions: int, k: int) -> _Sheet:
        """Nothing known."""
        plane = (layers, positions)
        return cls(
            np.zeros(plane, dtype=bool),
            np.empty((*plane, k), dtype=np.int64),
            np.empty((*plane, k), dtype=np.float32),
            np.empty(plane, dtype=np.float32),
            np.empty(plane, dtype=np.float32),
            np.empty(plane, dtype=np.float32),
            np.empty(plane, dtype=np.int64),
            np.empty(positions, dtype=np.int64),
        )

    def fill(self, found: lens.Readout, columns: Sequence[int]) -> None:
        """Enter a reading at columns of this sheet."""
        cells = np.ix_(found.layers, columns)
        for name in ("token_ids", "probs", "entropy", "kl", "kl_reverse", "rank"):
            getattr(self, name)[cells] = getattr(found, name)
        self.tracked[columns] = found.tracked
        self.known[cells] = True


class Readouts:
    """Reads on demand; remembers residuals and readings of the traces looked at last."""

    def __init__(self) -> None:
        self._traces: OrderedDict[tuple[str, str], Trace] = OrderedDict()
        self._sheets: OrderedDict[Key, _Sheet] = OrderedDict()

    def grid(self, capture: Capture, job: LensJob, report: Report) -> LensGrid:
        """What the lens says at the job's layers and positions.

        Raises NotFoundError where the lens or a layer was not captured, UsageError for a position that the
        trace does not have.
        """
        trace = self._trace(capture, job.trace)
        captured = trace.sites["resid_post"].layers if "resid_post" in trace.sites else []
        if missing := sorted(set(job.layers) - set(captured)):
            raise NotFoundError(
                f"resid_post of layer {missing[0]} was not captured; capture it with --layers"
            )
        count = len(trace.token_ids)
        if not all(0 <= position < count for position in job.positions):
            raise UsageError(f"the trace has positions 0 to {count - 1}")
        sheet, columns = self._sheet(trace, job)
        self._complete(trace, job, sheet, columns, report)
        cells = np.ix_(job.layers, columns)
        ids = sheet.token_ids[cells]
        return LensGrid(
            trace=trace.id,
            layers=job.layers,
            positions=job.positions,
            token_ids=ids,
            tokens=lens.token_strings(ids, _vocab(capture, trace)),
            probs=sheet.probs[cells],
            entropy=sheet.entropy[cells],
            kl=sheet.kl[cells],
            kl_reverse=sheet.kl_reverse[cells],
            rank=sheet.rank[cells],
            tracked=sheet.tracked[columns],
        )

    def _trace(self, capture: Capture, trace_id: str) -> Trace:
        key = (capture.uuid, trace_id)
        if key not in self._traces:
            self._traces[key] = capture.trace(trace_id)
            if len(self._traces) > _OPEN:
                self._traces.popitem(last=False)
        self._traces.move_to_end(key)
        return self._traces[key]

    def _sheet(self, trace: Trace, job: LensJob) -> tuple[_Sheet, list[int]]:
        """The sheet to fill, and its columns for the job's positions; a very large one is not kept."""
        record, count = trace.model, len(trace.token_ids)
        layers, k = max(record.layers, *job.layers, 0) + 1, min(job.top_k, record.vocab)
        if layers * count * k > _CELLS:
            return _Sheet.blank(layers, len(job.positions), k), list(range(len(job.positions)))
        key = (trace.capture.uuid, trace.id, k, job.track)
        if key not in self._sheets:
            self._sheets[key] = _Sheet.blank(layers, count, k)
            if len(self._sheets) > _KEPT:
                self._sheets.popitem(last=False)
        self._sheets.move_to_end(key)
        return self._sheets[key], job.positions

    def _complete(
        self, trace: Trace, job: LensJob, sheet: _Sheet, columns: Sequence[int], report: Report
    ) -> None:
        """Compute what the job asks for and the sheet does not have, few positions at a time."""
        lacking = ~sheet.known[np.ix_(job.layers, columns)]  # (layer, pos)
        layers = [job.layers[at] for at in np.flatnonzero(lacking.any(axis=1))]
        todo = np.flatnonzero(lacking.any(axis=0)).tolist()
        step = max(1, lens.ROWS // max(1, len(layers)))
        for start in range(0, len(todo), step):
            report(start, len(todo))
            part = todo[start : start + step]
            found = lens.read(trace, layers, [job.positions[at] for at in part], job.top_k, job.track)
            sheet.fill(found, [columns[at] for at in part])


def _vocab(capture: Capture, trace: Trace) -> Sequence[str]:
    try:
        return capture.vocab(trace.manifest.model)
    except NotFoundError:
        return ()  # the ids have to do
