"""The table of methods: the source of dispatch, docs/serve.md, `serve --schema` and the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tensorshark.forensics.filter.display import Check
from tensorshark.forensics.rpc import calls, jobs, shapes
from tensorshark.forensics.rpc.calls import Server
from tensorshark.forensics.rpc.lanes import Lane, Task
from tensorshark.forensics.stats import Stats


@dataclass(frozen=True)
class Method:
    """One method. Its row in the table is all that there is to say about it."""

    name: str
    takes: type[shapes.Params]
    gives: type[msgspec.Struct]
    help: str
    """What it does, in a sentence or two."""
    do: Callable[[Server, Any, Task], msgspec.Struct]
    """With parameters of the type `takes`; answers with one of `gives`."""
    example: dict[str, Any]
    """Parameters."""
    answer: Any
    """What that gives on the example capture; a `…` stands for anything, as a last item for any more."""
    lane: Lane | Callable[[Server, Any], Lane] = "now"
    """Who does it, or a function that decides."""
    waits: bool = True
    """Whether it waits for an index that is still being made."""
    effect: bool = False
    """Whether there is a point in calling it as a notification."""


@dataclass(frozen=True)
class Notification:
    """Something that the server says unasked."""

    name: str
    gives: type[msgspec.Struct]
    help: str


_MANY = "…"
_ID = "a3c1bfa1f4ec8b2b"

TABLE = (
    Method(
        "check",
        shapes.CheckParams,
        Check,
        "What a filter that is being typed means so far. One that cannot be read is no error, but an answer.",
        calls.check,
        {"filter": 'label.category == "fact" and seq_len >'},
        {"state": "incomplete", "reason": _MANY, "column": _MANY, _MANY: _MANY},
        waits=False,
    ),
    Method(
        "complete",
        shapes.CompleteParams,
        shapes.Completions,
        "What could be typed next.",
        calls.complete,
        {"filter": "label.cat"},
        {"items": [{"text": "label.category", "start": 0, "stop": 9, "kind": "field", _MANY: _MANY}, _MANY]},
        waits=False,
    ),
    Method(
        "fields",
        shapes.Nothing,
        shapes.Fields,
        "Every field that filters, columns and sort keys can name.",
        calls.fields,
        {},
        {"fields": [{"name": "number", "type": "number", _MANY: _MANY}, _MANY]},
    ),
    Method(
        "rows",
        shapes.RowsParams,
        shapes.Rows,
        "A page of the traces that match. Selections asked for lately are kept: turning pages costs nothing.",
        calls.rows,
        {"filter": 'label.category == "injection"', "limit": 1, "columns": ["seq_len"]},
        {"total": 2, "offset": 0, "rows": [{"number": 2, "id": _MANY, _MANY: _MANY}], "cells": [[_MANY]]},
        lane=calls.rows_lane,
    ),
    Method(
        "trace",
        shapes.TraceParams,
        shapes.TraceFacts,
        "Everything about one trace but its numbers: tokens, spans, labels, sites, findings, provenance.",
        calls.trace,
        {"id": "#2"},
        {"number": 2, "labels": {"category": "injection", "split": "demo"}, _MANY: _MANY},
        lane="scan",
    ),
    Method(
        "slice",
        shapes.SliceParams,
        shapes.SliceValues,
        "Part of a site's or a statistic's numbers, exactly as stored, checked against their hash.",
        calls.slice,
        {"id": "#2", "site": "resid_post.norm", "layer": [0, 3], "pos": "-1"},
        {
            "axes": ["layer", "pos"],
            "shape": [2, 1],
            "layers": [0, 3],
            "dtype": "float32",
            "values": [[_MANY], [_MANY]],
            _MANY: _MANY,
        },
        lane="scan",
    ),
    Method(
        "lens",
        shapes.LensParams,
        shapes.LensValues,
        "The logit lens: what the model would say if it stopped at a layer.",
        jobs.lens,
        {"id": "#2", "pos": "-1", "layer": [1, 3], "top_k": 1},
        {"layers": [1, 3], "token_ids": [[[_MANY]], [[_MANY]]], "rank": [[_MANY], [0]], _MANY: _MANY},
        lane="lens",
    ),
    Method(
        "run",
        shapes.RunParams,
        shapes.Runs,
        "Run an analyzer over the traces that match; the answer is what `tensorshark run -T json` prints.",
        jobs.run,
        {"analyzer": "norms", "filter": 'label.category == "fact"', "options": {"position": "prompt[-1]"}},
        {
            "format": 1,
            "traces": 1,
            "runs": [{"analyzer": "norms", "results": _MANY, _MANY: _MANY}],
            _MANY: _MANY,
        },
        lane="run",
    ),
    Method(
        "explain",
        shapes.ExplainParams,
        shapes.Explained,
        "How a filter will be answered: what answers each clause, in which order, and what that takes.",
        calls.explain,
        {"filter": 'label.category == "code" and seq_len > 3', "counts": True},
        {
            "words": _MANY,
            "total": 8,
            "tree": {"kind": "and", "parts": [{"kind": "clause", _MANY: _MANY}, _MANY], _MANY: _MANY},
            "counts": [{"clause": 'label.category == "code"', "count": 1, "of": 8, _MANY: _MANY}, _MANY],
            _MANY: _MANY,
        },
        lane="scan",
    ),
    Method(
        "why",
        shapes.WhyParams,
        shapes.Reasons,
        "Why traces match a filter: the clauses that made them, and the cells that satisfy each.",
        calls.why,
        {"filter": "any(resid_post.norm#[1-2][-1] > 3)", "ids": ["#2"]},
        {
            "why": [
                [
                    {
                        "clause": _MANY,
                        "true": True,
                        "cells": [{"value": _MANY, "layer": 1, "token": 8}, _MANY],
                        "count": 2,
                        _MANY: _MANY,
                    }
                ]
            ]
        },
        lane="scan",
    ),
    Method(
        "stats",
        shapes.StatsParams,
        Stats,
        "Groups of traces compared: means and quantiles, effect sizes, AUROC, and how sure they are.",
        calls.stats,
        {"by": ["label.category"], "expressions": ["seq_len"], "pairs": False},
        {
            "by": ["label.category"],
            "traces": 8,
            "groups": [{"group": ["code"], "traces": 1, "prompts": 1}, _MANY],
            "summaries": [{"expression": "seq_len", "group": ["code"], _MANY: _MANY}, _MANY],
            "contrasts": [],
            _MANY: _MANY,
        },
        lane="scan",
    ),
    Method(
        "similar",
        shapes.SimilarParams,
        shapes.Similar,
        "Query by example: the traces whose vectors at one site, layer and token are closest to one trace's.",
        calls.similar,
        {"id": "#2", "layer": 3, "k": 1},
        {
            "site": "resid_post",
            "layer": 3,
            "pos": "-1",
            "compared": 7,
            "absent": 0,
            "hits": [{"score": _MANY, "row": _MANY}],
            _MANY: _MANY,
        },
        lane="scan",
    ),
    Method(
        "follow",
        shapes.FollowParams,
        shapes.Following,
        "Be told of new traces, by `traces` notifications, or no longer.",
        calls.follow,
        {"on": True},
        {"following": True, "traces": 8},
        waits=False,
        effect=True,
    ),
    Method(
        "note",
        shapes.NoteParams,
        shapes.Noted,
        "Mark, tag or note traces, tokens or cells, in the case beside the capture; or take it back.",
        calls.note,
        {"action": "mark", "ids": ["#2"], "text": "suspect"},
        {"changed": 1},
        effect=True,
    ),
    Method(
        "cancel",
        shapes.CancelParams,
        shapes.Cancelled,
        "Stop a request that runs or waits: it is answered with error -32010 at once.",
        calls.cancel,
        {"request": 7},
        {"cancelled": False},
        waits=False,
        effect=True,
    ),
    Method(
        "status",
        shapes.Nothing,
        shapes.Status,
        "Versions, the capture, how far the index is, and which requests run.",
        calls.status,
        {},
        {"protocol": 1, "traces": 8, "behind": False, "following": False, "running": [], _MANY: _MANY},
        waits=False,
    ),
)
METHODS = {method.name: method for method in TABLE}

NOTIFICATIONS = (
    Notification("progress", shapes.ProgressNote, "How far a request is that takes long."),
    Notification("found", shapes.FoundNote, "What a scan has found so far, where `rows` asked for it."),
    Notification("traces", shapes.TracesNote, "New traces, where `follow` asked for it."),
)
