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

Stats = Mapping[str, "np.ndarray"]
SEVERITY = {"note": "dim", "warn": "amber", "error": "bad"}
"""Colour of an expert line; its severity is also its name."""


@dataclass(frozen=True)
class Node:
    """One visible line of the tree."""

    key: str
    """Its path: `site.resid_post`; what stays open is remembered by it."""
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
    """The visible lines of a trace's tree, top to bottom; the longest branch, all layers, is the last."""
    state = "damaged" if problem else "hash ok"
    yield Node(
        "trace", 0, f"trace {number}", f"{len(trace.token_ids)} tokens · {state}", open="trace" in opened
    )
    if "trace" in opened:
        yield from _trace(trace, opened, problem)
    yield from _experts(trace, opened)
    yield from _layer(trace, cursor, opened, problem)
    yield from _layers(trace, cursor, opened, problem)


def _trace(trace: Trace, opened: set[str], problem: str) -> Iterator[Node]:
    """What it is and where it comes from."""
    if problem:
        yield Node("problem", 1, "problem", safe_text(problem), "bad")
    yield Node("id", 1, "id", trace.id)
    yield Node("when", 1, "captured", safe_text(trace.manifest.captured_at[:19].replace("T", " ")))
    spans = [f"{safe_text(name, 64)} {span.start}..{span.stop}" for name, span in trace.spans.items()]
    yield Node("spans", 1, "spans", ", ".join(spans) or "none")
    yield from _pairs("labels", "labels", trace.labels, opened)
    yield from _pairs("provenance", "provenance", _provenance(trace), opened)


def _experts(trace: Trace, opened: set[str]) -> Iterator[Node]:
    """Findings about the evidence itself."""
    experts = trace.manifest.experts
    if not experts:
        return
    worst = max((expert.severity for expert in experts), key=lambda name: list(SEVERITY).index(name))
    words = f"{len(experts)} finding{'s' * (len(experts) > 1)}"
    yield Node("expert", 0, "expert", words, SEVERITY[worst], open="expert" in opened)
    if "expert" in opened:
        for index, expert in enumerate(experts):
            color = SEVERITY[expert.severity]
            yield Node(f"expert.{index}", 1, safe_text(expert.severity), safe_text(expert.text), color)


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


def _layer(trace: Trace, cursor: Cursor, opened: set[str], problem: str) -> Iterator[Node]:
    """The cursor's layer: its sites and heads at the cursor's token."""
    stats: Stats = {} if problem else trace.stats
    layer = cursor.layer
    yield Node("layer", 0, f"layer {layer}", "at the cursor", "accent", open="layer" in opened)
    if "layer" not in opened:
        return
    for name in SITES:
        if name in trace.sites and layer in trace.sites[name].layers:
            value = _norm(trace, stats, name, layer, cursor.token)
            yield Node(f"site.{name}", 1, name, value, goes=(("site", name),))
    entropy, sink = stats.get("attn.entropy"), stats.get("attn.sink")  # (layer, head, pos)
    row = _row(trace, "attn", layer)
    if entropy is None or row < 0 or cursor.token >= entropy.shape[2]:
        return
    mean = "" if sink is None else f" · sink {_short(float(sink[row, :, cursor.token].mean()))}"
    yield Node("heads", 1, "heads", f"{entropy.shape[1]}{mean}", open="heads" in opened)
    if "heads" in opened:
        for head in range(entropy.shape[1]):
            value = f"entropy {float(entropy[row, head, cursor.token]):.2f}"
            if sink is not None:
                value += f" · sink {_short(float(sink[row, head, cursor.token]))}"
            color = "accent" if head == cursor.head else "text"
            yield Node(f"head.{head}", 2, f"head {head}", value, color, goes=(("head", head),))


def _layers(trace: Trace, cursor: Cursor, opened: set[str], problem: str) -> Iterator[Node]:
    """Every captured layer with the norm of the cursor's site at the cursor's token."""
    stats: Stats = {} if problem else trace.stats
    captured = layers(trace)
    yield Node("layers", 0, "layers", f"{len(captured)} · ‖{cursor.site}‖", open="layers" in opened)
    if "layers" in opened:
        for layer in captured:
            value = _norm(trace, stats, cursor.site, layer, cursor.token)
            color = "accent" if layer == cursor.layer else "text"
            yield Node(f"layers.{layer}", 1, f"layer {layer}", value, color, goes=(("layer", layer),))


def layers(trace: Trace) -> list[int]:
    """Every layer that something was captured of, ascending."""
    return sorted({layer for site in trace.sites.values() for layer in site.layers})


def _row(trace: Trace, site: str, layer: int) -> int:
    """Where a layer stands in a statistic's first axis; -1 when it was not captured."""
    stored = trace.sites.get(site)
    return stored.layers.index(layer) if stored and layer in stored.layers else -1


def _norm(trace: Trace, stats: Stats, site: str, layer: int, token: int) -> str:
    values, row = stats.get(f"norm.{site}"), _row(trace, site, layer)  # (layer, pos)
    if values is None or row < 0 or token >= values.shape[1]:
        return ""
    value = float(values[row, token])
    return f"‖{value:.1f}‖" if math.isfinite(value) and value < 1e6 else f"‖{value:.3g}‖"


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")
