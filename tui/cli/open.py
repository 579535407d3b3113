"""`tensorshark open`, and `tensorshark CAP.tshark`: the workbench on a capture."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.text import safe_text

EPILOG = """\b
Examples:
  tensorshark demo.tshark
  tensorshark                          the capture in this folder, when there is one
  tensorshark open --theme light demo.tshark
"""


@click.command("open", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option(
    "--theme",
    type=click.Choice(["auto", "dark", "light", "ansi"]),
    default="auto",
    help="Colours; auto goes by the environment.",
)
def command(capture: str | None, theme: str) -> int:
    """Look at CAPTURE in the workbench: list, filter, details, panes. `?` shows the keys there, q quits."""
    path = Path(capture) if capture is not None else _the_one_here()
    if not (path / "capture.json").is_file():
        what = "not a capture: it has no capture.json" if path.is_dir() else "no such capture"
        raise NotFoundError(f"{_shown(path)}: {what}")
    need_terminal()
    from tensorshark.tui.app import Workbench

    app = Workbench(path, theme)
    app.run()
    return app.return_code or 0


def need_terminal() -> None:
    """Raises UsageError where a full screen cannot be shown; the message says what can be done instead."""
    instead = "`tensorshark read` and `tensorshark info` work without one"
    # Textual reads stdin and writes stderr; stdout may be a file.
    for stream, name in ((sys.__stdin__, "stdin"), (sys.__stderr__, "stderr")):
        if stream is None or not stream.isatty():
            raise UsageError(f"the workbench needs a terminal, and {name} is not one; {instead}")
    if (term := os.environ.get("TERM", "")) in ("", "dumb"):
        raise UsageError(
            f"the workbench needs a terminal that can move its cursor, and TERM is {term!r}; {instead}"
        )


def _the_one_here() -> Path:
    """The only capture in the working folder. NotFoundError when there is none, UsageError with several."""
    found = sorted(path.parent for path in Path().glob("*.tshark/capture.json"))
    if not found:
        raise NotFoundError("no capture in this folder; `tensorshark demo` makes one to look at")
    if len(found) > 1:
        names = ", ".join(_shown(path) for path in found[:8])
        raise UsageError(f"{len(found)} captures in this folder, name one: {names}")
    return found[0]


def _shown(path: Path) -> str:
    return safe_text(str(path), 1024)
