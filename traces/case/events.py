"""What a case is made of: one line per event, strict, capped, and never changed.

A case may come from a stranger, as a capture may: a line with an unknown key, a wrong type or a text beyond
its cap is left out and named as a problem.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text

FORMAT = 1
"""Of a file of events; one of a later format is not read."""

DEFAULT_MARK = "mark"
"""The name of a mark that is given none."""

MAX_TRACES = 1 << 16
"""Traces that one event is about; more take several events."""
MAX_NAME = 64
MAX_TAG = 128
MAX_TEXT = 16384
"""Of a note."""
MAX_FILTER = 8192
"""Of a macro or a saved filter, and of what is said about it."""

_TRACE = r"^[0-9a-f]{16}\Z"
_WORD = r"^[A-Za-z0-9_]{1,64}\Z"
_TIME = r"^2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z"

TraceId = Annotated[str, msgspec.Meta(pattern=_TRACE)]
Traces = Annotated[tuple[TraceId, ...], msgspec.Meta(min_length=1, max_length=MAX_TRACES)]
Word = Annotated[str, msgspec.Meta(pattern=_WORD)]
"""A name that the filter language can write: `mark.suspect`, `${loud}`."""
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
Tagged = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TAG)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Filter = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_FILTER)]
Remark = Annotated[str, msgspec.Meta(max_length=MAX_FILTER)]
Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Count = Annotated[int, msgspec.Meta(gt=0, lt=1 << 62)]
Time = Annotated[str, msgspec.Meta(pattern=_TIME)]
Reference = Annotated[str, msgspec.Meta(max_length=160)]
"""`writer/seq` of another event."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a file of events."""

    format: int
    capture: str
    """uuid of the capture that it was written for; its events hold wherever their traces are."""
    writer: str
    started_at: str
    host: str
    user: str
    tool: str


class Event(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="act"
):
    """Base of all."""

    at: Time
    """UTC, ISO 8601, microseconds, ending in Z; later than every event that its writer had read."""
    by: Title
    """Who."""
    writer: Reference
    """Name of the file, without its ending."""
    seq: Count
    """1 for a file's first event."""
    prev: str
    """sha256 of the line before."""
    step: Count
    """seq of the first event of the same action; they are undone together."""
    undoes: Reference = ""
    """`writer/step` of the action that this one takes back."""

    @property
    def id(self) -> str:
        """Names this event in the case."""
        return f"{self.writer}/{self.seq}"

    @property
    def action(self) -> str:
        """Names the action that it is part of."""
        return f"{self.writer}/{self.step}"

    @property
    def place(self) -> tuple[str, str, int]:
        """Sort key of the order in which events count."""
        return self.at, self.writer, self.seq


class OnTraces(Event, frozen=True, kw_only=True):
    """About traces, or about the same token or (layer, token) cell of each."""

    traces: Traces
    token: Index | None = None
    layer: Index | None = None
    """Only with a token."""


class Mark(OnTraces, frozen=True, kw_only=True, tag="mark"):
    """A mark is there."""

    name: Word


class Unmark(OnTraces, frozen=True, kw_only=True, tag="unmark"):
    """A mark is gone."""

    name: Word


class Tag(OnTraces, frozen=True, kw_only=True, tag="tag"):
    """A tag is there."""

    name: Tagged


class Untag(OnTraces, frozen=True, kw_only=True, tag="untag"):
    """A tag is gone."""

    name: Tagged


class Write(OnTraces, frozen=True, kw_only=True, tag="note"):
    """A note."""

    text: Text


class Strike(Event, frozen=True, kw_only=True, tag="strike"):
    """A note is gone."""

    note: Reference
    """Its event's id."""


class Restore(Event, frozen=True, kw_only=True, tag="restore"):
    """A note that was gone is back."""

    note: Reference


class DefineMacro(Event, frozen=True, kw_only=True, tag="macro"):
    """A macro has this text."""

    name: Word
    text: Filter
    description: Remark = ""


class RemoveMacro(Event, frozen=True, kw_only=True, tag="unmacro"):
    """A macro is gone."""

    name: Word


class SaveFilter(Event, frozen=True, kw_only=True, tag="filter"):
    """A filter has this text."""

    name: Title
    text: Filter
    description: Remark = ""


class RemoveFilter(Event, frozen=True, kw_only=True, tag="unfilter"):
    """A saved filter is gone."""

    name: Title


AnyEvent = (
    Mark
    | Unmark
    | Tag
    | Untag
    | Write
    | Strike
    | Restore
    | DefineMacro
    | RemoveMacro
    | SaveFilter
    | RemoveFilter
)

read_event = msgspec.json.Decoder(AnyEvent).decode
read_header = msgspec.json.Decoder(Header).decode


class Spot(msgspec.Struct, frozen=True, order=True):
    """Where in a trace: a token, or a cell; without either, the trace itself."""

    token: int | None = None
    layer: int | None = None


TRACE = Spot()
"""The trace itself."""


def word(name: str, what: str) -> str:
    """`name` as the name of a mark or macro. Raises UsageError for one that a filter cannot write."""
    if not re.match(_WORD, name):
        shown = safe_text(name, 40)
        raise UsageError(f"{what} {shown!r}: a name has 1 to {MAX_NAME} letters a-z, digits and _")
    return name


def within(text: str, what: str, most: int) -> str:
    """`text`, if it is there, fits and is Unicode; UsageError otherwise."""
    if not text.strip():
        raise UsageError(f"{what} is empty")
    if len(text) > most:
        raise UsageError(f"{what} has {len(text):,} characters; at most {most:,} are kept")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not valid UTF-8") from None
    return text
