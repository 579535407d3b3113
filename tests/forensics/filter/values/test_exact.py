"""Numbers as stored are compared with numbers as typed as if both had every digit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.filter.values.relations import Order

OPERATORS = ("<", "<=", ">", ">=", "==", "!=")
near = st.floats(width=32, allow_nan=False).map(float) | st.floats(allow_nan=False, allow_infinity=False)


@given(constant=near, others=st.lists(st.floats(width=32), max_size=5))
def test_float32_is_compared_exactly(constant: float, others: list[float]) -> None:
    with np.errstate(over="ignore", under="ignore"):
        around = [np.float32(constant)]
        for _ in range(2):
            around += [np.nextafter(each, np.float32(way)) for each in around for way in (-np.inf, np.inf)]
        stored = np.array([*around, *others, np.inf, -np.inf, 0.0, -0.0], dtype=np.float32)
    for operator in OPERATORS:
        relation = Order(operator, constant)
        there = stored[~np.isnan(stored)]
        expected = [relation.one(float(each)) for each in there]
        assert relation.array(there).tolist() == expected, operator
