"""Functions of cells along an axis: where the largest stands, quantiles, entropy."""

import numpy as np
import pytest

from tensorshark.forensics.filter import parse, values
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def test_the_place_is_a_layer_a_head_or_a_token_of_the_trace(index: Index, demo: Capture) -> None:
    stats = [demo.trace(trace).stats for trace in demo.ids()]
    norms = [stat["norm.resid_post"] for stat in stats]  # (layer, pos)
    entropy = [stat["attn.entropy"] for stat in stats]  # (layer, head, pos)
    everything = list(range(1, 13))

    def shown(text: str) -> list[object]:
        return values(text, index, everything)

    assert shown("argmax(resid_post.norm[-1])") == [int(norm[:, -1].argmax()) for norm in norms]
    assert shown("argmin(resid_post.norm#[1-3][-1])") == [1 + int(norm[1:, -1].argmin()) for norm in norms]
    assert shown("argmax(resid_post.norm#2[1:])") == [1 + int(norm[2, 1:].argmax()) for norm in norms]
    assert shown("argmin(attn.entropy#1[-1])") == [int(array[1, :, -1].argmin()) for array in entropy]
    assert shown("argmax(-resid_post.norm[-1])") == shown("argmin(resid_post.norm[-1])")
    assert shown("argmax(resid_post.norm#[7-9][-1])") == [None] * 12
    assert shown("argmax(resid_post.norm[-1] * 0)") == [0] * 12, "of equal ones the first"
    assert shown("argmax(token.id[-2:])") == [
        len(ids) - 2 + int(np.argmax(ids[-2:]))
        for ids in (demo.trace(trace).token_ids for trace in demo.ids())
    ]


def test_the_place_of_one_variable(index: Index) -> None:
    texts = [f"argmax(attn.entropy#{layer}[-1]) == 1" for layer in range(4)]
    each = [set(parse(text).select(index).tolist()) for text in texts]
    assert set(parse("any(l: argmax(attn.entropy#l[-1]) == 1)").select(index).tolist()) == set.union(*each)
    assert set(parse("all(l: argmax(attn.entropy#l[-1]) == 1)").select(index).tolist()) == set.intersection(
        *each
    )


def test_quantiles_are_numpys(index: Index, demo: Capture) -> None:
    norm = demo.trace(demo.ids()[0]).stats["norm.resid_post"].astype(np.float64)
    for share in (0, 0.1, 0.5, 0.75, 1):
        (shown,) = values(f"quantile(resid_post.norm, {share})", index, [1])
        assert shown == pytest.approx(np.quantile(norm, share), rel=1e-14)
        (shown,) = values(f"quantile(resid_post.norm[-1], {share})", index, [1])
        assert shown == pytest.approx(np.quantile(norm[:, -1], share), rel=1e-14)


def test_entropy_is_that_of_shares(index: Index, demo: Capture) -> None:
    sink = demo.trace(demo.ids()[0]).stats["attn.sink"][2, :, -1].astype(np.float64)
    shares = sink / sink.sum()
    (shown,) = values("entropy(attn.sink#2[-1])", index, [1])
    assert shown == pytest.approx(-(shares * np.log(shares)).sum())
    assert values("entropy(seq_len)", index, [1]) == [0.0]
    assert values("entropy(-attn.sink#2[-1])", index, [1]) == [None]
    assert values("entropy(attn.sink#2[-1] * 0)", index, [1]) == [None]
    (halves,) = values("entropy(attn.sink#2[-1] * 0 + 1)", index, [1])
    assert halves == pytest.approx(np.log(2)), "two heads, alike"


def test_words(index: Index) -> None:
    assert parse("quantile(resid_post.norm#1, 0.9) > 3").words() == (
        "traces whose quantile 0.9 of residual norm after layer 1 at all tokens exceeds 3"
    )
    assert parse("argmax(resid_post.norm[-1]) < 20").words() == (
        "traces whose place of the largest residual norm after all layers at the last token is below 20"
    )
