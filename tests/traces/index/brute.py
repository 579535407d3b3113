"""The index's answers worked out the slow way: every trace opened, nothing remembered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.index import Index
from tensorshark.traces.sites import STAT_FIELDS, stat_key
from tensorshark.traces.store import Capture
from tensorshark.traces.trace import Trace

FIELDS = ("resid_post.norm", "mlp_out.absmax", "attn.entropy", "attn.sink")
PARTS = ("Paris", "the", "of", "a", '"', "\0", "\0hidden", "ünï", "no such text")


def scan(path: object) -> dict[str, Any]:
    """Everything that `ask` asks, from the traces themselves."""
    capture = Capture.open(str(path))
    ids = capture.ids()
    traces = [_trace(capture, trace_id) for trace_id in ids]
    labels: dict[str, Counter[str]] = {}
    for trace in traces:
        for key, value in trace.labels.items() if trace else ():
            labels.setdefault(key, Counter())[value] += 1
    texts = [(number, trace) for number, trace in enumerate(traces, 1) if trace]
    return {
        "ids": ids,
        "labels": {key: dict(sorted(values.items())) for key, values in sorted(labels.items())},
        "rows": [_row(trace) for trace in traces],
        "prompts": [(number, trace.prompt) for number, trace in texts],
        "containing": {part: [n for n, trace in texts if part in trace.prompt] for part in PARTS},
        "columns": {field: _column(field, traces) for field in FIELDS},
    }


def ask(index: Index) -> dict[str, Any]:
    """The same from the index."""
    numbers = range(1, len(index) + 1)
    rows = index.rows(numbers)
    columns = {field: index.column(field).layers() for field in FIELDS}
    return {
        "ids": [index.id_of(number) for number in numbers],
        "labels": index.labels(),
        "rows": [
            (r.id, r.model, r.seq_len, r.labels, r.prompt, r.next_token, _rounded(r.norms), r.expert)
            if r.model
            else (r.prompt, r.labels, r.expert)
            for r in rows
        ],
        "prompts": list(index.texts()),
        "containing": {part: index.containing(part).tolist() for part in PARTS},
        "columns": {field: _rounded(values.T.tolist()) for field, values in columns.items()},
    }


def _trace(capture: Capture, trace_id: str) -> Trace | None:
    try:
        return capture.trace(trace_id)
    except TensorsharkError:
        return None


def _row(trace: Trace | None) -> tuple[object, ...]:
    if trace is None:
        return ("", {}, "error")
    norms = trace.stats["norm.resid_post"][:, -1].tolist()  # (layer,)
    best = trace.manifest.next_tokens[0].token
    return (
        trace.id,
        trace.manifest.model,
        len(trace.token_ids),
        trace.labels,
        trace.prompt[:4096],
        best,
        _rounded(norms),
        "",
    )


def _column(field: str, traces: list[Trace | None]) -> list[Any]:
    """(trace, layer), heads averaged."""
    key = stat_key(field)
    assert key is not None
    values = []
    for trace in traces:
        if trace is None:
            values.append(None)
            continue
        last = trace.stats[key][..., -1]
        values.append(last.mean(axis=1) if "head" in STAT_FIELDS[field] else last)
    layers = max(len(value) for value in values if value is not None)
    absent = np.full(layers, np.nan)
    return _rounded([(absent if value is None else value).tolist() for value in values])


def _rounded(values: Any) -> Any:
    """Floats to five digits, NaN as None, so that equality means what it should."""
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return None if values != values else float(f"{values:.5g}")
