"""What the methods take and give that read what is there: filters, rows, traces, tensors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tensorshark.forensics.filter.completion import Completion
from tensorshark.forensics.rpc.shapes.base import (
    Answer,
    Count,
    Layers,
    Params,
    Position,
    SiteName,
    Text,
    TraceName,
)
from tensorshark.traces.index import TraceRow
from tensorshark.traces.manifest import Expert, Message, NextToken, Provenance, Span, StoredSite

MAX_PAGE = 1000
"""Rows of one page."""
MAX_COLUMNS = 64
"""Extra columns of a page."""
MAX_VALUES = 1 << 20
"""Numbers of one slice."""


class CheckParams(Params, frozen=True, kw_only=True):
    """A filter that is being typed."""

    filter: Text
    """As typed so far."""
    selected: TraceName = ""
    """The trace that `$field` speaks of, as in `trace`; empty: none."""


class CompleteParams(Params, frozen=True, kw_only=True):
    """A filter that is being typed, and the caret."""

    filter: Text
    """As typed so far."""
    position: Count | None = None
    """Characters before the caret; null: all."""
    selected: TraceName = ""
    """As in `check`."""


class Completions(Answer, frozen=True, kw_only=True):
    """Ways on."""

    items: list[Completion]
    """Likely ones first, 50 at most."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field."""

    name: str
    """As typed; `label.*` stands for `label.` and any key."""
    type: str
    """`text`, `number`, `truth`, `time`, `severity` or `tensor`."""
    axes: tuple[str, ...]
    """What `#layer`, `:head` and `[pos]` select from; empty for one value per trace."""
    unit: str
    """Of its values; empty where they have none."""
    help: str
    """What it is."""
    source: str
    """Where its values come from."""
    example: str
    """A filter that uses it."""
    traces: int | None
    """How many traces have it; null when that was not counted."""


class Fields(Answer, frozen=True, kw_only=True):
    """What filters, columns and sort keys can name."""

    fields: list[Field]
    """The labels of this capture included."""


class RowsParams(Params, frozen=True, kw_only=True):
    """One page of the traces that match."""

    filter: Text = ""
    """Empty: all traces."""
    sort: Text = ""
    """A field expression with one value per trace; empty: capture order."""
    descending: bool = False
    """Largest first; traces without a value come last either way."""
    offset: Count = 0
    """Rows before the page."""
    limit: Annotated[int, Meta(ge=0, le=MAX_PAGE)] = 50
    """Rows of the page."""
    columns: Annotated[list[Text], Meta(max_length=MAX_COLUMNS)] = []
    """Further field expressions, as in `tensorshark read -e`."""
    found: bool = False
    """Send the page as it is so far while a long scan goes on, in `found` notifications."""
    selected: TraceName = ""
    """As in `check`."""


class Rows(Answer, frozen=True, kw_only=True):
    """The page, and how many there are in all."""

    total: int
    """Traces that match."""
    offset: int
    """Of the first row."""
    rows: list[TraceRow]
    """Fewer than `limit` at the end."""
    cells: list[list[Any]] | UnsetType = UNSET
    """For each row the values of `columns`: null where absent, nested by axis where there are several.
    There when `columns` were asked for."""


class TraceParams(Params, frozen=True, kw_only=True):
    """One trace."""

    id: TraceName
    """Its id, a unique beginning of it, or `#` and its number."""


class TraceFacts(Answer, frozen=True, kw_only=True):
    """What is known of a trace, but for its numbers."""

    number: int
    """In capture order, from 1."""
    id: str
    """16 hex digits."""
    model: str
    """Name in the capture."""
    captured_at: str
    """UTC, ISO 8601."""
    prompt: str
    """As given."""
    messages: list[Message] | None
    """The conversation, where there was one."""
    text: str
    """What was tokenised."""
    token_ids: list[int]
    """One per position."""
    tokens: list[str]
    """Each token decoded alone."""
    spans: list[Span]
    """Named token ranges."""
    labels: dict[str, str]
    """Key to value."""
    sites: list[StoredSite]
    """What was captured, for `slice`."""
    statistics: list[str]
    """What `slice` takes besides sites."""
    next_tokens: list[NextToken]
    """Candidates for the token after the last, most likely first."""
    experts: list[Expert]
    """Findings about the evidence itself."""
    marks: list[Attachment]
    """Of the case, which lies beside the capture; see `note`."""
    tags: list[Attachment]
    """Likewise."""
    notes: list[Attachment]
    """Likewise."""
    provenance: Provenance
    """How the numbers came to be."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A mark, a tag or a note of the case."""

    text: str
    """Name of the mark, the tag, or what the note says."""
    token: int | None
    """0-based, where it is on a token or a cell; null: on the trace."""
    layer: int | None
    """Where it is on a cell."""
    by: str
    """Who said so."""
    at: str
    """UTC, ISO 8601."""
    id: str | UnsetType = UNSET
    """Of a note, to strike it by."""


class SliceParams(Params, frozen=True, kw_only=True):
    """Numbers of one trace."""

    id: TraceName
    """As in `trace`."""
    site: SiteName
    """One of the trace's `sites` or `statistics`."""
    layer: Layers = None
    """One layer or several, negative ones from the last; null: all that were captured."""
    pos: Position = "all[:]"
    """Which tokens: `-1`, `prompt[-1]`, `response[:]`, `all[0:4]`, or several with commas."""
    encoding: Literal["numbers", "base64"] = "numbers"
    """`numbers`: nested arrays. `base64`: the stored bytes, little-endian, in C order."""


class SliceValues(Answer, frozen=True, kw_only=True):
    """The numbers, with the layer axis also where there is one layer."""

    id: str
    """Of the trace."""
    site: str
    """As asked for."""
    axes: list[str]
    """Names of the axes of `shape`."""
    shape: list[int]
    """Sizes of the axes."""
    layers: list[int]
    """Model layer of each step along `layer`."""
    positions: list[int]
    """0-based token of each step along `pos` (`q_pos` in a pattern)."""
    dtype: str
    """As stored: `float32`, `float16` or `bfloat16`."""
    encoding: Literal["numbers", "base64"]
    """How `values` are written."""
    values: Any
    """Nested arrays, where a number that is not finite is null, or a base64 text, where it is itself."""
