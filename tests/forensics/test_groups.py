"""Groups and summaries, beside numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tensorshark.forensics.groups import MAX_GROUPS, Groups, binned, distinct, summaries
from tensorshark.traces.errors import UsageError

QUANTILES = (0.05, 0.5, 0.95)


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_a_cross_product_has_the_groups_that_exist_in_order_and_none_last() -> None:
    first = codes(1, 0, -1, 1, 0), ["a", "b"]
    second = codes(0, 0, 1, 1, -1), [1, 2]
    groups = Groups.of([first, second])
    assert groups.keys == [["a", 1], ["a", None], ["b", 1], ["b", 2], [None, 2]]
    assert groups.codes.tolist() == [2, 0, 4, 3, 1]
    assert groups.sizes.tolist() == [1, 1, 1, 1, 1]


def test_traces_keep_their_order_within_a_group_and_absent_numbers_are_left_out() -> None:
    groups = Groups.of([(codes(1, 0, 1, 0, 1), ["a", "b"])])
    parts = groups.parts(np.array([5.0, 4.0, np.nan, 2.0, 1.0]))
    assert [part.tolist() for part in parts] == [[4, 2], [5, 1]]


def test_too_many_groups_are_refused_with_what_to_do() -> None:
    many = np.arange(MAX_GROUPS + 1, dtype=np.int32)
    with pytest.raises(UsageError, match="--bins"):
        Groups.of([(many, list(map(str, many)))])
    assert len(Groups.of([(many[:-1], list(map(str, many[:-1])))])) == MAX_GROUPS


def test_a_wide_cross_product_costs_what_its_traces_cost() -> None:
    many = np.arange(900, dtype=np.int32)
    columns = [(many, list(map(str, range(900))))] * 3  # 900^3 combinations, 900 of them there
    assert len(Groups.of(columns)) == 900


@pytest.mark.parametrize("ordered", [False, True])
def test_summaries_are_numpys(ordered: bool) -> None:
    rng = np.random.default_rng(1)
    numbers, group = rng.standard_normal(500), rng.integers(0, 4, 500).astype(np.int32)
    numbers[::7] = np.nan
    groups = Groups.of([(group, list("abcd"))])
    parts = groups.parts(numbers)
    lines = summaries("x", groups, [np.sort(p) for p in parts] if ordered else parts, QUANTILES, ordered)
    for code, line in enumerate(lines):
        own = numbers[group == code]
        there = own[~np.isnan(own)]
        assert (line.traces, line.values, line.group) == (len(own), len(there), ["abcd"[code]])
        assert line.mean == pytest.approx(there.mean(), rel=1e-12)
        assert line.std == pytest.approx(there.std(ddof=1), rel=1e-12)
        assert (line.min, line.max) == (there.min(), there.max())
        assert line.quantiles == pytest.approx(np.quantile(there, QUANTILES).tolist(), rel=1e-12)


def test_of_one_value_there_is_no_spread_and_of_none_nothing() -> None:
    groups = Groups.of([(codes(0, 1), ["one", "none"])])
    one, none = summaries("x", groups, groups.parts(np.array([3.0, np.nan])), QUANTILES)
    assert (one.mean, one.std, one.quantiles) == (3, None, [3, 3, 3])
    assert (none.values, none.mean, none.min, none.quantiles) == (0, None, None, [None] * 3)


def test_infinity_is_a_value_that_a_spread_cannot_be_said_of() -> None:
    line = summaries("x", Groups.one(4), [np.array([1.0, 2.0, np.inf, np.inf])], (0, 0.5, 1))[0]
    assert (line.mean, line.std, line.max, line.quantiles) == (np.inf, None, np.inf, [1, np.inf, np.inf])


def test_numbers_become_groups_by_value_or_in_bins() -> None:
    numbers = np.array([2.0, 1.5, np.nan, 2.0])
    found, values = distinct(numbers)
    assert (found.tolist(), values) == ([1, 0, -1, 1], [1.5, 2])
    found, values = binned(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan]), 2)
    assert (found.tolist(), values) == ([0, 0, 1, 1, 1, -1], ["[1, 3)", "[3, 5]"])


def test_bins_of_equal_numbers_are_fewer() -> None:
    assert binned(np.array([7.0, 7.0]), 4)[1] == ["[7, 7]"]
    assert binned(np.array([np.nan]), 4)[1] == []
    found, names = binned(np.array([-np.inf, 0.0, 1.0, np.inf]), 3)
    assert found.tolist() == [0, 1, 2, 2] and len(names) == 3
