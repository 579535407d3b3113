"""What a trace holds, read the slow way: no index, one trace at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.sites import SITES
from tensorshark.traces.store import Capture

SEVERITIES = ("note", "warn", "error")


@dataclass(eq=False)
class Facts:
    """One trace; what it does not have is missing from `one` and `stats`."""

    number: int
    id: str
    one: dict[str, Any]
    """Fields with one value."""
    labels: dict[str, str] = field(default_factory=dict)
    experts: list[tuple[str, str]] = field(default_factory=list)
    """(severity, code), each once."""
    tokens: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    spans: dict[str, slice] = field(default_factory=dict)
    depth: int = 0
    heads: int = 0
    width: int = 0
    """d_model."""
    stats: dict[str, dict[int, NDArray[Any]]] = field(default_factory=dict)
    """Field -> layer -> ([head,] pos)."""
    sites: dict[str, list[int]] = field(default_factory=dict)
    """Site -> captured layers."""
    tensors: dict[str, dict[int, NDArray[Any]]] = field(default_factory=dict)
    """Site -> layer -> (pos, d_model); what is damaged is not in it."""
    marks: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<trace {self.number}>"


@dataclass(frozen=True, eq=False)
class World:
    """What a question may look at beside the trace itself."""

    known: Sequence[Facts]
    """All traces, in capture order."""
    selected: Facts | None = None
    """The trace that `$` means."""
    once: dict[str, Any] = field(default_factory=dict)
    """What is the same for every trace, by how it is said."""


def facts_of(capture: Capture) -> list[Facts]:
    """All traces, in capture order."""
    return [_facts(capture, number, entry) for number, entry in enumerate(capture.journal(), 1)]


def _facts(capture: Capture, number: int, entry: Any) -> Facts:
    found = Facts(number, entry.id, {"number": number, "id": entry.id, "time": entry.committed_at})
    try:
        trace = capture.trace(entry.id)
    except TensorsharkError:
        found.experts = [("error", "integrity")]
        return found
    manifest = trace.manifest
    found.one |= {
        "time": manifest.captured_at,
        "model": manifest.model,
        "prompt": trace.prompt,
        "text": trace.text,
        "seq_len": len(trace.token_ids),
        "dtype": manifest.provenance.dtype,
        "bos": manifest.provenance.bos_added,
        "layers": len({layer for site in manifest.sites for layer in site.layers}),
    }
    if manifest.next_tokens:
        found.one |= {"next.token": manifest.next_tokens[0].token, "next.p": manifest.next_tokens[0].p}
    found.labels = trace.labels
    found.experts = list({(expert.severity, expert.code): None for expert in manifest.experts})
    found.tokens, found.token_ids, found.spans = trace.tokens, trace.token_ids, trace.spans
    found.depth, found.heads, found.width = trace.model.layers, trace.model.heads, trace.model.d_model
    found.sites = {name: list(site.layers) for name, site in trace.sites.items()}
    found.tensors = {name: _tensors(trace, name, layers) for name, layers in found.sites.items()}
    try:
        stats = trace.stats
    except TensorsharkError:
        found.experts.append(("error", "integrity"))
        return found
    for key, array in stats.items():
        name = key if key.startswith("attn.") else ".".join(reversed(key.split(".")))
        layers = trace.sites[name.split(".")[0]].layers
        found.stats[name] = dict(zip(layers, array.astype(np.float64), strict=True))
    return found


def _tensors(trace: Any, site: str, layers: list[int]) -> dict[int, NDArray[Any]]:
    """The tensors of one site that can be read."""
    found = {}
    for layer in layers if site not in ("attn", "pattern") else ():
        try:
            found[layer] = np.asarray(trace.load(SITES[site].at(layer)), np.float64)
        except TensorsharkError:
            continue
    return found
