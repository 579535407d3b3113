"""Distances against scikit-learn and scipy, alignment against a textbook table."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.spatial.distance as spatial
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score, mean_absolute_error
from sklearn.metrics.pairwise import cosine_similarity

from tensorshark.forensics import compare
from tensorshark.forensics.compare import align, distance, first_apart, jaccard, largest
from tensorshark.traces.errors import UsageError

words = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.parametrize("width", [7, 16, 100, 576])
def test_distances_are_those_of_other_libraries(width: int) -> None:
    rng = np.random.default_rng(width)
    a, b = rng.normal(size=(2, 9, width)).astype(np.float32)
    found = distance(a, b)
    for i, (x, y) in enumerate(zip(a.astype(np.float64), b.astype(np.float64), strict=True)):
        assert found.cosine[i] == pytest.approx(cosine_similarity([x], [y])[0, 0], abs=1e-7)
        assert found.l2[i] == pytest.approx(spatial.euclidean(x, y), abs=1e-9)
        assert found.mae[i] == pytest.approx(mean_absolute_error(x, y), abs=1e-9)
        k = max(1, width // 100)
        top = [np.isin(np.arange(width), np.argsort(-np.abs(v))[:k]) for v in (x, y)]
        assert found.jaccard[i] == pytest.approx(jaccard_score(*top))


def test_the_epsilon_is_in_the_denominator() -> None:
    tiny = np.array([[1e-4, 0.0]])
    assert distance(tiny, tiny).cosine[0] == pytest.approx(1e-8 / (1e-8 + 1e-8))


def test_equal_states_zeros_and_nan() -> None:
    x = np.random.default_rng(0).normal(size=(4, 32))
    same = distance(x, x)
    assert np.allclose(same.cosine, 1) and not same.l2.any() and not same.mae.any()
    assert (same.jaccard == 1).all() and not same.relative.any()
    zeros = distance(np.zeros((1, 8)), np.zeros((1, 8)))
    assert zeros.cosine[0] == 0 and zeros.relative[0] == 0
    broken = distance(np.array([[np.nan, 1.0]]), np.array([[1.0, 1.0]]))
    assert np.isnan([broken.cosine[0], broken.l2[0], broken.mae[0]]).all()


def test_different_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="shapes"):
        distance(np.zeros((2, 3)), np.zeros((2, 4)))


def test_the_largest_are_one_percent_and_at_least_one() -> None:
    assert largest(np.arange(576.0)).nonzero()[0].tolist() == [571, 572, 573, 574, 575]
    assert largest(np.array([1.0, -3.0, 2.0])).tolist() == [False, True, False]
    assert jaccard(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]))[0] == 0


def longest(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook recursion."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(words, words)
def test_alignment_is_a_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    pairs = align(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    assert len(pairs) == longest(a, b)


def test_alignment_goes_around_an_insertion() -> None:
    a, b = ["The", "cat", "sat"], ["The", "old", "cat", "sat"]
    assert align(a, b) == [(0, 0), (1, 2), (2, 3)]


def test_what_is_too_long_to_align_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MAX_CELLS", 100)
    assert len(align(range(500), range(500))) == 500  # equal ends cost no table
    with pytest.raises(UsageError, match="too many to align"):
        align(range(50), range(50, 100))


def test_where_two_first_part() -> None:
    relative = np.array([[0.0, 0.0, 0.0], [0.0, 0.2, 0.0], [0.9, 0.0, 0.0]])
    assert first_apart(relative, 0.1) == (1, 1)  # positions before steps
    assert first_apart(relative, 0.5) == (2, 0)
    assert first_apart(relative, 1.0) is None
    assert first_apart(np.array([[0.0, np.nan]]), 1.0) == (0, 1)
