"""Part of a trace's numbers: some layers and tokens of one site or of one statistic."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics import positions
from tensorshark.forensics.view import ViewTrace
from tensorshark.traces.errors import NotFoundError
from tensorshark.traces.sites import ATTENTION, SITES, STAT_FIELDS, stat_key
from tensorshark.traces.tensors import Array
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tensorshark.traces.trace import Trace


@dataclass(frozen=True)
class Slice:
    """What was asked for; nothing is read before `values`."""

    trace: ViewTrace
    what: str
    """A site, e.g. `resid_post`, or a statistic, e.g. `resid_post.norm`."""
    axes: tuple[str, ...]
    """Of the values, e.g. (layer, pos, d_model)."""
    shape: tuple[int, ...]
    layers: list[int]
    """Model layers along the first axis."""
    positions: list[int]
    """0-based tokens along `pos`, or along `q_pos`."""

    @property
    def size(self) -> int:
        """How many values it has."""
        return prod(self.shape)

    def values(self) -> Array:
        """In the stored type, checked byte by byte. Raises IntegrityError."""
        key = stat_key(self.what)
        axis = self.axes.index("q_pos" if "q_pos" in self.axes else "pos")
        if key is None:
            site = SITES[self.what]
            parts = [self.trace.load(site.at(layer)).take(self.positions, axis - 1) for layer in self.layers]
            return np.stack(parts)
        captured = self.trace.layers(self.what.partition(".")[0])
        rows = [captured.index(layer) for layer in self.layers]
        return self.trace.stat(key)[rows].take(self.positions, axis)


def cut(trace: Trace, what: str, layers: Sequence[int] = (), pos: str = "all[:]") -> Slice:
    """A slice of a site or statistic; no layers means all that were captured, and negative ones count back.

    Raises NotFoundError for what was not captured, UsageError for a position that cannot be read.
    """
    view = ViewTrace.of(trace)
    tokens = positions.resolve(pos, len(view.token_ids), view.spans)
    site = what.partition(".")[0] if what in STAT_FIELDS else what
    captured = view.layers(site) if site in SITES or what in STAT_FIELDS else []
    if not captured:
        have = ", ".join(safe_text(name) for name in view.sites) or "nothing"
        raise NotFoundError(f"trace {view.id} has no {safe_text(what, 80)!r}; captured were {have}")
    chosen = [_layer(captured, layer, site) for layer in layers] or captured
    axes = STAT_FIELDS.get(what) or ("layer", *SITES[what].axes)
    sizes = {"layer": len(chosen), "head": view.model.heads, "d_model": view.model.d_model}
    sizes |= {"pos": len(tokens), "q_pos": len(tokens), "k_pos": len(view.token_ids)}
    return Slice(view, what, axes, tuple(sizes[axis] for axis in axes), chosen, tokens)


def _layer(captured: list[int], layer: int, site: str) -> int:
    if layer < 0 and -layer <= len(captured):
        return captured[layer]
    if layer not in captured:
        name = "attention" if site == ATTENTION else site
        raise NotFoundError(f"{name} of layer {layer} was not captured; there are {captured}")
    return layer
