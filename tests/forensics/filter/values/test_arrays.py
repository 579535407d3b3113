"""Cells as arrays: which meet, which are absent, and what any and all make of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tensorshark.forensics.filter.fields import AXES, HEAD, LAYER, POS
from tensorshark.forensics.filter.values.arrays import (
    aligned,
    folded,
    nested,
    objects,
    present,
    quantified,
    satisfied,
    unbroken,
)
from tensorshark.forensics.filter.values.relations import Order, Range

shapes = st.tuples(*[st.integers(0, 3)] * 3, st.integers(1, 3))
kept = st.lists(st.sampled_from(AXES), unique=True).map(tuple)


@given(left=shapes, right=shapes)
def test_cells_meet_one_to_one_one_to_many_or_not_at_all(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    trace = max(left[3], right[3])
    found = aligned(np.zeros((*left[:3], trace)), np.zeros((*right[:3], trace)))
    shape = np.broadcast_shapes(*(array.shape for array in found))
    for axis in range(3):
        a, b = left[axis], right[axis]
        assert shape[axis] == (a if a == b or b == 1 else b if a == 1 else 0)


@given(data=st.data(), shape=shapes, axes=kept)
def test_any_and_all_are_of_the_cells_that_are_there(
    data: st.DataObject, shape: tuple[int, ...], axes: tuple[str, ...]
) -> None:
    found, there = (data.draw(arrays(np.bool_, shape)) for _ in range(2))
    found &= there
    gone = tuple(place for place, axis in enumerate(AXES) if axis not in axes)
    some = quantified(found, there, "any", axes)
    every = quantified(found, there, "all", axes)
    assert (some == found.any(axis=gone, keepdims=True)).all() and some.shape == every.shape
    fine = (found | ~there).all(axis=gone, keepdims=True) & there.any(axis=gone, keepdims=True)
    assert (every == fine).all()


def test_folding_a_million_traces_copies_nothing() -> None:
    cells = np.zeros((3, 1, 1, 1000), np.float32)
    assert folded(cells).shape == (3, 1, 1, 1, 1000)
    assert np.shares_memory(folded(cells), cells)
    assert folded(cells, (LAYER,)).shape == (1, 3, 1, 1, 1000)
    assert np.shares_memory(folded(cells, (LAYER,)), cells)


def test_absent_cells_satisfy_nothing() -> None:
    numbers = np.array([1, np.nan, 3], np.float32)
    assert satisfied(numbers, Order("!=", 1)).tolist() == [False, False, True]
    assert satisfied(numbers, Range(0, 9)).tolist() == [True, False, True]
    texts = objects(["a", None, "b"])
    assert satisfied(texts, Order("!=", "a")).tolist() == [False, False, True]
    assert present(texts).tolist() == [True, False, True]


def test_a_variable_keeps_its_cells_beside_nothing() -> None:
    nothing = np.empty((0, 2, 0, 1))
    assert unbroken(nothing, (LAYER,)).shape == (1, 2, 0, 1)
    assert np.isnan(unbroken(nothing, (LAYER, POS))).all()
    assert unbroken(nothing, (HEAD,)) is nothing


@pytest.mark.parametrize(
    ("axes", "shown"),
    [((), 1), ((LAYER,), [1, None]), ((POS,), [1]), ((LAYER, POS), [[1], [None]])],
)
def test_nested_lists_have_the_open_axes(axes: tuple[str, ...], shown: object) -> None:
    cells = np.array([1.0, np.nan]).reshape(2, 1, 1)
    assert nested(cells if LAYER in axes else cells[:1], axes, whole=True) == shown


def test_nothing_at_all_is_shown_as_one_gap() -> None:
    assert nested(np.full((2, 1, 3), np.nan), (LAYER, POS), whole=False) is None
    assert nested(np.empty((0, 1, 3)), (LAYER, POS), whole=False) is None
