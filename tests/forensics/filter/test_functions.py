"""Functions of many traces' cells at once, with gaps, give what numpy gives for each trace's own cells."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES

floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
NUMPY: dict[str, Callable[[Any], Any]] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "median": np.median,
    "sum": np.sum,
    "std": np.std,
    "count": len,
}


@pytest.mark.parametrize("name", NUMPY)
@given(cells=arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=floats))
def test_blocks_and_single_traces_agree(name: str, cells: np.ndarray) -> None:
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        made = function.of(cells)  # (trace,) of (cell, trace)
        for trace, column in enumerate(cells.T):
            there = column[~np.isnan(column)]
            if len(there) == 0:
                assert made[trace] == 0 if function.nothing == 0 else np.isnan(made[trace])
            else:
                np.testing.assert_allclose(made[trace], NUMPY[name](there), rtol=1e-9, atol=1e-6)
            if function.keeps_one and len(there):
                np.testing.assert_array_equal(function.of(there[:1, None]), there[:1])


def test_functions_of_texts_leave_absent_ones_out() -> None:
    texts = np.array([["ab", None], ["", "Ç"]], dtype=object)
    assert FUNCTIONS["upper"].of(texts).tolist() == [["AB", None], ["", "Ç"]]
    np.testing.assert_array_equal(FUNCTIONS["len"].of(texts), [[2, np.nan], [0, 1]])
    assert FUNCTIONS["count"].of(texts).tolist() == [2, 1]


def test_names_do_not_clash() -> None:
    assert not set(FUNCTIONS) & set(PREDICATES)
