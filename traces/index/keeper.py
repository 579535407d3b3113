"""Keeping the index right: verified, up to date, and made again when it is not what was written."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tensorshark.traces.errors import NotFoundError, StorageError, TensorsharkError
from tensorshark.traces.files import FOLDER_MODE, shown
from tensorshark.traces.index import place, rows
from tensorshark.traces.index.database import Connection
from tensorshark.traces.index.generation import Generation
from tensorshark.traces.index.ingest import Ingest, Signature, entry_of, signature
from tensorshark.traces.index.seal import DamagedError

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

LOCK_WAIT_S = 600.0
"""How long a full refresh waits for another process that is ingesting."""
_TRIES = 5
"""Verifications that a busy writer may disturb before the index is made again."""
_MENDABLE = 64
"""Damaged traces that are looked at again when an index is opened: they may have been restored."""


class Keeper:
    """Holds the generation that counts. `generation` may be replaced at any time; ask for it anew."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.place = place.find(capture.path, capture.uuid)
        self._lock = threading.Lock()
        self._signature: Signature | None = None
        self._verified = False
        try:
            self.generation = Generation.current(self.place) or self._next(None)
            self._seen = rows.count(self.generation.database.reader)
        except sqlite3.DatabaseError:
            self.generation = self._next(self.place.generation())
            self._seen = 0

    @property
    def behind(self) -> bool:
        """True when there is something left for `refresh` to do."""
        return not self._verified or signature(self.capture) != self._signature

    def refresh(self, budget_s: float | None) -> int:
        """Verify, then ingest; returns by how many rows the index grew since the last call."""
        deadline = None if budget_s is None else time.monotonic() + budget_s
        with self._lock:
            try:
                self._refresh(deadline)
            except (sqlite3.DatabaseError, DamagedError, NotFoundError):
                self._replace(self.generation)
                self._refresh(deadline)
            except OSError as error:
                raise StorageError(f"{shown(self.place.folder)}: {error.strerror}") from None
            before, self._seen = self._seen, rows.count(self.generation.database.reader)
            return self._seen - before

    def recover(self, generation: Generation) -> Generation:
        """A generation that answers, now that `generation` was found damaged in use."""
        with self._lock:
            if self.generation is generation:
                self._replace(generation)
            self._refresh(None)
            return self.generation

    def is_damaged(self, generation: Generation) -> bool:
        """Look at every page of a generation that gave an error."""
        if self.generation is not generation or not generation.folder.is_dir():
            return True
        with self.place.locked(LOCK_WAIT_S) as held:
            return held and generation.seal.damaged()

    @contextlib.contextmanager
    def writing(self, wait_s: float) -> Iterator[Connection | None]:
        """The writer's connection, or None while another process writes. Seals what was committed."""
        generation = self.generation
        with self.place.locked(wait_s) as held:
            if not held:
                yield None
                return
            try:
                yield generation.writer
            finally:
                generation.seal.close(generation.writer)

    def close(self) -> None:
        """Close all connections; remove a temporary index."""
        with contextlib.suppress(OSError, sqlite3.DatabaseError, DamagedError):
            if self.generation.seal.waiting():  # left by a process that was killed; closing writes it back
                with self.writing(0.0):
                    pass
        self.generation.close()
        self.place.discard()

    def _refresh(self, deadline: float | None) -> None:
        if self.place.generation() != self.generation.folder:
            raise DamagedError("another process has made the index again, or somebody has removed it")
        if not self._verified and not self._verify(deadline):
            return
        now = signature(self.capture)
        if now == self._signature:
            return
        with self.writing(LOCK_WAIT_S if deadline is None else 0.0) as connection:
            if connection is not None:
                done = Ingest(self.capture, connection, self.generation.store).run(deadline)
                self._signature = now if done else None
            elif deadline is None:
                raise StorageError(f"{shown(self.place.folder)}: another process keeps this index locked")

    def _verify(self, deadline: float | None) -> bool:
        """Check all pages, by and by; True when done. Raises DamagedError."""
        for _ in range(_TRIES):
            try:
                self._verified = self.generation.seal.verify(deadline)
            except (DamagedError, TensorsharkError):
                self._settle()
                continue
            if self._verified:
                self._look_again()
            return self._verified
        raise DamagedError("pages keep changing")

    def _settle(self) -> None:
        """A page is not as its checksum says: damage, or a writer at work or killed in between."""
        with self.writing(LOCK_WAIT_S) as connection:
            if connection is None or self.generation.seal.damaged():
                raise DamagedError("a page of the database")
        self.generation.seal.restart()

    def _look_again(self) -> None:
        """Raises DamagedError when a trace that was damaged when it was ingested has been restored."""
        reader = self.generation.database.reader
        marked = reader.execute(
            "SELECT row FROM experts WHERE severity = ? AND code = ? ORDER BY row LIMIT ?",
            (*rows.INTEGRITY, _MENDABLE),
        ).fetchall()
        for (number,) in marked:
            entry = entry_of(reader, number)
            if entry is not None and rows.INTEGRITY not in rows.read(self.capture, entry).experts:
                raise DamagedError(f"trace {entry.id} has been restored")

    def _replace(self, old: Generation) -> None:
        try:
            self.generation = self._next(old.folder)
        except OSError as error:
            raise StorageError(f"{shown(self.place.folder)}: {error.strerror}") from None
        self._signature = None
        self._verified = False

    def _next(self, old: object) -> Generation:
        """What comes after the generation in folder `old`: another process's, or a new one."""
        try:
            self.place.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with self.place.locked(LOCK_WAIT_S):
                current = self.place.generation()
                made = Generation.current(self.place) if current != old else None
                return made or Generation.make(self.place)
        except OSError as error:
            raise StorageError(
                f"{shown(self.place.folder)}: no index can be made: {error.strerror}"
            ) from None
