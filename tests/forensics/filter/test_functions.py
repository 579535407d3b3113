"""Functions give the same for one trace's values as for a block of traces with gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tensorshark.forensics.filter.functions import FUNCTIONS, PLANNED, PREDICATES

floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.cells])
@given(cells=arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=floats))
def test_blocks_and_single_traces_agree(name: str, cells: np.ndarray) -> None:
    function = FUNCTIONS[name]
    assert function.cells
    with np.errstate(all="ignore"):
        made = function.cells(cells)
        for trace, column in enumerate(cells.T):
            there = column[~np.isnan(column)]
            if not function.reduces:
                np.testing.assert_array_equal(made[:, trace], [function.of(cell) for cell in column])
            elif len(there) == 0:
                assert np.isnan(made[trace])
            else:
                np.testing.assert_allclose(made[trace], function.of(there), rtol=1e-9, atol=1e-6)


def test_names_do_not_clash() -> None:
    assert not set(FUNCTIONS) & (set(PREDICATES) | PLANNED)
