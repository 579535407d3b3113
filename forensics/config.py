"""The user's own settings: `config.toml` in the user's config folder, or where TENSORSHARK_CONFIG says.

    [macros]
    loud = "resid_post.norm > $1"
    quiet = { text = "attn.entropy < $1", description = "sharp attention" }

Read when it is needed and again when it has changed. It is the user's, so a link is followed; what cannot
be meant is an error that says the line or the name.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from tensorshark.traces.errors import UsageError
from tensorshark.traces.files import shown
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.forensics.filter.context import Context
    from tensorshark.traces.case import Case
    from tensorshark.traces.store import Capture

VARIABLE = "TENSORSHARK_CONFIG"
MAX_BYTES = 1 << 20
MAX_TEXT = 8192
"""Of one macro."""
_TABLES = ("macros",)
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")

Saved = tuple[str, str]
"""Text and description."""
_read: dict[Path, tuple[tuple[int, int, int], dict[str, Saved]]] = {}
"""File -> what it looked like when it was read, and its macros."""


def path() -> Path:
    """Where the settings are, whether or not there are any."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("tensorshark") / "config.toml"


def macros() -> dict[str, Saved]:
    """The user's macros by name; none where there is no file. Raises UsageError: one line."""
    file = path()
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{shown(file)}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise UsageError(f"{shown(file)}: {status.st_size:,} bytes; settings have at most {MAX_BYTES:,}")
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if _read.get(file, (None,))[0] != seen:
            _read[file] = (seen, _macros(file, file.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{shown(file)}: cannot be read: {error.strerror}") from None
    return _read[file][1]


def _macros(file: Path, data: bytes) -> dict[str, Saved]:
    import tomllib  # 2 ms, and most users keep no such file

    try:
        said = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise UsageError(f"{shown(file)}: not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{shown(file)}: {safe_text(str(error), 200)}") from None
    for name in said:
        if name not in _TABLES:
            raise UsageError(f"{shown(file)}: there is no setting {safe_text(name, 40)!r}; there is [macros]")
    table = said.get("macros", {})
    if not isinstance(table, dict):
        raise UsageError(f"{shown(file)}: macros is a table: [macros]")
    return {name: _macro(file, name, value) for name, value in table.items()}


def _macro(file: Path, name: str, value: Any) -> Saved:
    """One macro: a text, or a table with `text` and perhaps `description`."""
    where = f"{shown(file)}: macro {safe_text(name, 40)!r}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name has 1 to 64 letters a-z, digits and _")
    said = {"text": value} if isinstance(value, str) else value
    if not isinstance(said, dict) or not {"text"} <= said.keys() <= {"text", "description"}:
        raise UsageError(f'{where}: write {name} = "…" or {name} = {{ text = "…", description = "…" }}')
    text, description = said["text"], said.get("description", "")
    if not isinstance(text, str) or not isinstance(description, str):
        raise UsageError(f"{where}: text and description are strings")
    if not text.strip() or len(text) > MAX_TEXT:
        raise UsageError(f"{where}: its text has 1 to {MAX_TEXT:,} characters")
    return text, description


class Macros(Mapping[str, str]):
    """Name -> text, of the user and of a case, whose macros come first. Reads when it is asked."""

    def __init__(self, case: Case | None = None) -> None:
        self._case = case

    def _all(self) -> dict[str, str]:
        found = {name: text for name, (text, _) in macros().items()}
        if self._case is not None:
            found |= {name: macro.text for name, macro in self._case.macros.items()}
        return found

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())


def context(case: Case | None = None, selected: int = 0) -> Context:
    """What filters may ask that is not in the capture, as of now: a stat per writer of the case."""
    from tensorshark.forensics.filter.context import Context

    if case is not None:
        case.refresh()
    return Context(selected=selected, macros=Macros(case), case=case)


def of(capture: Capture) -> Context:
    """`context` with the case of a capture, where there is one."""
    from tensorshark.traces.case import place

    if not place.exists(capture):
        return context()
    from tensorshark.traces.case import Case

    return context(Case.open(capture))
