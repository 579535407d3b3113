"""A capture: a folder of traces, opened lazily, checked on every read."""

from __future__ import annotations

import os
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tensorshark.traces import tensors
from tensorshark.traces.errors import IntegrityError, NotFoundError, UsageError
from tensorshark.traces.files import (
    fsync_dir,
    list_dir,
    make_dir,
    read_file,
    shown,
    write_file,
    writing,
)
from tensorshark.traces.journal import Journal, JournalEntry
from tensorshark.traces.manifest import (
    FORMAT,
    MAX_BYTES,
    CaptureRecord,
    ModelRecord,
    TraceManifest,
    decode,
    encode,
)
from tensorshark.traces.models import Models
from tensorshark.traces.tensors import Array
from tensorshark.traces.text import safe_text
from tensorshark.traces.trace import MANIFEST, Trace, blamed, check, folder
from tensorshark.traces.version import tool
from tensorshark.traces.writer import Writer

__all__ = ["Capture", "Sizes", "Trace", "Writer"]

RECORD = "capture.json"


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk by kind."""

    traces: int
    """Manifests, tensors and statistics of all committed traces."""
    tensors: int
    """The tensors of these."""
    models: int
    """Records, lens files and vocabularies."""
    journal: int
    index: int
    """The cache inside the capture; may be deleted at any time."""
    plain: int
    """What the four residual sites of all traces would take as float32, nothing derived."""


class Capture:
    """A folder `NAME.tshark/`, for any thread. Opening reads one small file, the rest is read on demand."""

    def __init__(self, path: Path, record: CaptureRecord) -> None:
        self.path = path
        self.record = record
        self.uuid = record.uuid
        self._models = Models(path)
        self._journal = Journal(path)
        self._entries: list[JournalEntry] | None = None
        self._numbers: dict[str, int] = {}
        self._searched = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Capture {self.path}>"

    @classmethod
    def open(cls, path: str | Path) -> Capture:
        """NotFoundError where there is none, UntrustedError where capture.json breaks a rule."""
        path = Path(path).absolute()
        try:
            data = read_file(path / RECORD, MAX_BYTES, path)
        except NotFoundError:
            what = "not a capture: it has no capture.json" if path.is_dir() else "no such capture"
            raise NotFoundError(f"{shown(path)}: {what}") from None
        return cls(path, decode(data, CaptureRecord, shown(path / RECORD)))

    @classmethod
    def create(cls, path: str | Path) -> Capture:
        """Make an empty capture, mode 0700, or open the one that is there.

        Raises UsageError for a folder that holds something else, StorageError when the disk refuses.
        """
        path = Path(path).absolute()
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not make_dir(path):
                other = [name for name in list_dir(path) if not name.startswith(f".{RECORD}.")]
                if (path / RECORD).exists():  # after the listing: others may be creating it right now
                    return cls.open(path)
                if other:
                    raise UsageError(
                        f"{shown(path)}: not a capture, and not empty ({shown(other[0])} is in it)"
                    )
            record = CaptureRecord(
                format=FORMAT, requires=[], uuid=str(uuid.uuid4()), created_at=now(), tool=tool()
            )
            staged = path / f".{RECORD}.{secrets.token_hex(4)}"
            write_file(staged, encode(record))
            try:
                os.link(staged, path / RECORD)  # unlike a rename this fails when another process was first
            except FileExistsError:
                return cls.open(path)
            finally:
                staged.unlink(missing_ok=True)
            fsync_dir(path)
            fsync_dir(path.parent)
        return cls.open(path)

    def models(self) -> dict[str, ModelRecord]:
        """Name -> record."""
        return {name: self.model(name) for name in self._models.names()}

    def model(self, name: str) -> ModelRecord:
        """NotFoundError names the models that are there."""
        return self._models.get(name)

    def add_model(
        self,
        record: ModelRecord,
        lens: Mapping[str, Array] | None = None,
        vocab: Sequence[str] | None = None,
    ) -> ModelRecord:
        """Idempotent; see `Models.add`. Use the name of the record that comes back."""
        return self._models.add(record, lens, vocab)

    def lens(self, name: str) -> dict[str, Array]:
        """norm.weight, norm.bias?, unembed.weight (vocab, d_model), unembed.bias?; see `Models.lens`."""
        return self._models.lens(name)

    def vocab(self, name: str) -> list[str]:
        """Token strings by id; untrusted text."""
        return self._models.vocab(name)

    def journal(self) -> list[JournalEntry]:
        """One entry per trace in capture order, with what other writers have added by now."""
        with self._lock:
            added = self._journal.refresh()
            if self._entries is None or added:
                first: dict[str, JournalEntry] = {}
                for entry in sorted((*(self._entries or ()), *added), key=lambda entry: entry.place):
                    first.setdefault(entry.id, entry)
                self._numbers = {trace_id: number for number, trace_id in enumerate(first, 1)}
                self._entries = list(first.values())
            return self._entries

    def problems(self) -> list[str]:
        """What is damaged in the journal, in words; the traces are checked when they are read."""
        self.journal()
        return self._journal.problems()

    def ids(self) -> list[str]:
        """In capture order."""
        return [entry.id for entry in self.journal()]

    def number(self, trace_id: str) -> int:
        """1-based position in capture order; 0 when there is no such trace."""
        if trace_id not in self._numbers:
            self.journal()
        return self._numbers.get(trace_id, 0)

    def __len__(self) -> int:
        return len(self.journal())

    def __contains__(self, trace_id: object) -> bool:
        return isinstance(trace_id, str) and self.number(trace_id) > 0

    def trace(self, prefix: str) -> Trace:
        """By id or a unique beginning of one.

        Raises NotFoundError, IntegrityError when trace.json is not what was committed, UntrustedError when
        it was committed breaking a rule.
        """
        return self.read(self._find(prefix))

    def read(self, entry: JournalEntry, number: int = 0) -> Trace:
        """The trace of a journal entry, whose `number` is known to the caller; raises as `trace` does."""
        path = folder(self.path, entry.id) / MANIFEST
        with blamed(entry.id):
            data = read_file(path, MAX_BYTES, self.path)
            if tensors.sha256(data) != entry.manifest_sha256:
                raise IntegrityError(f"{MANIFEST} is not what was committed")
        manifest = decode(data, TraceManifest, f"trace {entry.id}: {MANIFEST}")
        check(manifest, entry.id)
        return Trace(self, manifest, number)

    def select(self, filter: str = "") -> Iterator[Trace]:
        """Traces that a display filter matches, in capture order; an empty filter matches all."""
        text = filter.strip()
        return map(self.trace, _display_filter()(self, text) if text else iter(self.ids()))

    def writer(self, sync: bool = True) -> Writer:
        """A context manager that commits traces. Without `sync` nothing is flushed: for tests and benches."""
        return Writer(self, sync)

    def sizes(self) -> Sizes:
        """Bytes on disk by kind."""
        journal = self.journal()
        return Sizes(
            traces=sum(entry.size for entry in journal),
            tensors=sum(entry.tensors for entry in journal),
            models=_tree_bytes(self.path / "models"),
            journal=_tree_bytes(self.path / "journal"),
            index=_tree_bytes(self.path / ".index"),
            plain=sum(entry.plain for entry in journal),
        )

    def _find(self, prefix: str) -> JournalEntry:
        if self._entries is None and not self._searched and len(prefix) == 16:
            self._searched = True  # the second time, parsing the whole journal pays
            if found := self._journal.find(prefix):
                return found
        number = self.number(prefix)
        if number:
            return self.journal()[number - 1]
        found_all = [entry for entry in self.journal() if prefix and entry.id.startswith(prefix)]
        if len(found_all) == 1:
            return found_all[0]
        name = safe_text(prefix, 40)
        if found_all:
            raise NotFoundError(
                f"{shown(self.path)}: {len(found_all)} traces start with {name!r}; type more of it"
            )
        raise NotFoundError(f"{shown(self.path)}: no trace {name!r} among {len(self.journal())}")


def now() -> str:
    """UTC, ISO 8601, microseconds, ending in Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _display_filter() -> Callable[[Capture, str], Iterator[str]]:
    """What turns a filter's text into ids; found by its entry point, as the filter is above this layer."""
    from importlib import metadata  # 15 ms, and only filters ask

    for point in metadata.entry_points(group="tensorshark.filters", name="display"):
        select: Callable[[Capture, str], Iterator[str]] = point.load()
        return select
    raise NotFoundError("no display filter is installed; reinstall tensorshark")


def _tree_bytes(top: Path) -> int:
    """Sizes of the files below a folder; links are not followed."""
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(top) for name in names)
