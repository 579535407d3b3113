"""`tensorshark run entropy`: how widely each head looks, and how much of that is the sink."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import (
    Analyzer,
    Cells,
    Field,
    Heatmap,
    Line,
    Lines,
    Needs,
    Option,
    OptionValue,
    Result,
    Text,
)
from tensorshark.forensics.view import View, ViewTrace

PARTS = ("attn.entropy", "attn.entropy_rest", "attn.sink")
"""The whole row, the row without the first token, the first token's share."""


class AttentionEntropy(Analyzer):
    """Attention entropy per layer and head, with and without the first token, and the first token's share."""

    name = "entropy"
    needs = Needs(stats=["attn.entropy", "attn.entropy_rest", "attn.sink"])
    options = [Option("position", "-1", "which tokens: -1, prompt[-1], response[:], all[:]", kind="position")]
    fields = [
        Field(
            "entropy.entropy",
            float,
            axes=("layer", "head", "pos"),
            help="attention entropy of the whole row, from patterns where there is no statistic",
            unit="nats",
            noun="attention entropy in",
            example="max(entropy.entropy#3[-1]) > 1.5",
        ),
        Field(
            "entropy.entropy_rest",
            float,
            axes=("layer", "head", "pos"),
            help="attention entropy without token 0, likewise",
            unit="nats",
            noun="attention entropy without the first token in",
            example="entropy.entropy_rest#3:0[-1] < 0.5",
        ),
        Field(
            "entropy.sink",
            float,
            axes=("layer", "head", "pos"),
            help="share of attention on token 0, likewise",
            noun="attention on the first token in",
            example="all(entropy.sink#-1[-1]) > 0.9",
        ),
    ]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, tuple[int, ...]], list[NDArray[np.float64]]] = defaultdict(list)
        """Model and layers -> one (part, layer, head) per trace and position."""

    def run(self, view: View, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """A row per layer, head and position."""
        for trace in view.progress():
            positions = trace.positions(str(options["position"]))
            layers = trace.layers("attn")
            parts = np.stack([trace.stat(key) for key in PARTS]).astype(
                np.float64
            )  # (part, layer, head, pos)
            for position in positions:
                here = parts[..., position]  # (part, layer, head)
                self.kept[trace.manifest.model, tuple(layers)].append(here)
                for index, layer in enumerate(layers):
                    for head, (entropy, rest, sink) in enumerate(here[:, index].T):
                        yield trace.row(
                            layer=layer,
                            head=head,
                            position=position,
                            token=trace.tokens[position],
                            entropy=entropy,
                            entropy_rest=rest,
                            sink=sink,
                        )

    def finish(self, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """Means over traces: per layer, per layer and head, and in words what the sink does to them."""
        for (model, layers), kept in self.kept.items():
            mean = np.mean(kept, axis=0)  # (part, layer, head)
            entropy, rest, sink = mean.mean(axis=-1)  # each (layer,)
            where = f"at {options['position']}, mean of {len(kept)}, {model}"
            yield Lines(
                title=f"attention per layer, mean over heads, {where}",
                x_label="layer",
                y_label="nats; share",
                x=list(layers),
                series=[
                    Line("entropy", entropy.tolist()),
                    Line("without token 0", rest.tolist()),
                    Line("share of token 0", sink.tolist()),
                ],
            )
            yield Heatmap(
                title=f"attention entropy without token 0, {where}",
                row_label="layer",
                column_label="head",
                rows=[str(layer) for layer in layers],
                columns=[str(head) for head in range(mean.shape[2])],
                values=mean[1].tolist(),
                unit="nats",
            )
            yield Text(title="the sink", text=_caveat(layers, entropy, rest, sink))

    def measure(self, trace: ViewTrace, field: str, cells: Cells) -> NDArray[np.float64]:
        """One of PARTS (layer, head, pos), NaN in layers that were not captured."""
        stat = trace.stat(f"attn.{field.partition('.')[2]}")
        stored = dict(zip(trace.layers("attn"), stat, strict=True))  # layer -> (head, pos)
        out = np.full(cells.shape(("layer", "head", "pos")), np.nan)
        for row, layer in enumerate(cells.layers):
            if layer in stored:
                out[row] = stored[layer][np.ix_(cells.heads, cells.positions)]
        return out


def _caveat(
    layers: tuple[int, ...],
    entropy: NDArray[np.float64],
    rest: NDArray[np.float64],
    sink: NDArray[np.float64],
) -> str:
    """What to know before reading a trend over depth into the entropies."""
    return (
        f"From layer {layers[0]} to {layers[-1]} the first token's share of attention goes from "
        f"{sink[0]:.2f} to {sink[-1]:.2f}, and entropy from {entropy[0]:.2f} to {entropy[-1]:.2f} nats. "
        f"Without that token it goes from {rest[0]:.2f} to {rest[-1]:.2f}. A growing sink lowers entropy by "
        "itself: compare entropy_rest before saying that attention sharpens with depth."
    )
