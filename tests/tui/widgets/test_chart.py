"""Line charts as literal rows, their axes, and clicks."""

import threading
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment

from tensorshark.tui.palette import DARK, LIGHT
from tensorshark.tui.widgets.chart import LEFT, Axis, Series, draw, plot

RISING = Series("resid_post", (0.0, 1.0, 2.0, 3.0, 4.0), "accent")
FLAT = Series("mlp_out", (1.0, 1.0, 1.0, 1.0, 1.0), "violet")


def rows(lines: list[list[Segment]]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def test_a_chart_is_these_rows() -> None:
    chart = plot([FLAT, RISING], range(5), 40, 6)
    assert rows(draw(chart, DARK, 3, "layer")) == [
        "    4 ┤                        │   ⣀⡠⠤⠒⠊",
        "      │                    ⢀⣀⡠⠤●⠒⠊⠉     ",
        "    2 ┤             ⢀⣀⠤⠔⠒⠊⠉⠁   │        ",
        "      │⠤⠤⠤⠤⠤⠤⢀⣀⠤⠤⠒⠊⠉⠁⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤●⠤⠤⠤⠤⠤⠤⠤⠤",
        "    0 ┤⣀⣀⠤⠔⠒⠉⠁                 │        ",
        " layer 0                       3       4",
    ]


def test_a_chart_larger_than_the_terminal_fills_its_room() -> None:
    drawn = rows(draw(plot([RISING], range(5), 300, 90), DARK, 9, ""))
    assert drawn[0].rstrip().endswith("⠊ resid_post")
    assert drawn[88].startswith("    0 ┤⣀") or drawn[88].startswith("    0 ┤⡠")


def test_a_wide_chart_names_its_curves_at_their_ends() -> None:
    drawn = rows(draw(plot([FLAT, RISING], range(5), 70, 4), DARK, 0, "layer"))
    assert drawn[0].endswith(" resid_post")
    assert drawn[2].endswith(" mlp_out")
    assert max(map(len, drawn)) <= 70


def test_names_that_meet_move_apart() -> None:
    curves = [Series(name, (1.0, 1.0), "blue") for name in ("a", "b", "c")]
    drawn = rows(draw(plot(curves, range(2), 70, 5), DARK, 0, ""))
    assert [line[-1] for line in drawn[:3]] == ["a", "b", "c"]


def test_the_selected_curve_is_bold_and_hides_others_at_the_cursor() -> None:
    same = Series("resid_pre", RISING.y, "blue")
    lines = draw(plot([RISING, same], range(5), 40, 6), DARK, 3, "", bold="resid_post")
    points = [segment for line in lines for segment in line if segment.text == "●"]
    assert [point.style for point in points] == [DARK.style("accent", bold=True)]


def test_gaps_are_not_bridged() -> None:
    gap = Series("x", (1.0, 1.0, nan, inf, 1.0, 1.0), "blue")
    line = rows(draw(plot([gap], range(6), 37, 2), DARK, 9, ""))[0]
    canvas = line[LEFT:]
    assert canvas[0] != " "
    assert canvas[-1] != " "
    assert "          " in canvas


def test_a_large_first_value_makes_the_axis_logarithmic() -> None:
    axis = Axis.of([Series("x", (24827.0, 3.0, 30.0, 300.0), "blue")])
    assert (axis.lo, axis.hi, axis.log) == (3.0, 24827.0, True)
    assert axis.at(3.0) == 0
    assert axis.at(24827.0) == pytest.approx(1)
    assert axis.at(0.0) == 0
    assert set(axis.ticks(9).values()) >= {"10", "100", "1000", "10k"}


def test_axes_of_odd_data() -> None:
    assert Axis.of([]) == Axis(0.0, 1.0)
    assert Axis.of([Series("x", (nan,), "blue")]) == Axis(0.0, 1.0)
    assert Axis.of([Series("x", (0.0, 0.0), "blue")]) == Axis(0.0, 1.0)
    assert Axis.of([Series("x", (-3.0, 500.0), "blue")]) == Axis(-3.0, 500.0)


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=12),
    st.integers(1, 100),
    st.integers(1, 20),
    st.integers(-1, 12),
)
def test_any_numbers_draw_within_the_room(values: list[float], width: int, height: int, cursor: int) -> None:
    chart = plot([Series("resid_post", tuple(values), "blue")], range(len(values)), width, height)
    drawn = rows(draw(chart, DARK, cursor, "layer"))
    assert len(drawn) == max(1, height - 1) + 1
    assert all(len(line) <= max(width, LEFT + 2) for line in drawn)


def test_a_click_finds_the_nearest_x() -> None:
    chart = plot([RISING], range(5), 40, 6)
    assert [chart.hit(LEFT + chart.column(x)) for x in range(5)] == [0, 1, 2, 3, 4]
    assert chart.hit(LEFT + 3) == 0
    assert chart.hit(LEFT - 1) is None
    assert chart.hit(LEFT + chart.width) is None


def test_one_layer_is_a_chart_too() -> None:
    drawn = rows(draw(plot([Series("x", (5.0,), "blue")], [7], 40, 4), DARK, 7, "layer"))
    assert "●" in drawn[0]
    assert drawn[-1].startswith(" layer 7")


def test_a_new_theme_redraws_no_curve() -> None:
    chart = plot([RISING], range(5), 40, 6)
    assert rows(draw(chart, DARK, 2, "")) == rows(draw(chart, LIGHT, 2, ""))


def test_threads_do_not_mix_their_figures() -> None:
    curves = [Series("x", tuple(float(i * k % 7) for i in range(20)), "blue") for k in range(1, 7)]
    alone = [plot([curve], range(20), 50, 8) for curve in curves]
    found: dict[int, object] = {}

    def work(index: int) -> None:
        for _ in range(10):
            found[index] = plot([curves[index]], range(20), 50, 8)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(curves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(curves))] == alone
