"""Attention entropies against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tensorshark.forensics.attention import entropy, summary


@pytest.fixture
def pattern() -> np.ndarray:
    """(head, q_pos, k_pos): causal rows that sum to 1, with exact zeros above the diagonal."""
    rng = np.random.default_rng(1)
    rows = np.tril(rng.gamma(0.3, size=(3, 7, 7)) + 1e-6)
    return (rows / rows.sum(-1, keepdims=True)).astype(np.float32)


def test_entropy_is_scipys(pattern: np.ndarray) -> None:
    assert np.allclose(entropy(pattern), scipy.stats.entropy(pattern.astype(np.float64), axis=-1), atol=1e-12)


def test_uniform_and_one_hot() -> None:
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(np.log(8), abs=1e-12)
    one_hot = entropy(np.eye(4))
    assert (one_hot == 0).all() and not np.signbit(one_hot).any()


def test_nothing_left_is_zero_and_nan_stays_nan() -> None:
    assert entropy(np.zeros(5)) == 0
    assert np.isnan(entropy(np.array([0.5, np.nan])))


def test_summary_leaves_out_the_first_token(pattern: np.ndarray) -> None:
    seen = summary(pattern)
    assert np.array_equal(seen.sink, pattern[..., 0])
    assert np.allclose(seen.entropy, scipy.stats.entropy(pattern.astype(np.float64), axis=-1), atol=1e-6)
    rest = scipy.stats.entropy(pattern[:, 1:, 1:].astype(np.float64), axis=-1)  # scipy renormalises
    assert np.allclose(seen.rest[:, 1:], rest, atol=1e-6)
    assert (seen.rest[:, 0] == 0).all()  # the first query sees only itself


def test_a_growing_sink_lowers_entropy_but_not_its_twin() -> None:
    others = np.array([0.5, 0.3, 0.2])
    rows = np.stack([np.concatenate([[sink], (1 - sink) * others]) for sink in (0.1, 0.5, 0.9)])
    seen = summary(rows)
    assert (np.diff(seen.entropy[1:]) < 0).all()
    assert np.allclose(seen.rest, seen.rest[0])
