"""The details of one trace as the lines of a tree: pure functions from a trace to words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tensorshark.traces.sites import SITES
from tensorshark.traces.text import safe_text
from tensorshark.tui.cursor import Cursor

if TYPE_CHECKING:
    import numpy as np

    from tensorshark.traces.store import Trace

SEVERITY = {"note": "dim", "warn": "amber", "error": "bad"}
"""Colour of an expert line; its severity is also its name."""


@dataclass(frozen=True)
class Node:
    """One visible line of the tree."""

    key: str
    """Its path: `layer.12.resid_post`; what stays open is remembered by it."""
    depth: int
    """Levels below the root."""
    name: str
    """Safe to print."""
    value: str = ""
    """Safe to print."""
    color: str = "text"
    """Palette name of the name's colour."""
    open: bool | None = None
    """None for a leaf."""
    goes: tuple[tuple[str, Any], ...] = ()
    """What choosing it changes of the cursor."""


def tree(trace: Trace, number: int, cursor: Cursor, opened: set[str], problem: str = "") -> Iterator[Node]:
    """The visible lines of a trace's tree, top to bottom."""

    def node(key: str, depth: int, name: str, value: str = "", color: str = "text", branch: bool = False,
             **goes: Any) -> Node:  # fmt: skip
        return Node(key, depth, name, value, color, (key in opened) if branch else None, tuple(goes.items()))

    manifest = trace.manifest
    state = "damaged" if problem else "sha256 ok"
    yield node("trace", 0, f"trace {number}", f"{len(trace.token_ids)} tokens · {state}", branch=True)
    if "trace" in opened:
        if problem:
            yield node("problem", 1, "problem", safe_text(problem), "bad")
        yield node("id", 1, "id", trace.id)
        yield node("when", 1, "captured", safe_text(manifest.captured_at))
        spans = [f"{safe_text(name)} {span.start}..{span.stop}" for name, span in trace.spans.items()]
        yield node("spans", 1, "spans", ", ".join(spans) or "none")
        yield from _pairs("labels", "labels", trace.labels, opened)
        yield from _pairs("provenance", "provenance", _provenance(trace), opened)
        for layer in layers(trace):
            yield from _layer(trace, layer, cursor, opened, problem)
    count = len(manifest.experts)
    if count:
        worst = max((expert.severity for expert in manifest.experts), key=list(SEVERITY).index)
        words = f"{count} finding{'s' * (count > 1)}"
        yield node("expert", 0, "expert", words, SEVERITY.get(worst, "text"), branch=True)
        if "expert" in opened:
            for index, expert in enumerate(manifest.experts):
                color = SEVERITY.get(expert.severity, "text")
                yield node(f"expert.{index}", 1, safe_text(expert.severity), safe_text(expert.text), color)


def _pairs(key: str, name: str, pairs: Mapping[str, str], opened: set[str]) -> Iterator[Node]:
    """A branch of names and values that says all of them on one line while it is closed."""
    safe = {safe_text(k, 64): safe_text(v, 512) for k, v in pairs.items()}
    is_open = key in opened
    line = " · ".join(f"{k}={v}" if key == "labels" else v for k, v in safe.items())
    yield Node(key, 1, name, "" if is_open else line or "none", open=is_open if safe else None)
    if is_open:
        for k, v in safe.items():
            yield Node(f"{key}.{k}", 2, k, v)


def _provenance(trace: Trace) -> dict[str, str]:
    p = trace.manifest.provenance
    told = {
        "dtype": p.dtype,
        "attention": p.attention,
        "bos": f"bos {p.bos}" + (" (added)" if p.bos_added else ""),
        "device": p.device,
        "model": trace.manifest.model,
        "weights": p.model_fingerprint,
        "tokenizer": p.tokenizer_sha256,
        "threads": str(p.threads),
        "batch": "×".join(map(str, p.batch)),
        "seed": "none" if p.seed is None else str(p.seed),
    }
    return told | p.versions


def _layer(trace: Trace, layer: int, cursor: Cursor, opened: set[str], problem: str) -> Iterator[Node]:
    """One layer: its residual norm, and when open its sites and heads at the cursor's token."""
    stats: Mapping[str, np.ndarray] = {} if problem else trace.stats
    key = f"layer.{layer}"
    whole = _norm(trace, stats, "resid_post", layer, cursor.token)
    color = "accent" if layer == cursor.layer else "text"
    yield Node(key, 1, f"layer {layer}", whole, color, key in opened, (("layer", layer),))
    if key not in opened:
        return
    for name in SITES:
        if name in trace.sites and layer in trace.sites[name].layers:
            value = _norm(trace, stats, name, layer, cursor.token)
            yield Node(f"{key}.{name}", 2, name, value, goes=(("layer", layer), ("site", name)))
    entropy, sink = stats.get("attn.entropy"), stats.get("attn.sink")  # (layer, head, pos)
    row = _row(trace, "attn", layer)
    if entropy is None or row < 0 or cursor.token >= entropy.shape[2]:
        return
    heads, is_open = entropy.shape[1], f"{key}.heads" in opened
    mean = "" if sink is None else f" · sink {_short(float(sink[row, :, cursor.token].mean()))}"
    yield Node(f"{key}.heads", 2, "heads", f"{heads}{mean}", open=is_open)
    if is_open:
        for head in range(heads):
            value = f"entropy {float(entropy[row, head, cursor.token]):.2f}"
            if sink is not None:
                value += f" · sink {_short(float(sink[row, head, cursor.token]))}"
            color = "accent" if head == cursor.head else "text"
            yield Node(
                f"{key}.heads.{head}", 3, f"{head}", value, color, goes=(("layer", layer), ("head", head))
            )


def layers(trace: Trace) -> list[int]:
    """Every layer that something was captured of, ascending."""
    return sorted({layer for site in trace.sites.values() for layer in site.layers})


def _row(trace: Trace, site: str, layer: int) -> int:
    """Where a layer stands in a statistic's first axis; -1 when it was not captured."""
    stored = trace.sites.get(site)
    return stored.layers.index(layer) if stored and layer in stored.layers else -1


def _norm(trace: Trace, stats: Mapping[str, np.ndarray], site: str, layer: int, token: int) -> str:
    values, row = stats.get(f"norm.{site}"), _row(trace, site, layer)  # (layer, pos)
    if values is None or row < 0 or token >= values.shape[1]:
        return ""
    value = float(values[row, token])
    return f"‖{value:.1f}‖" if math.isfinite(value) and value < 1e6 else f"‖{value:.3g}‖"


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")
