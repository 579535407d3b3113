"""`models/<name>/`: which model it was, and what it takes to read a lens or a token without it."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tensorshark.traces import tensors
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError, UsageError
from tensorshark.traces.files import (
    ReadFile,
    fsync_dir,
    list_dir,
    make_dir,
    read_file,
    shown,
    write_file,
    writing,
)
from tensorshark.traces.manifest import MAX_BYTES, ModelRecord, decode, encode
from tensorshark.traces.staging import Staging
from tensorshark.traces.tensors import Array
from tensorshark.traces.text import safe_text

RECORD = "model.json"
LENS = "lens.safetensors"
VOCAB = "vocab.json"
MAX_LENS = 16 << 30
MAX_VOCAB = 64 << 20
LENS_NAMES = frozenset({"norm.weight", "norm.bias", "unembed.weight", "unembed.bias"})
"""What lens.safetensors may hold; unembed.weight is (vocab, d_model)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Models:
    """The models of one capture; records are read once."""

    def __init__(self, capture: Path) -> None:
        self.capture = capture
        self.folder = capture / "models"
        self._records: dict[str, ModelRecord] = {}
        self._lenses: dict[str, dict[str, Array]] = {}
        self._vocabs: dict[str, list[str]] = {}

    def names(self) -> list[str]:
        """Folder names, sorted."""
        return [name for name in list_dir(self.folder) if _NAME.fullmatch(name)]

    def get(self, name: str) -> ModelRecord:
        """NotFoundError, or UntrustedError for a record that breaks a rule."""
        if name not in self._records:
            if not _NAME.fullmatch(name) or name not in self.names():
                have = ", ".join(self.names()) or "none"
                raise NotFoundError(
                    f"{shown(self.capture)}: no model {safe_text(name, 80)!r}; there are: {have}"
                )
            path = self.folder / name / RECORD
            record = decode(read_file(path, MAX_BYTES, self.capture), ModelRecord, shown(path))
            if record.name != name:
                raise UntrustedError(f"{shown(path)}: is the record of another model")
            self._records[name] = record
        return self._records[name]

    def lens(self, name: str) -> dict[str, Array]:
        """Final norm and unembedding, as stored; the whole file is hash-checked, once.

        Raises NotFoundError when the capture was made without, or links a file that is not there.
        """
        if name not in self._lenses:
            lens = self.get(name).lens
            if lens.storage == "none":
                raise NotFoundError(
                    f"model {name}: captured without a lens file; capture with --lens-file embed"
                )
            linked = lens.storage == "link"
            path = Path(lens.source) if linked else self.folder / name / LENS
            try:
                with ReadFile(path, MAX_LENS, None if linked else self.capture) as file:
                    read = tensors.read_all(file, lens.sha256)
            except IntegrityError as error:
                raise IntegrityError(f"model {name}: {error}; no lens can be read from it") from None
            except NotFoundError as error:
                raise NotFoundError(f"model {name}: its lens file is not there: {error}") from None
            if not {"norm.weight", "unembed.weight"} <= read.keys() <= LENS_NAMES:
                raise UntrustedError(f"{shown(path)}: does not hold a final norm and an unembedding")
            self._lenses[name] = read
        return self._lenses[name]

    def vocab(self, name: str) -> list[str]:
        """Token strings by id; untrusted text. NotFoundError when the capture was made without."""
        if name not in self._vocabs:
            expected = self.get(name).vocab_sha256
            if not expected:
                raise NotFoundError(
                    f"model {name}: captured without its vocabulary; token strings are not known"
                )
            path = self.folder / name / VOCAB
            data = read_file(path, MAX_VOCAB, self.capture)
            if tensors.sha256(data) != expected:
                raise IntegrityError(f"model {name}: {shown(path)} is not what was committed")
            try:
                self._vocabs[name] = msgspec.json.decode(data, type=list[str])
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise UntrustedError(f"{shown(path)}: not a list of strings: {error}") from None
        return self._vocabs[name]

    def add(
        self, record: ModelRecord, lens: Mapping[str, Array] | None = None, vocab: Sequence[str] | None = None
    ) -> ModelRecord:
        """Put a model there, whole or not at all; returns the record as it is on disk.

        The same fingerprint under the same name is that model. Another one under that name gets a name of
        its own, `<name>-<first 8 digits of its fingerprint>`: use the name of the record that comes back.
        """
        if not _NAME.fullmatch(record.name):
            raise UsageError(f"{safe_text(record.name, 80)!r} cannot be a model's name in a capture")
        if record.name in self.names():
            there = self.get(record.name)
            if there.fingerprint == record.fingerprint:
                return there
            suffix = f"-{record.fingerprint[:8]}"
            if record.name.endswith(suffix):
                raise UsageError(f"model {record.name}: the capture has another one of that name")
            return self.add(msgspec.structs.replace(record, name=record.name[:55] + suffix), lens, vocab)
        with writing(self.folder), Staging(self.capture) as staging:
            if make_dir(self.folder):
                fsync_dir(self.capture)
            staged = staging.folder / record.name
            make_dir(staged)
            self._stage(staged, record, lens, vocab)
            try:
                staged.rename(self.folder / record.name)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return self.add(record, lens, vocab)  # another writer was first
            fsync_dir(self.folder)
        return self.get(record.name)

    def _stage(
        self, staged: Path, record: ModelRecord, lens: Mapping[str, Array] | None, vocab: Sequence[str] | None
    ) -> None:
        if lens is not None:
            file = tensors.write(staged / LENS, lens).file
            described = msgspec.structs.replace(
                record.lens, storage="embed", sha256=file.sha256, size=file.size
            )
            record = msgspec.structs.replace(record, lens=described)
        if vocab is not None:
            try:
                data = msgspec.json.encode(list(vocab))
            except UnicodeEncodeError:
                raise UsageError(f"model {record.name}: its vocabulary has a lone surrogate") from None
            write_file(staged / VOCAB, data)
            record = msgspec.structs.replace(record, vocab_sha256=tensors.sha256(data))
        write_file(staged / RECORD, encode(record))
        fsync_dir(staged)
