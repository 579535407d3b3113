"""Norm mathematics against numpy and by hand."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from tensorshark.forensics.norms import growth, l2


def test_l2_is_numpys_in_any_stored_type() -> None:
    states = np.random.default_rng(0).normal(size=(3, 5, 8))
    assert np.allclose(l2(states), np.sqrt((states**2).sum(-1)))
    narrow = np.full((2, 4), 3e38, dtype=ml_dtypes.bfloat16)
    assert np.isfinite(l2(narrow)).all()  # the squares would overflow in float32


def test_growth_counts_what_rises() -> None:
    grown = growth(np.array([2.0, 3.0, 2.5, 8.0]))
    assert (grown.first, grown.last, grown.ratio, grown.rising, grown.steps) == (2.0, 8.0, 4.0, 2, 3)


def test_growth_of_one_layer_and_from_nothing() -> None:
    assert growth(np.array([5.0])).ratio == 1.0
    assert growth(np.array([5.0])).steps == 0
    assert math.isnan(growth(np.array([0.0, 1.0])).ratio)
