"""sha256 of large files, remembered by (path, size, modification time).

Weights of many gigabytes are hashed once, not once per capture. The memory is a cache: losing it costs time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tensorshark.forensics.capture.home import cache_dir
from tensorshark.traces.errors import NotFoundError
from tensorshark.traces.files import replace_file, shown
from tensorshark.traces.manifest import StoredFile

_LIMIT = 10_000


def stored_files(paths: Iterable[Path]) -> list[StoredFile]:
    """Name, size and sha256 of each file, in the order given. NotFoundError for one that is not there."""
    known = _load()
    before = len(known)
    files = [_stored_file(path, known) for path in paths]
    if len(known) != before:
        _save(known)
    return files


def _stored_file(path: Path, known: dict[str, str]) -> StoredFile:
    try:
        status = path.stat()
        key = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
        if key not in known:
            with path.open("rb") as file:
                known[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotFoundError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    return StoredFile(name=path.name, size=status.st_size, sha256=known[key])


def _load() -> dict[str, str]:
    try:
        known = json.loads((cache_dir() / "hashes.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _save(known: dict[str, str]) -> None:
    newest = dict(list(known.items())[-_LIMIT:])
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        replace_file(cache_dir() / "hashes.json", json.dumps(newest).encode())
    except OSError:
        return  # a cache that cannot be written costs time, not correctness
