"""Heat grids: levels, what is shown where, and drawing as literal rows."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from textual.strip import Strip

from tensorshark.tui.palette import ANSI, DARK, HEAT_LEVELS, LIGHT
from tensorshark.tui.widgets.heat import (
    ABSENT,
    Scale,
    Window,
    grid,
    header,
    legend,
    level,
    numbers,
    pick_columns,
    pick_rows,
    row,
)


def plain(line: list[Segment]) -> str:
    return "".join(segment.text for segment in line)


@pytest.mark.parametrize(
    ("value", "step"),
    [(0, 0), (0.99, 0), (8, 8), (15.9, 15), (16, 15), (99, 15), (-1, 0), (nan, ABSENT), (inf, 15)],
)
def test_sixteen_equal_levels(value: float, step: int) -> None:
    assert level(value, 0, 16) == step


def test_a_flat_range_is_all_low() -> None:
    assert level(3, 3, 3) == 0
    assert Scale(3, 3).levels(np.array([3.0, nan])).tolist() == [0, ABSENT]


@given(st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_scale_agrees_with_level_value_by_value(values: list[float]) -> None:
    scale = Scale.of(np.array(values))
    steps = scale.levels(np.array(values))
    assert all(ABSENT <= step < HEAT_LEVELS for step in steps)
    if not scale.log:
        assert steps.tolist() == [level(value, scale.lo, scale.hi) for value in values]


def test_a_first_token_a_hundred_times_larger_makes_the_scale_logarithmic() -> None:
    norms = np.array([[1.0, 2.0], [4.0, 10000.0]])
    scale = Scale.of(norms)
    assert scale == Scale(1.0, 10000.0, log=True)
    assert scale.levels(norms).tolist() == [[0, 1], [2, 15]]
    assert scale.words("L2") == "L2: 1.000 … 10.0k, logarithmic"
    assert not Scale.of(np.array([10.0, 20.0])).log
    assert Scale.of(np.array([nan, inf])) == Scale(0, 0)
    assert Scale.of(np.array([0.0, 1.0, 100.0])).levels(np.array([0.0])).tolist() == [0]


def test_rows_that_do_not_fit_keep_first_last_and_cursor() -> None:
    assert pick_rows(4, 2, 9) == (0, 1, 2, 3)
    assert pick_rows(30, 12, 5) == (0, 7, 12, 22, 29)
    assert pick_rows(30, 29, 2) == (0, 29)
    assert pick_rows(30, 12, 1) == (12,)
    assert pick_rows(30, 12, 0) == ()


@given(st.integers(1, 100), st.integers(0, 99), st.integers(0, 60))
def test_rows_always_hold_the_cursor_and_never_too_many(count: int, cursor: int, room: int) -> None:
    cursor = min(cursor, count - 1)
    rows = pick_rows(count, cursor, room)
    assert len(rows) == min(count, room)
    assert list(rows) == sorted(set(rows))
    assert not rows or cursor in rows
    if room >= 3:
        assert {0, count - 1} <= set(rows)


def test_moving_the_cursor_changes_at_most_two_rows() -> None:
    for cursor in range(29):
        before, after = set(pick_rows(30, cursor, 12)), set(pick_rows(30, cursor + 1, 12))
        assert len(before - after) <= 2


def test_columns_take_the_widest_cells_that_fit_and_then_a_window() -> None:
    assert pick_columns(5, 0, 30, widths=(6, 4, 2)) == (range(5), 6)
    assert pick_columns(7, 0, 30, widths=(6, 4, 2)) == (range(7), 4)
    assert pick_columns(40, 0, 30, widths=(6, 4, 2)) == (range(15), 2)
    assert pick_columns(40, 20, 30, widths=(6, 4, 2)) == (range(6, 21), 2)
    assert pick_columns(40, 20, 30, widths=(6, 4, 2), first=10) == (range(10, 25), 2)
    assert pick_columns(3, 0, 60, widths=(6,), widest=12) == (range(3), 12)
    assert pick_columns(0, 0, 60, widths=(6,)) == (range(0), 6)
    assert pick_columns(9, 0, 5, widths=(6,)) == (range(0), 6)


@given(
    st.integers(1, 200),
    st.integers(0, 199),
    st.integers(8, 120),
    st.integers(0, 250),
    st.integers(0, 1),
    st.integers(0, 16),
)
def test_columns_always_hold_the_cursor_and_fit(
    count: int, cursor: int, room: int, first: int, gap: int, widest: int
) -> None:
    cursor = min(cursor, count - 1)
    columns, cell = pick_columns(
        count, cursor, room, widths=(6, 4, 2, 1), gap=gap, first=first, widest=widest
    )
    assert cursor in columns
    assert len(columns) * (cell + gap) <= room
    assert columns.stop <= count


def test_a_click_finds_its_cell() -> None:
    window = Window(rows=(29, 20, 0), columns=range(2, 5), total=9, cell=4, gap=1, label=6)
    assert window.hit(6, 0) == (29, 2)
    assert window.hit(20, 2) == (0, 4)
    assert window.hit(21, 2) is None
    assert window.hit(5, 0) is None
    assert window.hit(6, 3) is None
    assert window.width == 21


def test_tokens_in_cells_with_the_cursor_marked() -> None:
    window = Window(rows=(1, 0), columns=range(3), total=3, cell=6, gap=1, label=6)
    names = ["Ign", "·previous", "·and"]
    assert plain(header(DARK, window, "layer", names, 2)) == "layer  Ign    ·previ ·and  "
    line = row(DARK, window, "12", [0, 15, ABSENT], ["·the", "日本語日本語", "…"], here=True, cursor=1)
    assert plain(line) == "   12  ·the  ▐日本…  …     "
    assert (
        plain(row(DARK, window, "0", [0, 1, 2], ["a", "b", "c"], here=False, cursor=1))
        == "    0  a      b      c     "
    )


def test_names_are_clipped_with_a_mark_where_there_is_room_for_one() -> None:
    wide = Window(rows=(0,), columns=range(1), total=1, cell=8, gap=1, label=1)
    assert plain(header(DARK, wide, "", ["·instructions"], 0)) == "  ·instru…"


def test_numbers_in_cells_without_gaps() -> None:
    values = [0.071, 148.02, 24827.0, nan]
    window = Window(rows=(0,), columns=range(4), total=4, cell=5, gap=0, label=4)
    texts = numbers(window, values, [0, 5, 15, ABSENT])
    assert (
        plain(row(DARK, window, "7", [0, 5, 15, ABSENT], texts, here=True, cursor=1))
        == "  7  .071▐ 148  25k  nan"
    )


def test_narrow_cells_hold_the_digit_of_their_level_and_ticks_above() -> None:
    window = Window(rows=(0,), columns=range(12), total=12, cell=1, gap=0, label=4)
    levels = [*range(5, 16), ABSENT]
    texts = numbers(window, [1.0] * 12, levels)
    line = row(DARK, window, "7", levels, texts, here=True, cursor=3)
    assert plain(line) == "  7 56789abcdef·"
    assert next(segment for segment in line if segment.text == "8").style.reverse  # type: ignore[union-attr]
    assert plain(header(DARK, window, "", ["x"] * 12, 3)) == "    0  ▾ 5    10"


def test_a_window_says_where_there_is_more() -> None:
    window = Window(rows=(0,), columns=range(2, 4), total=5, cell=4, gap=0, label=6)
    assert plain(header(DARK, window, "layer", list("abcde"), 3)) == "layer‹ c   d  ›"
    window = Window(rows=(0,), columns=range(2), total=2, cell=4, gap=0, label=6)
    assert plain(header(DARK, window, "layer", list("ab"), 0)) == "layer  a   b  "


def test_a_grid_is_these_rows() -> None:
    values = np.array([[1.0, 2.0, nan], [4.0, 8.0, 16.0]])
    window = Window(rows=(1, 0), columns=range(3), total=3, cell=6, gap=0, label=6)
    scale, labels, names = Scale.of(values), ["0", "9"], ["a", "b", "c"]
    drawn = [plain(line) for line in grid(DARK, window, "layer", labels, names, values, scale, (1, 0))]
    assert drawn == ["layer  a     b     c    ", "    9 ▐4.000 8.000 16.00", "    0  1.000 2.000   nan"]
    assert plain(legend(DARK, scale, 6, "L2")) == "      0123456789abcdef  L2: 1.000 … 16.00"
    assert plain(legend(DARK, Scale(2, 2), 0, "nats")) == "0123456789abcdef  nats: all 2.000"


def test_runs_of_one_level_are_one_run() -> None:
    window = Window(rows=(0,), columns=range(40), total=40, cell=2, gap=0, label=4)
    line = row(DARK, window, "7", [3] * 20 + [9] * 20, ["3"] * 20 + ["9"] * 20, here=False, cursor=0)
    assert len(list(Strip(line).simplify())) == 3


@pytest.mark.parametrize("palette", [DARK, LIGHT, ANSI])
def test_every_palette_draws_the_same_characters(palette: object) -> None:
    window = Window(rows=(0,), columns=range(2), total=2, cell=4, gap=0, label=4)
    assert plain(row(palette, window, "7", [0, 15], ["1", "2"], here=True, cursor=0)) == "  7 ▐1   2  "  # type: ignore[arg-type]
