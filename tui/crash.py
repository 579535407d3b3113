"""What is said and kept when something unforeseen happens: where it happened, never what was being looked at.

Prompts are secrets as often as not, and tracebacks with locals or exception messages carry them into
scrollback and bug reports. A crash shows the exception's type and place; the log holds frames and source
lines, no values.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.text import safe_text

EXIT_CODE = 70
"""What a crash ends a command with; not one of the codes that mean something was found or refused."""


def exit_code(error: BaseException) -> int:
    """The exit code of a TensorsharkError, EXIT_CODE for anything else."""
    return error.exit_code if isinstance(error, TensorsharkError) else EXIT_CODE


def report(error: BaseException, command: str) -> str:
    """Lines for the terminal about `error`; for an unforeseen one a log is written too, and named.

    `command` is what ran (`read`, `workbench`), without its arguments: those may hold prompts.
    """
    if isinstance(error, TensorsharkError):
        return f"tensorshark: {error}"
    import platform  # here: every command imports this module, and hardly any crashes

    frames = "\n".join(_frames(error))
    header = f"tensorshark {command}, {platform.platform()}, Python {platform.python_version()}"
    try:
        path = _write_log(f"{header}\n{frames}\n")
    except OSError as problem:
        return f"{frames}\n{_headline(error)}\n  no crash log: {problem.strerror or type(problem).__name__}"
    return (
        f"{_headline(error)}\n"
        f"  the crash log has the frames, and none of your data: {safe_text(str(path))}\n"
        f"  it helps whoever fixes this; what was committed to a capture is safe"
    )


def _headline(error: BaseException) -> str:
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {_short(last[0].filename)}:{last[0].lineno} in {last[0].name}" if last else ""
    return f"tensorshark: internal error: {type(error).__name__}{place}"


def _frames(error: BaseException) -> Iterator[str]:
    """The chain of exceptions, cause first, as types and frames."""
    import traceback

    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain and len(chain) < 16:
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    for link in reversed(chain):
        for frame in traceback.extract_tb(link.__traceback__):
            yield f"  {safe_text(_short(frame.filename))}:{frame.lineno} in {safe_text(frame.name)}"
            yield f"    {safe_text(frame.line or '')}"
        yield type(link).__name__


def _short(filename: str) -> str:
    """`tui/app.py` for our own files, the whole path for others."""
    root = Path(__file__).resolve().parent.parent
    path = Path(filename).resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else filename


def _write_log(text: str) -> Path:
    """A new file only its owner can read, in the user's state folder."""
    from platformdirs import user_state_path

    folder = user_state_path("tensorshark")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = folder / f"crash-{now}-{os.getpid()}-{os.urandom(2).hex()}.log"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)
    return path


def say(text: str) -> None:
    """Write to stderr, which may be gone; a message that nobody can read must not become another crash."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
