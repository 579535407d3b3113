"""`tensorshark run logit-lens`: what each layer would say next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Any

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
)
from tensorshark.forensics.lens import ABSENT, Readout, read, token_strings
from tensorshark.forensics.lens_cells import Reading, readings, surprisals
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
    families = ["lens", "surprisal"]
    fields = [
        Field(
            "lens.top",
            str,
            axes=("layer", "pos"),
            help="the token that this layer would say next",
            noun="likeliest next token after",
            example='lens.top#-1[-1] == " Paris"',
            ids="lens.id",
        ),
        Field(
            "lens.id",
            int,
            axes=("layer", "pos"),
            help="the number of that token in the vocabulary",
            noun="id of the likeliest next token after",
            example="lens.id#-1[-1] == 262",
        ),
        Field(
            "lens.p",
            float,
            axes=("layer", "pos"),
            help="its probability there",
            noun="probability of the likeliest next token after",
            example="lens.p#-1[-1] > 0.5",
        ),
        Field(
            "lens.rank",
            int,
            axes=("layer", "pos"),
            help="place there, from 1, of the token that the last layer puts first",
            noun="rank of the final token after",
            example="lens.rank#2[-1] <= 3",
        ),
        Field(
            "lens.entropy",
            float,
            axes=("layer", "pos"),
            help="entropy of the next token there",
            unit="nats",
            noun="entropy of the next token after",
            example="min(lens.entropy[-1]) < 2",
        ),
        Field(
            "lens.kl",
            float,
            axes=("layer", "pos"),
            help="KL(this layer ‖ last layer)",
            unit="nats",
            noun="divergence from the last layer after",
            example="lens.kl#2[-1] > 1",
        ),
        Field(
            "lens.kl_reverse",
            float,
            axes=("layer", "pos"),
            help="KL(last layer ‖ this layer)",
            unit="nats",
            noun="reverse divergence from the last layer after",
            example="lens.kl_reverse#2[-1] > 1",
        ),
        Field(
            "surprisal",
            float,
            axes=("pos",),
            help="-log p of a token given those before it; none for the first",
            unit="nats",
            noun="surprisal",
            example="max(surprisal) > 12",
        ),
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

    def measure(self, trace: ViewTrace, field: str, cells: Cells) -> Any:
        """One field (layer, pos), or surprisal (pos,)."""
        (found,) = self.measure_all([(trace, cells)], field)
        if isinstance(found, Exception):
            raise found
        return found if field == "surprisal" else found[field]

    def measure_all(self, asked: Iterable[tuple[ViewTrace, Cells]], field: str) -> Iterator[Any]:
        """All fields of the lens that one reading gives; the states of several traces are read together."""
        if field == "surprisal":
            yield from surprisals((trace, cells.positions) for trace, cells in asked)
            return
        vocabs: list[list[str]] = []

        def opened() -> Iterator[tuple[ViewTrace, Sequence[int], Sequence[int]]]:
            for trace, cells in asked:
                vocabs.append(trace.capture.vocab(trace.manifest.model) if field == "lens.top" else [])
                yield trace, cells.layers, cells.positions

        against_last = field in ("lens.rank", "lens.kl", "lens.kl_reverse")
        for place, found in enumerate(readings(opened(), against_last)):
            yield found if isinstance(found, Exception) else _fields(found, vocabs[place], against_last)


def _fields(read: Reading, vocab: list[str], against_last: bool) -> dict[str, Any]:
    """Field -> its cells (layer, pos); those that were not read are left out."""
    ids = np.where(read.token_ids == ABSENT, np.nan, read.token_ids)
    fields: dict[str, Any] = {"lens.id": ids, "lens.p": read.p, "lens.entropy": read.entropy}
    if vocab:
        texts = [[vocab[i] if 0 <= i < len(vocab) else None for i in row] for row in read.token_ids.tolist()]
        fields["lens.top"] = texts
    if against_last:
        ranks = np.where(read.rank == ABSENT, np.nan, read.rank)
        fields |= {"lens.rank": ranks, "lens.kl": read.kl, "lens.kl_reverse": read.kl_reverse}
    return fields


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
