"""Sparklines as literal text."""

from math import inf, nan

import pytest

from tensorshark.tui.widgets.sparkline import bars, meter, resample, spark


def test_lowest_and_highest_block_are_the_smallest_and_largest_value() -> None:
    assert spark([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"


def test_more_values_than_characters_are_averaged() -> None:
    assert spark([0, 0, 7, 7, 0, 7], 3) == "▁█▅"


def test_fewer_values_are_stretched_so_that_depths_line_up() -> None:
    assert spark([0, 7], 6) == "▁▁▁███"
    assert spark([1, 2, 3], 8) == "▁▁▁▅▅▅██"  # 3 does not divide 8: the last share is the short one


def test_fixed_ends_compare_curves() -> None:
    assert spark([5, 5], 2, lo=0, hi=10) == "▅▅"
    assert spark([-5, 50], 2, lo=0, hi=10) == "▁█"


def test_what_is_not_there_is_seen_and_does_not_move_the_scale() -> None:
    assert spark([0, nan, 7, None], 4) == "▁·█·"
    assert spark([0, 7, inf, -inf], 4) == "▁██▁"
    assert spark([nan, 4], 1) == "▄"


@pytest.mark.parametrize(("values", "drawn"), [([], "    "), ([3], "▄▄▄▄"), ([nan], "····")])
def test_degenerate(values: list[float], drawn: str) -> None:
    assert spark(values, 4) == drawn
    assert spark(values, 0) == ""


def test_bars_stand_on_zero() -> None:
    assert bars([0, 8, 16], 3, 2) == ["  █", "▁██"]
    assert bars([4, 12], 2, 2, hi=16) == [" ▄", "▄█"]


def test_bars_show_gaps_and_the_unbounded() -> None:
    assert bars([8, nan, inf], 3, 1) == ["█·█"]
    assert bars([], 3, 2) == ["   ", "   "]
    assert bars([1], 3, 0) == []


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, "    "), (1, "━━━━"), (0.5, "━━  "), (0.6, "━━╸ "), (7, "━━━━"), (nan, "·   ")]
)
def test_meter(share: float, drawn: str) -> None:
    assert meter(share, 4) == drawn


def test_resample_keeps_order_and_length() -> None:
    assert resample([1, 2, 3, 4], 2) == [1.5, 3.5]
    assert resample([1, 2], 4) == [1, 1, 2, 2]
    assert resample([1, 2], 0) == []
