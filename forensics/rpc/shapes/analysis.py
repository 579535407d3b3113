"""What the methods take and give that work something out: the lens, analyzers, statistics, likeness."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tensorshark.forensics.filter.answers.plan import Step
from tensorshark.forensics.filter.answers.why import ClauseCount, Why
from tensorshark.forensics.results import AnyResult
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

MAX_CELLS = 1 << 16
"""(layer, pos) cells of one lens reading, times k."""
MAX_WHY = 100
"""Traces of one question about why they match."""
MAX_HITS = 1000
"""Of one question about likeness."""


class LensParams(Params, frozen=True, kw_only=True):
    """What the logit lens says inside a trace."""

    id: TraceName
    """As in `trace`."""
    pos: Position = "-1"
    """Which tokens, as in `slice`."""
    layer: Layers = None
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
    selected: TraceName = ""
    """As in `rows`."""


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


class ExplainParams(Params, frozen=True, kw_only=True):
    """A filter; the same as `tensorshark filter explain`."""

    filter: Text
    """Whole: one that cannot be read is an error."""
    counts: bool = False
    """Whether to count the traces that satisfy each clause alone, which may take a scan."""
    selected: TraceName = ""
    """As in `rows`."""


class Explained(Answer, frozen=True, kw_only=True):
    """How a filter will be answered."""

    words: str
    """The filter as a sentence."""
    total: int
    """Traces in the capture."""
    tree: Step
    """Its clauses, and what joins them."""
    seconds: float
    """Expected."""
    bytes: int
    """To read."""
    counts: list[ClauseCount] | UnsetType = UNSET
    """Clause by clause; there when they were asked for."""


class WhyParams(Params, frozen=True, kw_only=True):
    """A filter and traces that it matches."""

    filter: Text
    """Whole."""
    ids: Annotated[list[TraceName], Meta(max_length=MAX_WHY)]
    """Which traces, each as in `trace`."""
    selected: TraceName = ""
    """As in `rows`."""


class Reasons(Answer, frozen=True, kw_only=True):
    """What made the traces match."""

    why: list[list[Why]]
    """For each trace the clauses that did; none where it does not match."""


class StatsParams(Params, frozen=True, kw_only=True):
    """Groups of traces compared; the same as `tensorshark stats`."""

    by: Annotated[list[Text], Meta(max_length=8)] = []
    """Group by these: expressions or filters with one value per trace; none: all traces are one group."""
    expressions: Annotated[list[Text], Meta(max_length=32)] = []
    """Measure these: with at most one number per trace."""
    filter: Text = ""
    """Only traces that match."""
    quantiles: Annotated[tuple[float, ...], Meta(max_length=32)] = (0.05, 0.5, 0.95)
    """Which, from 0 to 1."""
    bins: Count = 0
    """Numbers to group by go into so many bins of about equal size; 0: each its own group."""
    pairs: bool | None = None
    """Whether every two groups are compared; null: where there are few."""
    prompts: bool | None = None
    """Whether prompts that groups share are looked for; null: where there are not too many traces."""
    selected: TraceName = ""
    """The trace that `$field` speaks of, as in `trace`; empty: none."""


class SimilarParams(Params, frozen=True, kw_only=True):
    """Query by example; the same as `tensorshark similar`."""

    id: TraceName
    """As in `trace`."""
    site: SiteName = "resid_post"
    """A site with a vector per token."""
    layer: int | None = None
    """Negative ones count from the last; null: the middle one."""
    pos: Annotated[str, Meta(max_length=100)] = "-1"
    """One token: `-1`, `0`, `prompt[-1]`."""
    k: Annotated[int, Meta(ge=1, le=MAX_HITS)] = 10
    """How many."""
    metric: Literal["cos", "l2"] = "cos"
    """Cosine of the angle, larger is closer, or L2 distance, smaller is."""
    filter: Text = ""
    """Only find traces that match."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One trace that is like another."""

    score: float
    """Cosine or distance."""
    row: TraceRow
    """What the list shows of it."""


class Similar(Answer, frozen=True, kw_only=True):
    """The closest traces."""

    id: str
    """Of the trace that was asked about."""
    site: str
    """What was compared."""
    layer: int
    """Of which layer."""
    pos: str
    """Of which token."""
    metric: Literal["cos", "l2"]
    """How."""
    compared: int
    """Traces that had such a vector."""
    absent: int
    """Traces that had none: not captured there, too short, of another width, or damaged."""
    hits: list[Hit]
    """Closest first; of equal ones, the earlier in capture order."""
