"""Part of a trace's numbers: what `Trace.load` and `Trace.stats` give, cut where it was asked."""

from __future__ import annotations

import numpy as np
import pytest

from tensorshark.forensics.slices import cut
from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.sites import SITES
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.traces.trace import Trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Nine tokens, four layers, two heads, with whole patterns."""
    capture = write_synthetic(tmp_path_factory.mktemp("slices") / "x.tshark", traces=2, patterns=True)
    return capture.trace(capture.ids()[1])


def test_a_site(trace: Trace) -> None:
    part = cut(trace, "attn_out", [2, 0], "prompt[1:3],-1")
    assert (part.axes, part.shape, part.size) == (("layer", "pos", "d_model"), (2, 3, 16), 96)
    assert (part.layers, part.positions) == ([2, 0], [1, 2, 8])
    wanted = [trace.load(SITES["attn_out"].at(layer))[[1, 2, 8]] for layer in (2, 0)]
    assert np.array_equal(part.values(), np.stack(wanted))


def test_rebuilt_residuals_and_layers_from_the_last(trace: Trace) -> None:
    part = cut(trace, "resid_post", [-1, -4])
    assert part.layers == [3, 0] and part.positions == list(range(9))
    assert np.array_equal(part.values()[1], trace.load("blocks.0.hook_resid_post"))


def test_patterns_are_cut_along_the_asking_token(trace: Trace) -> None:
    part = cut(trace, "pattern", [1], "-1")
    assert (part.axes, part.shape) == (("layer", "head", "q_pos", "k_pos"), (1, 2, 1, 9))
    assert np.array_equal(part.values()[0, :, 0], trace.load("blocks.1.attn.hook_pattern")[:, -1])


@pytest.mark.parametrize(
    ("what", "key", "axes"),
    [
        ("resid_post.norm", "norm.resid_post", ("layer", "pos")),
        ("mlp_out.absmax", "absmax.mlp_out", ("layer", "pos")),
        ("attn.entropy", "attn.entropy", ("layer", "head", "pos")),
    ],
)
def test_statistics(trace: Trace, what: str, key: str, axes: tuple[str, ...]) -> None:
    part = cut(trace, what, [3, 1], "0,-1")
    values = part.values()
    assert part.axes == axes and values.shape == part.shape
    assert np.array_equal(values, trace.stats[key][[3, 1]][..., [0, 8]])
    assert np.array_equal(cut(trace, what).values(), trace.stats[key])


def test_no_tokens_is_no_error(trace: Trace) -> None:
    assert cut(trace, "resid_post", [0], "all[4:4]").values().shape == (1, 0, 16)


@pytest.mark.parametrize(
    ("what", "layers", "pos", "error"),
    [
        ("nothing", [], "-1", NotFoundError),
        ("attn", [], "-1", NotFoundError),
        ("nothing.norm", [], "-1", NotFoundError),
        ("resid_post", [4], "-1", NotFoundError),
        ("resid_post", [-5], "-1", NotFoundError),
        ("resid_post.norm", [4], "-1", NotFoundError),
        ("resid_post", [0], "9", NotFoundError),
        ("resid_post", [0], "response[0]", NotFoundError),
        ("resid_post", [0], "x y", UsageError),
    ],
)
def test_what_is_not_there(
    trace: Trace, what: str, layers: list[int], pos: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        cut(trace, what, layers, pos)
