"""What the methods take and give. The sentence under each field is its line in docs/serve.md.

Parameters are decoded strictly: a field that is not here, or of another type, is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tensorshark.forensics.filter.completion import Completion
from tensorshark.forensics.results import AnyResult
from tensorshark.traces.index import TraceRow
from tensorshark.traces.manifest import Expert, Message, NextToken, Provenance, Span, StoredSite

MAX_PAGE = 1000
"""Rows of one page."""
MAX_COLUMNS = 64
"""Extra columns of a page."""
MAX_VALUES = 1 << 20
"""Numbers of one slice."""
MAX_CELLS = 1 << 16
"""(layer, pos) cells of one lens reading, times k."""

RequestId = int | str | None
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(max_length=65_536)]


def layers(chosen: int | list[int] | None) -> list[int]:
    """A `layer` parameter as a list; empty for all."""
    return [] if chosen is None else [chosen] if isinstance(chosen, int) else chosen


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parameters."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all results."""


class Nothing(Params, frozen=True, kw_only=True):
    """No parameters."""


class CheckParams(Params, frozen=True, kw_only=True):
    """A filter that is being typed."""

    filter: Text
    """As typed so far."""


class CompleteParams(Params, frozen=True, kw_only=True):
    """A filter that is being typed, and the caret."""

    filter: Text
    """As typed so far."""
    position: Count | None = None
    """Characters before the caret; null: all."""


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

    id: Annotated[str, Meta(max_length=64)]
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
    provenance: Provenance
    """How the numbers came to be."""


class SliceParams(Params, frozen=True, kw_only=True):
    """Numbers of one trace."""

    id: Annotated[str, Meta(max_length=64)]
    """As in `trace`."""
    site: Annotated[str, Meta(max_length=80)]
    """One of the trace's `sites` or `statistics`."""
    layer: int | Annotated[list[int], Meta(max_length=1024)] | None = None
    """One layer or several, negative ones from the last; null: all that were captured."""
    pos: Annotated[str, Meta(max_length=256)] = "all[:]"
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


class LensParams(Params, frozen=True, kw_only=True):
    """What the logit lens says inside a trace."""

    id: Annotated[str, Meta(max_length=64)]
    """As in `trace`."""
    pos: Annotated[str, Meta(max_length=256)] = "-1"
    """Which tokens, as in `slice`."""
    layer: int | Annotated[list[int], Meta(max_length=1024)] | None = None
    """As in `slice`; `resid_post` of these layers is read."""
    top_k: Annotated[int, Meta(ge=1, le=100)] = 5
    """Tokens per cell."""
    track: Count | None = None
    """Token id whose rank is wanted; null: at each position the last layer's first token."""


class LensValues(Answer, frozen=True, kw_only=True):
    """What the lens says at every (layer, position) asked for."""

    id: str
    """Of the trace."""
    layers: list[int]
    """Model layer of each row."""
    positions: list[int]
    """0-based token of each column."""
    token_ids: list[list[list[int]]]
    """(layer, pos, k) most likely first; -1 where the state is not finite."""
    tokens: list[list[list[str]]]
    """(layer, pos, k) the same as text."""
    probs: list[list[list[float]]]
    """(layer, pos, k)"""
    entropy: list[list[float]]
    """(layer, pos) in nats."""
    kl: list[list[float]]
    """(layer, pos) KL(layer ‖ final), in nats; null where the last layer was not captured."""
    kl_reverse: list[list[float]]
    """(layer, pos) KL(final ‖ layer)."""
    rank: list[list[int]]
    """(layer, pos) how many tokens are likelier than the tracked one; -1 where unknown."""
    tracked: list[int]
    """(pos,) the token that `rank` is about; -1 where unknown."""


class RunParams(Params, frozen=True, kw_only=True):
    """An analyzer over some traces."""

    analyzer: Annotated[str, Meta(max_length=200)]
    """Its name; `tensorshark run --list` shows them."""
    options: dict[str, str | int | float | bool] = {}
    """Name to value, as with `-o`."""
    filter: Text = ""
    """Only traces that match."""
    limit: Annotated[int, Meta(ge=1)] | None = None
    """Only the first so many of these."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one analyzer said."""

    analyzer: str
    """Its name."""
    options: dict[str, str]
    """As they were given."""
    results: list[AnyResult]
    """Tables and pictures as data; what went wrong comes last, as `failed`, `not-captured`, …"""


class Runs(Answer, frozen=True, kw_only=True):
    """What `tensorshark run -T json` prints."""

    format: int
    """1. Keys are added, never changed."""
    filter: str
    """As given."""
    traces: int
    """How many were selected."""
    runs: list[Run]
    """One."""


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
