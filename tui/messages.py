"""What widgets, panes and threads tell the workbench.

Threads never touch a widget: they post one of these, and the app decides. Where only the last of a kind
matters (a load, a check), the message carries the ticket of the request that it answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textual.message import Message

from tensorshark.tui.cursor import Cursor

if TYPE_CHECKING:
    import numpy as np

    from tensorshark.forensics.filter import Check, Completion
    from tensorshark.tui.panes.pane import Subject


@dataclass
class CursorMoved(Message):
    """The user moved in a pane, the list or the tree; the app moves everyone else."""

    cursor: Cursor


@dataclass
class TraceLoaded(Message):
    """The selected trace was read in a thread, or could not be: see `subject.problem`."""

    ticket: int
    """Which request this answers; all but the newest are dropped."""
    trace: str
    """The trace's id."""
    subject: Subject
    """It, or why it could not be read."""


@dataclass
class FilterTyped(Message):
    """The text of the filter bar changed."""

    text: str
    position: int
    """Where the caret is, in characters."""
    history: list[str] = field(default_factory=list)
    """Filters applied before, the most recent first."""


@dataclass
class FilterChecked(Message):
    """What the engine thinks of the text so far."""

    text: str
    check: Check
    completions: list[Completion]


@dataclass
class FilterSubmitted(Message):
    """Enter was pressed in the filter bar."""

    text: str


@dataclass
class FilterFound(Message):
    """What a filter that is being applied has found so far."""

    ticket: int
    text: str
    numbers: np.ndarray
    """As in FilterChanged."""
    done: int
    """Traces gone through, of those that had to be."""
    total: int
    """How many had to be."""

    @property
    def share(self) -> int:
        """Per cent that is done, rounded down: 100 is never said too early."""
        return 100 * self.done // max(1, self.total)


@dataclass
class FilterChanged(Message):
    """A filter (or a new order) was applied: these traces are displayed now."""

    ticket: int
    text: str
    numbers: np.ndarray | None
    """int64, 1-based capture order, in display order; None when it failed."""
    problem: str = ""
    """Why it failed, in words."""
    stopped: FilterFound | None = None
    """How far it came, when it was given up on request; `numbers` are those that were found until then."""


@dataclass
class CaptureOpened(Message):
    """The capture is open, or could not be opened."""

    problem: str = ""
    """Why not, safe to print."""


class PaneReady(Message):
    """The first pane's module is imported; building the pane will not keep the screen waiting."""


@dataclass
class CaptureGrew(Message):
    """The capture was looked at again and something about it changed."""

    new: int
    """How many traces came since the last look."""
    live: bool = False
    """True while traces keep coming in."""
    rate: float = 0.0
    """New traces per second."""
    catching_up: bool = False
    """True while the index is still taking in what was there before."""
    problem: str = ""
    """Why it can no longer be followed, e.g. that it was removed."""


@dataclass
class Crashed(Message):
    """A thread of ours failed in a way that nobody foresaw."""

    error: Exception
    fatal: bool
    """True when the workbench cannot go on without what failed."""


@dataclass
class JobMessage(Message):
    """Something a worker job reported: progress, a result, an end. `job` names the pane that asked."""

    job: str
    payload: Any
