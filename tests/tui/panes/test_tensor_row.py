"""What is said about one row of a tensor."""

from __future__ import annotations

import numpy as np

from tensorshark.traces.store import Capture
from tensorshark.tui.panes.tensor_row import Numbers, read, usual


def test_massive_means_large_in_itself_and_beside_the_median() -> None:
    row = np.full(576, 3.9)
    row[507], row[3] = 24827.0, 3000.0
    assert Numbers.of(row, median=3.9).massive == {507}
    assert Numbers.of(np.array([90.0, 0.001]), median=0.001).massive == frozenset()
    assert Numbers.of(row, median=3.9).order[:2].tolist() == [507, 3]


def test_nan_and_infinity_are_kept_apart() -> None:
    numbers = Numbers.of(np.array([np.nan, -np.inf, 2.0, np.nan]), median=1.0)
    assert numbers.finite.tolist() == [2.0]
    assert numbers.order.tolist() == [1, 2]


def test_the_median_is_of_the_whole_tensor(capture: Capture) -> None:
    trace = capture.trace(capture.ids()[0])
    array, median = read(trace, "blocks.2.hook_mlp_out")
    assert array.tobytes() == trace.load("blocks.2.hook_mlp_out").tobytes()
    assert median == np.median(np.abs(array))


def test_usual_leaves_out_one_in_a_hundred() -> None:
    assert usual(np.array([1.0] * 199 + [500.0])) == 1.0
    assert usual(np.array([])) == 0.0
