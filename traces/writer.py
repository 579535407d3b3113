"""The staged commit: a trace is on disk whole or not at all, whatever is killed and whenever.

    staging/<writer>/<id>/    write the files -> flush each -> flush the folder -> rename it to
    traces/<id[:2]>/<id>/     -> flush the parent -> append the journal line -> flush

A trace counts when its journal line is there. Between the rename and the line a writer may be killed: what
it left is whole, and the next writer checks every byte of it and gives it its line.
"""

from __future__ import annotations

import errno
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from tensorshark.traces import tensors as safetensors
from tensorshark.traces.errors import StorageError, TensorsharkError, UsageError
from tensorshark.traces.files import (
    fsync_dir,
    fsync_file,
    list_dir,
    make_dir,
    read_file,
    shown,
    write_file,
    writing,
)
from tensorshark.traces.journal import JournalWriter
from tensorshark.traces.manifest import MAX_BYTES, StoredFile, TraceManifest, decode, encode
from tensorshark.traces.residuals import split
from tensorshark.traces.sites import DEFAULT_SITES, parse
from tensorshark.traces.staging import Staging
from tensorshark.traces.tensors import Array
from tensorshark.traces.text import safe_text
from tensorshark.traces.trace import MANIFEST, STATS, TENSORS, Trace, check, folder
from tensorshark.traces.version import tool

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

_SHARD = re.compile(r"[0-9a-f]{2}")
_ID = re.compile(r"[0-9a-f]{16}")
SET_ASIDE = "set-aside"
"""In staging: what lay in a trace's place, had no line and could not be read."""
_YOUNG = 60.0
"""Seconds for which a trace without a line may still get it from another writer that lives."""


@dataclass(frozen=True)
class Staged:
    """A trace that is written and not yet flushed; `Writer.finish` makes it count."""

    manifest: TraceManifest
    """With tensors, derived and files filled in."""
    place: Path
    """Its folder, inside the writer's staging."""
    itself: StoredFile
    """The manifest's own file."""


class Writer:
    """Commits traces; `with capture.writer() as writer:`. Any number of processes at once.

    One thread at a time, but for the halves of a commit: one thread may stage while another finishes.
    """

    def __init__(self, capture: Capture, sync: bool = True) -> None:
        self.capture = capture
        self._sync = sync
        self._traces = capture.path / "traces"
        with writing(capture.path):
            made = [make_dir(self._traces), make_dir(capture.path / "journal")]
            if sync and any(made):
                fsync_dir(capture.path)
            self._staging = Staging(capture.path)
        self._journal = JournalWriter(
            capture.path / "journal", self._staging.name, capture.uuid, tool(), sync=sync
        )
        self._lock = threading.Lock()
        """Held where traces are put in place and the journal is written."""
        self._unsettled: set[str] = set()
        """Traces that are in place and whose line is not written: then the next writer has work."""
        self._known: set[str] = set()
        try:
            self._known.update(capture.ids())
            self._take_over()
        except BaseException:
            self.close()
            raise

    def commit(
        self, manifest: TraceManifest, tensors: Mapping[str, Array], stats: Mapping[str, Array]
    ) -> TraceManifest | None:
        """Put one trace on disk; returns its manifest with tensors, derived and files filled in.

        Returns None when that id is there already. Raises StorageError when the disk refuses: then nothing
        of this trace is left, or, where the disk refuses to take back a line as well, all of it. Raises
        UsageError for what a manifest or a tensors file cannot hold.
        """
        staged = self.stage(manifest, tensors, stats)
        return None if staged is None else self.finish(staged)

    def stage(
        self, manifest: TraceManifest, tensors: Mapping[str, Array], stats: Mapping[str, Array]
    ) -> Staged | None:
        """The half of a commit that takes the processor: hash and write. None where there is nothing to do.

        Until `finish` nothing of it counts, and it goes when the writer is closed. Raises as `commit` does.
        """
        if not _ID.fullmatch(manifest.id):
            raise UsageError(f"{safe_text(manifest.id, 40)!r} is not a trace id; use trace_id()")
        final = folder(self.capture.path, manifest.id)
        if manifest.id in self._known:
            return None
        if final.is_dir():
            with self._lock:
                if self._met(manifest.id):
                    return None
        self.capture.model(manifest.model)
        place = self._staging.folder / manifest.id
        with writing(final):
            if not make_dir(place):
                return None  # staged before, and yet to be finished
            try:
                full, itself = self._stage(place, manifest, tensors, stats)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
        return Staged(full, place, itself)

    def finish(self, staged: Staged) -> TraceManifest | None:
        """The half of a commit that waits for the disk: flush, rename, journal. Raises as `commit` does."""
        final = folder(self.capture.path, staged.manifest.id)
        with self._lock:
            with writing(final):
                try:
                    self._flush(staged)
                    if not self._move(staged.place, final):
                        return None
                except OSError:
                    self._withdraw(final, staged.place)
                    raise
                finally:
                    shutil.rmtree(staged.place, ignore_errors=True)
            try:
                self._line(staged.manifest, staged.itself)
            except StorageError:
                if self._journal.certain:
                    self._withdraw(final, staged.place)
                raise
            self._unsettled.discard(staged.manifest.id)
        return staged.manifest

    def close(self) -> None:
        """Remove this writer's staging; idempotent."""
        self._journal.close()
        self._staging.close(settled=not self._unsettled)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stage(
        self, staged: Path, manifest: TraceManifest, tensors: Mapping[str, Array], stats: Mapping[str, Array]
    ) -> tuple[TraceManifest, StoredFile]:
        """Write the three files, unflushed; returns the full manifest and what its own file is."""
        stored, derived = split(tensors)
        main = safetensors.write(staged / TENSORS, stored, each=True, sync=False)
        files = [main.file]
        if stats:
            files.append(safetensors.write(staged / STATS, stats, sync=False).file)
        full = msgspec.structs.replace(manifest, tensors=main.tensors, derived=derived, files=files)
        check(full, manifest.id)
        try:
            data = encode(full)
        except ValueError as error:
            raise UsageError(
                f"trace {manifest.id}: its manifest cannot be written as JSON: {error}"
            ) from None
        if len(data) > MAX_BYTES:
            raise UsageError(
                f"trace {manifest.id}: a manifest of {len(data):,} bytes; the cap is {MAX_BYTES:,}"
            )
        write_file(staged / MANIFEST, data, sync=False)
        return full, StoredFile(name=MANIFEST, size=len(data), sha256=safetensors.sha256(data))

    def _flush(self, staged: Staged) -> None:
        """Files first, then the folder that names them."""
        if self._sync:
            for file in (*staged.manifest.files, staged.itself):
                fsync_file(staged.place / file.name)
            fsync_dir(staged.place)

    def _move(self, staged: Path, final: Path) -> bool:
        """Rename into place and flush; False when another writer was first."""
        if make_dir(final.parent) and self._sync:
            fsync_dir(self._traces)
        self._unsettled.add(final.name)
        try:
            staged.rename(final)
        except OSError as error:
            self._unsettled.discard(final.name)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
        if self._sync:
            fsync_dir(final.parent)
        return True

    def _withdraw(self, final: Path, staged: Path) -> None:
        """No line, no trace; where the disk refuses even this, the next writer takes it over."""
        if final.name in self._unsettled:
            with suppress(OSError):
                final.rename(staged)
                self._unsettled.discard(final.name)
                shutil.rmtree(staged, ignore_errors=True)

    def _met(self, trace_id: str) -> bool:
        """The folder is there, without a line when we looked: another writer's, or left by a dead one.

        False when it was not whole and its place is free now.
        """
        self._known.update(self.capture.ids())
        if trace_id in self._known or not self._may_adopt(trace_id, self._staging.alone([])):
            return True
        return self._adopt(trace_id)

    def _take_over(self) -> None:
        """Adopt what killed writers renamed and did not journal; remove their staging."""
        gone = self._staging.abandoned()
        left = bool(gone)
        try:
            if gone:
                left = self._adopt_all(self._staging.alone(gone))
        finally:
            for writer in gone:
                if left:
                    writer.release()
                else:
                    writer.remove()

    def _adopt_all(self, alone: bool) -> bool:
        """Returns True when something had to be left for a later writer."""
        left = False
        for shard in filter(_SHARD.fullmatch, list_dir(self._traces)):
            for trace_id in filter(_ID.fullmatch, list_dir(self._traces / shard)):
                if trace_id in self._known:
                    continue
                self._known.update(self.capture.ids())
                if trace_id in self._known:
                    continue
                if self._may_adopt(trace_id, alone):
                    self._adopt(trace_id)
                else:
                    left = True
        return left

    def _may_adopt(self, trace_id: str, alone: bool) -> bool:
        """Only what no living writer is about to journal."""
        changed = folder(self.capture.path, trace_id).lstat().st_ctime
        return alone or time.time() - changed > _YOUNG

    def _adopt(self, trace_id: str) -> bool:
        """Journal a whole trace; False for one that is not, which is set aside: nothing is ever deleted."""
        place = folder(self.capture.path, trace_id)
        try:
            manifest, itself = self._verify(place, trace_id)
        except StorageError:
            raise
        except TensorsharkError:
            with writing(place):
                make_dir(self._staging.root / SET_ASIDE)
                place.rename(self._staging.root / SET_ASIDE / f"{trace_id}-{secrets.token_hex(4)}")
            return False
        with writing(place):
            if self._sync:
                fsync_dir(place.parent)
        self._line(manifest, itself)
        return True

    def _line(self, manifest: TraceManifest, itself: StoredFile) -> None:
        """The journal line, which makes the trace count."""
        sizes = {file.name: file.size for file in (*manifest.files, itself)}
        self._journal.append(
            manifest.id,
            itself.sha256,
            size=sum(sizes.values()),
            tensors=sizes[TENSORS],
            plain=plain_bytes(manifest),
        )
        self._known.add(manifest.id)

    def _verify(self, place: Path, trace_id: str) -> tuple[TraceManifest, StoredFile]:
        """Every byte of a trace that has no journal line yet."""
        data = read_file(place / MANIFEST, MAX_BYTES, self.capture.path)
        manifest = decode(data, TraceManifest, shown(place / MANIFEST))
        check(manifest, trace_id)
        Trace(self.capture, manifest).verify()
        return manifest, StoredFile(name=MANIFEST, size=len(data), sha256=safetensors.sha256(data))


def plain_bytes(manifest: TraceManifest) -> int:
    """What the four residual sites would take as float32 with nothing derived."""
    return sum(
        4 * math.prod(tensor.shape)
        for tensor in manifest.all_tensors
        if parse(tensor.name)[0].name in DEFAULT_SITES
    )
