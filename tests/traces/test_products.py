"""Sums of products do not depend on what stands beside them."""

import numpy as np

from tensorshark.traces.products import dots, gaps


def test_sums_do_not_depend_on_their_neighbours() -> None:
    values = np.random.default_rng(0).standard_normal((50, 577)).astype(np.float32)
    whole = dots(values, values)
    for part in (values[7:8], np.asfortranarray(values)[3:], values[::-1]):
        assert set(dots(part, part).tolist()) <= set(whole.tolist())
    assert dots(values[7], values[7]) == whole[7]
    many = np.broadcast_to(values[:, None], (50, 9, 577))  # more than are multiplied at once
    np.testing.assert_array_equal(dots(many, values[:1]), np.repeat(dots(values, values[0])[:, None], 9, 1))
    assert dots(np.ones(1 << 18), np.ones(1 << 18)) == 1 << 18
    assert dots(values[:0], values[0]).shape == (0,)


def test_gaps_are_sums_of_squared_differences() -> None:
    rng = np.random.default_rng(1)
    many, one = rng.standard_normal((3, 700, 200)).astype(np.float32), rng.standard_normal(200)
    np.testing.assert_allclose(gaps(many, one), ((many - one) ** 2).sum(-1), rtol=1e-12)
    assert gaps(many[1, 3], one) == gaps(many, one)[1, 3] and gaps(many, many).max() == 0
