"""A thread that commits traces while the next pass runs, behind a queue that cannot grow."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tensorshark.forensics.capture.manifests import Manifests
from tensorshark.forensics.capture.tokens import Prepared
from tensorshark.traces.manifest import TraceManifest
from tensorshark.traces.store import Capture
from tensorshark.traces.trace import TENSORS
from tensorshark.traces.writer import plain_bytes

if TYPE_CHECKING:
    from tensorshark.forensics.capture.forward import Row

DEPTH = 1
"""Stretches of traces that may wait to be written; each keeps its tensors in memory."""


@dataclass
class Counts:
    """What has been committed so far."""

    ids: list[str] = field(default_factory=list)
    already_there: int = 0
    tokens: int = 0
    tensor_bytes: int = 0
    plain_bytes: int = 0
    bytes: int = 0
    experts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Captured:
    """A prompt and what it left behind."""

    prompt: Prepared
    row: Row
    batch: tuple[int, int]
    """Shape of the padded batch that the row was in: (batch, pos)."""


class Committer:
    """Context manager; leaving it writes out what is queued, or abandons it after an error or `abandon`."""

    def __init__(self, capture: Capture, manifests: Manifests) -> None:
        self.counts = Counts()
        self._capture = capture
        self._manifests = manifests
        self._queue: queue.Queue[Sequence[Captured] | None] = queue.Queue(DEPTH)
        self._error: BaseException | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committer")

    def put(self, traces: Sequence[Captured]) -> None:
        """Hand over traces, first to last; waits while the queue is full. Raises what the thread raised."""
        while True:
            self._raise()
            try:
                self._queue.put(traces, timeout=0.1)
            except queue.Full:
                continue
            return

    def abandon(self) -> None:
        """Finish the trace that is being written, and leave the rest of the queue."""
        self._abandoned.set()

    def __enter__(self) -> Committer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            self.abandon()
        self._finish()
        if error is None:
            self._raise()

    def _finish(self) -> None:
        """Wait for the thread; a second Ctrl-C while waiting abandons the queue."""
        while self._thread.is_alive():
            try:
                try:
                    self._queue.put(None, timeout=0.1)
                except queue.Full:
                    continue
                self._thread.join()
            except KeyboardInterrupt:
                self.abandon()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with self._capture.writer() as writer:
                while (traces := self._queue.get()) is not None:
                    for trace in traces:
                        if self._abandoned.is_set():
                            return
                        manifest = self._manifests.build(trace.prompt, trace.row, trace.batch)
                        self._count(writer.commit(manifest, trace.row.tensors, trace.row.stats))
        except BaseException as error:
            self._error = error

    def _count(self, manifest: TraceManifest | None) -> None:
        counts = self.counts
        if manifest is None:
            counts.already_there += 1
            return
        counts.ids.append(manifest.id)
        counts.tokens += len(manifest.token_ids)
        counts.tensor_bytes += sum(file.size for file in manifest.files if file.name == TENSORS)
        counts.plain_bytes += plain_bytes(manifest)
        counts.bytes += sum(file.size for file in manifest.files)
        counts.experts.update({expert.code for expert in manifest.experts})
