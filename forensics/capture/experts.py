"""Findings about the evidence itself: values that are not numbers, overflow, massive activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorshark.traces.manifest import Expert
from tensorshark.traces.sites import DEFAULT_SITES, SITES

if TYPE_CHECKING:
    from tensorshark.forensics.capture.forward import Row

    Array = np.ndarray[Any, np.dtype[Any]]

MASSIVE = 100.0
MASSIVE_RATIO = 1000.0


def about(row: Row, layers: Sequence[int], tokens: Sequence[str]) -> list[Expert]:
    """What a person should know before trusting these numbers, worst first."""
    return [*_not_finite(row, layers), *_massive(row, layers, tokens)]


def _not_finite(row: Row, layers: Sequence[int]) -> list[Expert]:
    """NaN and infinity, by the first place in the order of the forward pass."""
    found = []
    for code, test, said in (
        ("nan", np.isnan, "a value is not a number"),
        ("inf", np.isinf, "a value is infinite: the dtype overflowed"),
    ):
        places = [
            (int(layer_index), list(SITES).index(site), int(position), site)
            for site in DEFAULT_SITES
            if f"absmax.{site}" in row.stats
            for layer_index, position in np.argwhere(test(row.stats[f"absmax.{site}"]))[:1]
        ]
        if places:
            layer_index, _, position, site = min(places)
            text = f"{said}, first at {SITES[site].at(layers[layer_index])}, token {position}"
            found.append(Expert(severity="error", code=code, text=text))
    return found


def _massive(row: Row, layers: Sequence[int], tokens: Sequence[str]) -> list[Expert]:
    """Magnitudes above 100 and above 1000 times the layer's median (Sun et al. 2024, arXiv 2402.17762).

    They sit at few tokens and dimensions (the first token, as a rule) and dominate norms and cosines.
    """
    site = next((site for site in ("resid_post", "resid_pre") if f"absmax.{site}" in row.stats), None)
    if site is None:
        return []
    absmax = np.nan_to_num(row.stats[f"absmax.{site}"], nan=0.0, posinf=0.0)  # (layer, pos)
    layer_index, position = (int(n) for n in np.unravel_index(int(absmax.argmax()), absmax.shape))
    if absmax[layer_index, position] <= MASSIVE:
        return []
    name = SITES[site].at(layers[layer_index])
    values = np.abs(row.tensors[name].astype(np.float32))  # (pos, d_model)
    dim = int(values[position].argmax())
    ratio = float(values[position, dim] / max(float(np.median(values)), 1e-9))
    if ratio <= MASSIVE_RATIO:
        return []
    text = (
        f"{name}: {row.tensors[name][position, dim]:+,.0f} at token {position} {tokens[position]!r}, "
        f"dimension {dim}: {ratio:,.0f} times the median magnitude; norms and cosines there say little else"
    )
    return [Expert(severity="note", code="massive", text=text)]
