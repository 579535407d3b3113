"""`tensorshark run norms`: how long the residual stream gets, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import Analyzer, Cells, Field, Line, Lines, Needs, Option, OptionValue, Result
from tensorshark.forensics.norms import growth
from tensorshark.forensics.view import View, ViewTrace
from tensorshark.traces.sites import DEFAULT_SITES

Axis = tuple[str, tuple[int, ...]]
"""Model and layers: only norms over the same axis are averaged."""


class Norms(Analyzer):
    """Residual-stream growth: the L2 norm of each site per layer and token."""

    name = "norms"
    needs = Needs(sites=["resid_post"])
    options = [
        Option("position", "-1", "which tokens: -1, prompt[-1], response[:], all[:]", kind="position"),
        Option("by", "category", "label whose values get a line each in the overview"),
    ]
    fields = [
        Field(
            "norms.growth",
            float,
            axes=("pos",),
            help="norm of resid_post, last captured layer over first",
            noun="growth of the residual norm",
            example="norms.growth[-1] > 20",
        )
    ]

    def __init__(self) -> None:
        self.curves: dict[Axis, dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
        """Model and layers -> label value -> one (layer,) per trace and position."""

    def run(self, view: View, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """Rows per layer and position with a column per site, and a row of growth per position and site."""
        for trace in view.progress():
            sites = [site for site in DEFAULT_SITES if site in trace.sites]
            norms = {site: trace.stat(f"norm.{site}").astype(np.float64) for site in sites}  # (layer, pos)
            label = trace.labels.get(str(options["by"]), "")
            axis = (trace.manifest.model, tuple(trace.layers("resid_post")))
            for position in trace.positions(str(options["position"])):
                curves = {site: norms[site][:, position] for site in sites}  # (layer,)
                yield from _rows(trace, position, curves)
                self.curves[axis][label].append(curves["resid_post"])

    def finish(self, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """The mean norm of resid_post per layer: one line for each value of the label."""
        for (model, layers), groups in self.curves.items():
            named = {
                f"{value or 'no label'} ({len(curves)})": curves for value, curves in sorted(groups.items())
            }
            yield Lines(
                title=f"mean norm of resid_post at {options['position']} by {options['by']}, {model}",
                x_label="layer",
                y_label="L2 norm",
                x=list(layers),
                series=[Line(name, np.stack(curves).mean(axis=0).tolist()) for name, curves in named.items()],
            )

    def measure(self, trace: ViewTrace, field: str, cells: Cells) -> list[float]:
        """Growth (pos,) of the norm of resid_post."""
        norms = trace.stat("norm.resid_post")  # (layer, pos)
        return [growth(norms[:, position]).ratio for position in cells.positions]


def _rows(trace: ViewTrace, position: int, curves: dict[str, NDArray[np.float64]]) -> Iterator[Result]:
    """One position: a row for each layer, then the growth of each site's curve (layer,)."""
    token = trace.tokens[position]
    by_layer = {site: dict(zip(trace.layers(site), curve, strict=True)) for site, curve in curves.items()}
    for layer in sorted(set().union(*by_layer.values())):
        cells = {site: norms.get(layer) for site, norms in by_layer.items()}
        yield trace.row(layer=layer, position=position, token=token, **cells)
    for site, curve in curves.items():
        grown = growth(curve)
        yield trace.row(
            "growth",
            position=position,
            token=token,
            site=site,
            first=grown.first,
            last=grown.last,
            growth=grown.ratio,
            rising=grown.rising,
            steps=grown.steps,
        )
