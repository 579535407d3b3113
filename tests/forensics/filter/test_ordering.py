"""Places in order are those of a stable argsort."""

import numpy as np
import pytest

from tensorshark.forensics.filter.ordering import places

RNG = np.random.default_rng(3)
KEYS = {
    "float32": RNG.standard_normal(9000).astype(np.float32).astype(np.float64),
    "float64": RNG.standard_normal(9000) * 10.0 ** RNG.integers(-300, 300, 9000),
    "ties and both zeros": RNG.choice([-2.0, -0.0, 0.0, 1.5, np.inf, -np.inf], 9000),
    "equal": np.full(9000, 3.25),
    "few": RNG.standard_normal(5),
    "none": np.empty(0),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_equal_keys_stay_as_they_are_either_way(keys: np.ndarray) -> None:
    assert np.array_equal(places(keys), np.argsort(keys, kind="stable"))
    assert np.array_equal(places(keys, descending=True), np.argsort(-keys, kind="stable"))


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("limit", [0, 1, 3, 700, 9000, 20_000])
def test_the_first_few_are_the_first_of_all(keys: np.ndarray, limit: int) -> None:
    for descending in (False, True):
        assert np.array_equal(places(keys, descending, limit)[:limit], places(keys, descending)[:limit])
