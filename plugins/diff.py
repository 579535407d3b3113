"""`tensorshark run diff`: two traces side by side, and where they first part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics import (
    Analyzer,
    Cell,
    Field,
    Heatmap,
    NotApplicable,
    Option,
    OptionValue,
    Result,
    Row,
    Text,
)
from tensorshark.forensics.compare import Distance, align, distance, first_apart
from tensorshark.forensics.view import View, ViewTrace
from tensorshark.traces.errors import UsageError
from tensorshark.traces.sites import DEFAULT_SITES, SITES
from tensorshark.traces.text import token_text

Step = tuple[int, str]
"""Layer and site, in the order in which they happen."""


class Diff(Analyzer):
    """Two traces: cosine, L2, mean absolute error and top dimensions per layer, site and aligned token."""

    name = "diff"
    scope = "pair"
    options = [
        Option("force", False, "compare even where models or sites differ: what both have"),
        Option("tolerance", 1e-4, "relative L2 up to which two states count as the same"),
    ]
    fields = [
        Field("diff.cosine", float, axes=("layer", "pos"), help="1 is the same direction"),
        Field("diff.l2", float, axes=("layer", "pos"), help="length of the difference"),
        Field(
            "diff.mae", float, axes=("layer", "pos"), help="mean over dimensions of the absolute difference"
        ),
        Field(
            "diff.jaccard", float, axes=("layer", "pos"), help="shared part of the largest 1 % of dimensions"
        ),
    ]

    def run(self, view: View, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """A verdict, a row per layer, site and aligned token, and a heatmap of resid_post."""
        traces = list(view.progress())
        if len(traces) < 2:
            return  # the view says which of them could not be read
        a, b = traces
        steps = _steps(a, b, bool(options["force"]))
        pairs = _aligned(a, b)
        if not pairs:
            yield NotApplicable(reason=f"{a.id} and {b.id} have no token in common")
            return
        distances = _distances(a, b, steps, pairs)
        yield Text(
            title=f"{a.id} and {b.id}",
            text=_verdict(a, b, steps, pairs, distances, float(options["tolerance"])),
        )
        for (layer, site), d in distances.items():
            for index, (i, j) in enumerate(pairs):
                cells: dict[str, Cell] = {
                    "layer": layer,
                    "site": site,
                    "position_a": i,
                    "position_b": j,
                    "token": a.tokens[i],
                    "cosine": float(d.cosine[index]),
                    "l2": float(d.l2[index]),
                    "mae": float(d.mae[index]),
                    "jaccard": float(d.jaccard[index]),
                }
                yield Row(cells=cells)
        layers = [layer for layer, site in steps if site == "resid_post"]
        if layers:
            yield Heatmap(
                title="1 - cosine of resid_post",
                row_label="layer",
                column_label="token",
                rows=[str(layer) for layer in layers],
                columns=[a.tokens[i] for i, _ in pairs],
                values=[_turned(distances[layer, "resid_post"]) for layer in layers],
            )


def _steps(a: ViewTrace, b: ViewTrace, force: bool) -> list[Step]:
    """What both have, in the order in which it happens; UsageError where they differ, unless forced."""
    sites = [site for site in DEFAULT_SITES if site in a.sites and site in b.sites]
    if not force:
        if a.model.fingerprint != b.model.fingerprint:
            raise UsageError(
                f"{_models(a, b)} are different models; -o force=true compares them all the same"
            )
        for site in DEFAULT_SITES:
            if a.sites.get(site) != b.sites.get(site):
                raise UsageError(
                    f"{site} was not captured alike in {a.id} and {b.id} (layers or type differ); "
                    "-o force=true compares what both have"
                )
    if a.model.d_model != b.model.d_model:
        raise UsageError(
            f"{_models(a, b)} have states of different width: {a.model.d_model} and {b.model.d_model}"
        )
    steps = [(layer, site) for site in sites for layer in a.layers(site) if layer in b.layers(site)]
    if not steps:
        raise UsageError(f"{a.id} and {b.id} have no layer of any site in common")
    return sorted(steps, key=lambda step: (step[0], DEFAULT_SITES.index(step[1])))


def _models(a: ViewTrace, b: ViewTrace) -> str:
    return f"{a.manifest.model} and {b.manifest.model}"


def _aligned(a: ViewTrace, b: ViewTrace) -> list[tuple[int, int]]:
    """Token ids where one tokenizer made them, else the tokens' text."""
    same = a.manifest.provenance.tokenizer_sha256 == b.manifest.provenance.tokenizer_sha256
    return align(a.token_ids, b.token_ids) if same else align(a.tokens, b.tokens)


def _distances(
    a: ViewTrace, b: ViewTrace, steps: list[Step], pairs: list[tuple[int, int]]
) -> dict[Step, Distance]:
    """Per step the distances (pair,)."""
    left, right = [i for i, _ in pairs], [j for _, j in pairs]
    names = {step: SITES[step[1]].at(step[0]) for step in steps}
    return {step: distance(a.load(name)[left], b.load(name)[right]) for step, name in names.items()}


def _turned(d: Distance) -> list[float | None]:
    """1 - cosine per pair; exactly 0 where the states are equal, whatever rounding says."""
    turned: list[float | None] = np.where(d.l2 == 0, 0.0, np.maximum(1 - d.cosine, 0)).tolist()
    return turned


def _verdict(
    a: ViewTrace,
    b: ViewTrace,
    steps: list[Step],
    pairs: list[tuple[int, int]],
    distances: dict[Step, Distance],
    tolerance: float,
) -> str:
    """How much aligns, where the tokens part, and where the states do."""
    aligned = "1 token aligns" if len(pairs) == 1 else f"{len(pairs)} tokens align"
    counts = f"{aligned}, of {len(a.token_ids)} and {len(b.token_ids)}."
    relative: NDArray[np.float64] = np.stack(
        [distances[step].relative for step in steps], axis=1
    )  # (pair, step)
    if not relative.any():
        return f"{counts} {_tokens_part(a, b)} All {relative.size:,} states compared are equal."
    apart = first_apart(relative, tolerance)
    if apart is None:
        states = (
            f"No state differs by more than {tolerance:g} of its length; the largest by {relative.max():.2g}."
        )
    else:
        (i, _), (layer, site) = pairs[apart[0]], steps[apart[1]]
        states = (
            f"States first part at token {i} `{token_text(a.tokens[i])}`, layer {layer}, {site}: "
            f"they differ by {relative[apart]:.2g} of their length."
        )
    return f"{counts} {_tokens_part(a, b)} {states}"


def _tokens_part(a: ViewTrace, b: ViewTrace) -> str:
    for i, (left, right) in enumerate(zip(a.tokens, b.tokens, strict=False)):
        if left != right:
            return f"Tokens first part at {i}: `{token_text(left)}` and `{token_text(right)}`."
    if len(a.tokens) != len(b.tokens):
        return f"One continues the other, from token {min(len(a.tokens), len(b.tokens))} on."
    return "The tokens are the same."
