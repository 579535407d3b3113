"""Capturing: prompts through a model, what flowed onto the disk.

    from tensorshark.forensics.capture import CaptureSettings, Prompt, capture

    summary = capture([Prompt("The capital of France is")], "france.tshark", CaptureSettings())

Importing this is cheap; torch and transformers are imported when something is captured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tensorshark.forensics.capture.prompts import Prompt
from tensorshark.forensics.capture.settings import (
    CaptureSettings,
    Interrupted,
    OnProgress,
    Progress,
    Summary,
    no_progress,
)

if TYPE_CHECKING:
    from tensorshark.forensics.capture.estimate import Plan

__all__ = ["CaptureSettings", "Interrupted", "OnProgress", "Progress", "Prompt", "Summary", "capture", "plan"]


def capture(
    prompts: Iterable[Prompt],
    out_path: str | Path,
    settings: CaptureSettings | None = None,
    on_progress: OnProgress = no_progress,
) -> Summary:
    """Run prompts through a model and commit one trace each to the capture at `out_path`, made if needed.

    Traces that are there already are not computed again, so a run that was stopped goes on where it was.
    A prompt that cannot be captured is named in the summary, and the others go on.

    Raises NotFoundError or UntrustedError for the model, UsageError for settings that do not fit it,
    StorageError when the disk refuses, and Interrupted (a KeyboardInterrupt that carries the summary) on
    Ctrl-C; the capture is valid after each of them.
    """
    from tensorshark.forensics.capture.engine import run

    return run(prompts, Path(out_path), settings or CaptureSettings(), on_progress)


def plan(
    prompts: Iterable[Prompt],
    out_path: str | Path,
    settings: CaptureSettings | None = None,
    on_progress: OnProgress = no_progress,
) -> Plan:
    """What `capture` would do with the same arguments, in traces and bytes. Nothing is written."""
    from tensorshark.forensics.capture.estimate import estimate

    return estimate(prompts, Path(out_path), settings or CaptureSettings(), on_progress)
