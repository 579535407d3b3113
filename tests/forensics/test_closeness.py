"""Cosine and distance at their edges; that they find the right traces is tested in test_similar."""

import numpy as np
import pytest

from tensorshark.forensics.closeness import cosine, distance, dots


def test_cosines_of_odd_vectors() -> None:
    ones = np.ones(3)
    assert cosine(ones, ones) == 1 and cosine(ones, -ones) == -1
    assert np.isnan(cosine(ones, 0 * ones)) and np.isnan(cosine(ones, np.array([1, np.inf, 0])))
    assert cosine(1e150 * ones, 1e150 * ones) == pytest.approx(1)
    assert cosine(1e-155 * ones, 1e-155 * ones) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(50))
def test_a_vector_is_wholly_like_itself(seed: int) -> None:
    vector = np.random.default_rng(seed).standard_normal(7)
    assert cosine(vector, vector) == 1.0 and distance(vector, vector) == 0.0
    assert cosine(vector, 2 * vector) == 1.0 and -1 <= cosine(vector, -3 * vector) <= -1 + 1e-15


def test_axes_are_broadcast_and_squares_may_be_given() -> None:
    rng = np.random.default_rng(0)
    many, one = rng.standard_normal((4, 1, 5, 6)).astype(np.float32), rng.standard_normal(6)
    found = cosine(many, one)
    assert found.shape == (4, 1, 5) and distance(many, one).shape == (4, 1, 5)
    np.testing.assert_array_equal(cosine(many, one, dots(many, many)), found)
    np.testing.assert_allclose(distance(many, one), np.linalg.norm(many - one, axis=-1), rtol=1e-12)
