"""How far a capture is, on stderr: for `tensorshark capture` and `tensorshark demo`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tensorshark.forensics.capture import OnProgress, Progress
from tensorshark.traces.text import safe_text
from tensorshark.tui.cli import output


@contextmanager
def drawn() -> Iterator[OnProgress]:
    """Yields what `capture` takes as its callback.

    On a terminal one live line with a bar, taken away at the end; elsewhere a line for each slow step.
    """
    if sys.stderr.isatty():
        with _live() as show:
            yield show
        return
    said: set[str] = set()

    def say(progress: Progress) -> None:
        if progress.stage == "model" and progress.text not in said:
            said.add(progress.text)
            output.note(safe_text(progress.text))

    yield say


@contextmanager
def _live() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rates]}", markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rates="")
        stage, started = "", time.monotonic()

        def show(progress: Progress) -> None:
            nonlocal stage, started, task
            if progress.stage != stage:  # rates and the time left are those of the stage
                bar.remove_task(task)
                task = bar.add_task("", total=None, rates="")
                stage, started = progress.stage, time.monotonic()
            bar.update(
                task,
                description=safe_text(progress.text, 60),
                completed=progress.done,
                total=progress.total or None,
                rates=_rates(progress, time.monotonic() - started),
            )

        yield show


def _rates(progress: Progress, seconds: float) -> str:
    """Traces and tokens per second, and bytes so far; empty until there is something to divide."""
    if not progress.tokens or seconds <= 0:
        return ""
    traces, tokens = progress.done / seconds, progress.tokens / seconds
    return f"{traces:.1f} traces/s  {tokens:,.0f} tokens/s  {output.size(progress.bytes)}"
