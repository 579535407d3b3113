"""`tensorshark run logit-lens`: what each layer would say next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import isnan

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import (
    Analyzer,
    Field,
    Heatmap,
    Line,
    Lines,
    Needs,
    Option,
    OptionValue,
    Result,
)
from tensorshark.forensics.lens import ABSENT, Readout, read, token_strings
from tensorshark.forensics.view import View, ViewTrace
from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text


class LogitLens(Analyzer):
    """What each layer would say next: top tokens, entropy, KL to the last layer, rank of its token."""

    name = "logit-lens"
    needs = Needs(sites=["resid_post"], lens=True)
    options = [
        Option("position", "-1", "which tokens: -1, prompt[-1], response[:], all[:]", kind="position"),
        Option("top_k", 3, "how many tokens of each layer"),
        Option("track", "", "rank this token instead of the last layer's first: its text, or #ID"),
    ]
    fields = [
        Field("logit-lens.entropy", float, axes=("layer", "pos"), help="of the next token", unit="nats"),
        Field("logit-lens.kl", float, axes=("layer", "pos"), help="KL(layer ‖ last layer)", unit="nats"),
        Field(
            "logit-lens.kl_reverse", float, axes=("layer", "pos"), help="KL(last layer ‖ layer)", unit="nats"
        ),
        Field("logit-lens.rank", int, axes=("layer", "pos"), help="tokens likelier than the tracked one"),
    ]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, tuple[int, ...]], list[NDArray[np.float32]]] = defaultdict(list)
        """Model and layers -> one (entropy kl kl_reverse, layer, pos) per trace."""

    def run(self, view: View, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """A row per layer and position, and a grid where there are several positions."""
        for trace in view.progress():
            layers, positions = trace.layers("resid_post"), trace.positions(str(options["position"]))
            if not positions:
                continue
            vocab = trace.capture.vocab(trace.manifest.model)
            track = _token_id(str(options["track"]), vocab)
            seen = read(trace, layers, positions, int(options["top_k"]), track)
            tokens = token_strings(seen.token_ids, vocab)
            self.kept[trace.manifest.model, tuple(layers)].append(
                np.stack([seen.entropy, seen.kl, seen.kl_reverse])
            )
            yield from _rows(trace, seen, tokens)
            if len(positions) > 1:
                yield Heatmap(
                    title=f"logit lens of {trace.id}",
                    row_label="layer",
                    column_label="token",
                    rows=[str(layer) for layer in layers],
                    columns=[trace.tokens[position] for position in positions],
                    values=[[_value(p) for p in row] for row in seen.probs[..., 0].tolist()],
                    texts=[[top[0] for top in row] for row in tokens],
                    unit="probability",
                )

    def finish(self, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """Means over traces and positions per layer."""
        for (model, layers), kept in self.kept.items():
            cells = np.concatenate(kept, axis=-1)  # (measure, layer, trace and pos)
            known = ~np.isnan(cells)
            count = known.sum(axis=-1)
            total = np.where(known, cells, 0).sum(axis=-1, dtype=np.float64)
            mean = np.divide(
                total, count, out=np.full(count.shape, np.nan), where=count > 0
            )  # (measure, layer)
            named = zip(("entropy", "KL(layer ‖ last)", "KL(last ‖ layer)"), mean.tolist(), strict=True)
            yield Lines(
                title=f"logit lens at {options['position']}, mean of {cells.shape[-1]}, {model}",
                x_label="layer",
                y_label="nats",
                x=list(layers),
                series=[Line(name, [_value(y) for y in ys]) for name, ys in named],
            )


def _rows(trace: ViewTrace, seen: Readout, tokens: list[list[list[str]]]) -> Iterator[Result]:
    for column, position in enumerate(seen.positions):
        for row, layer in enumerate(seen.layers):
            at = row, column
            best = {
                f"{name}{k + 1}": value
                for k in range(seen.probs.shape[-1])
                for name, value in (
                    ("top", tokens[row][column][k]),
                    ("p", _value(seen.probs[row, column, k])),
                )
            }
            yield trace.row(
                layer=layer,
                position=position,
                token=trace.tokens[position],
                entropy=_value(seen.entropy[at]),
                kl=_value(seen.kl[at]),
                kl_reverse=_value(seen.kl_reverse[at]),
                rank=None if seen.rank[at] == ABSENT else seen.rank[at],
                **best,
            )


def _value(number: float) -> float | None:
    """None for NaN: the lens has nothing to say there."""
    return None if isnan(number) else float(number)


def _token_id(text: str, vocab: list[str]) -> int | None:
    if not text:
        return None
    if text.startswith("#") and text[1:].isdecimal():
        return int(text[1:])
    if text not in vocab:
        raise UsageError(
            f"no single token is {safe_text(text, 40)!r}; most begin with a space, and #ID names any"
        )
    return vocab.index(text)
