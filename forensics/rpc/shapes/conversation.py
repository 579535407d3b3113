"""What the methods take and give that are about the session, and what the server says unasked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tensorshark.forensics.rpc.shapes.base import Answer, Count, Params, RequestId, TraceName
from tensorshark.traces.index import TraceRow

MAX_NOTED = 10_000
"""Traces of one action; what is said about more is said in several."""


class FollowParams(Params, frozen=True, kw_only=True):
    """Whether to hear of new traces."""

    on: bool = True
    """False: no more."""


class Following(Answer, frozen=True, kw_only=True):
    """Whether new traces are told."""

    following: bool
    """As asked for."""
    traces: int
    """How many the index has now; `traces` notifications go on from there."""


class CancelParams(Params, frozen=True, kw_only=True):
    """A request of this session."""

    request: RequestId
    """Its id."""


class Cancelled(Answer, frozen=True, kw_only=True):
    """Whether there was something to cancel."""

    cancelled: bool
    """False when no such request runs or waits; it may have been answered a moment ago."""


class NoteParams(Params, frozen=True, kw_only=True):
    """Something to say about traces, in the case; nothing in the capture changes."""

    action: Literal["mark", "unmark", "tag", "untag", "note", "strike", "undo", "redo"]
    """`strike` takes a note away; `undo` and `redo` are about the last action of this user."""
    ids: Annotated[list[TraceName], Meta(max_length=MAX_NOTED)] = []
    """Which traces, each as in `trace`; none for `strike`, `undo` and `redo`."""
    text: Annotated[str, Meta(max_length=16_384)] = ""
    """Name of the mark (empty: `mark`), the tag, what the note says, or the id of the note to strike."""
    token: Count | None = None
    """On this token of each; null: on the traces themselves."""
    layer: Count | None = None
    """On this cell; only with a token."""


class Noted(Answer, frozen=True, kw_only=True):
    """What came of it."""

    changed: int
    """How many traces or notes; 0 when it was so already, and nothing was written."""


class RunningRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that runs or waits."""

    request: RequestId
    """Its id."""
    method: str
    """What was asked."""
    seconds: float
    """Since it came."""
    done: int
    """How far it is."""
    total: int
    """Of how much; 0 while that is not known."""


class Status(Answer, frozen=True, kw_only=True):
    """How things are."""

    protocol: int
    """1. Methods, fields and notifications are added, never changed."""
    tool: str
    """Name and version of this program."""
    python: str
    """Version of the interpreter."""
    capture: str
    """Its absolute path."""
    uuid: str
    """Of the capture."""
    traces: int
    """In the index."""
    behind: bool
    """True while traces on disk are not in the index yet."""
    following: bool
    """Whether new traces are told."""
    running: list[RunningRequest]
    """In the order in which they came."""


class ProgressNote(Answer, frozen=True, kw_only=True):
    """How far a request is; ten a second at most, fewer where the client does not keep up."""

    request: RequestId
    """The request's id."""
    done: int
    """Of `total`."""
    total: int
    """0 while that is not known."""


class FoundNote(Answer, frozen=True, kw_only=True):
    """What a scan has found so far; the answer has it all again."""

    request: RequestId
    """The request's id."""
    found: int
    """Traces that match so far."""
    done: int
    """Traces looked at."""
    total: int
    """Traces to look at."""
    rows: list[TraceRow] | UnsetType = UNSET
    """The page as it is so far; left out when it is as it was told last."""


class TracesNote(Answer, frozen=True, kw_only=True):
    """The capture has grown."""

    traces: int
    """How many the index has now."""
    new: int
    """How many of them are new; negative when a damaged index is being made again."""
    problem: str
    """What is wrong, when the capture cannot be read any more; else empty."""
