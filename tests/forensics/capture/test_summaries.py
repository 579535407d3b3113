"""Norms and attention summaries against scipy and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from tensorshark.forensics.capture.summaries import attention_summaries, next_tokens, residual_stats

pytestmark = pytest.mark.model


def rows(*shape: int, seed: int = 0, sharp: float = 1.0) -> torch.Tensor:
    """Causal attention: rows that sum to one, nothing above the diagonal."""
    scores = sharp * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, -torch.inf).softmax(-1)


@pytest.mark.parametrize("sharp", [0.0, 1.0, 30.0])
def test_entropy_is_scipys(sharp: float) -> None:
    weights = rows(2, 3, 9, 9, sharp=sharp)
    got, rest, sink = attention_summaries(weights)
    p = weights.double().numpy()
    np.testing.assert_allclose(got, entropy(p, axis=-1), atol=1e-5)
    np.testing.assert_allclose(sink, p[..., 0], atol=1e-7)
    np.testing.assert_allclose(rest[..., 1:], entropy(p[..., 1:, 1:], axis=-1), atol=1e-4)


def test_known_entropies() -> None:
    """A uniform row has ln T, a one-hot row 0, and the first query has nothing but the first token."""
    count = 8
    uniform = torch.full((1, 1, count, count), 1 / count)
    assert attention_summaries(uniform)[0].flatten().tolist() == pytest.approx([np.log(count)] * count)
    assert attention_summaries(uniform)[1].flatten().tolist() == pytest.approx([np.log(count - 1)] * count)
    one_hot = torch.eye(count)[None, None]
    for value in attention_summaries(one_hot)[:2]:
        assert value.flatten().tolist() == [0.0] * count


def test_a_sink_hides_what_the_rest_attends_to() -> None:
    """0.999 on the first token and the rest even: entropy near 0, but not without the first token."""
    weights = torch.zeros(1, 1, 5, 5)
    weights[..., 0], weights[..., 1:] = 0.999, 0.00025
    total, rest, sink = attention_summaries(weights)
    assert total.max() < 0.01
    assert rest[0, 0, 0].item() == pytest.approx(np.log(4), abs=1e-4)
    assert sink[0, 0, 0].item() == pytest.approx(0.999)


def test_norms_pass_on_what_is_not_finite() -> None:
    x = torch.tensor([[[3.0, -4.0], [torch.nan, 1.0], [-torch.inf, 1.0]]])
    norm, absmax = residual_stats(x)
    assert norm[0, 0].item() == 5.0
    assert absmax[0, 0].item() == 4.0
    assert norm[0, 1].isnan() and absmax[0, 1].isnan()
    assert norm[0, 2].isinf() and absmax[0, 2].isinf()


def test_norms_of_half_precision_are_taken_in_float32() -> None:
    """200 values of 1000 have a norm that float16 cannot square."""
    norm, absmax = residual_stats(torch.full((1, 1, 200), 1000.0, dtype=torch.float16))
    assert norm.dtype == absmax.dtype == torch.float32
    assert norm.item() == pytest.approx(1000 * 200**0.5, rel=1e-4)


def test_next_tokens_are_the_softmax_of_the_logits() -> None:
    logits = torch.randn(2, 11, generator=torch.Generator().manual_seed(1))
    ids, p = next_tokens(logits, 3)
    expected = logits.softmax(-1).sort(-1, descending=True)
    assert torch.equal(ids, expected.indices[:, :3])
    assert torch.allclose(p, expected.values[:, :3])
    assert next_tokens(logits, 99)[0].shape == (2, 11)
