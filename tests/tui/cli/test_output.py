"""Tables, widths and progress as commands print them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

COLUMNS = [Column("No", 4, right=True), Column("label", 6), Column("prompt")]


def test_a_table_as_wide_as_it_likes() -> None:
    rows = [["1", "fact", "The capital"], ["12345", "a long label", "x" * 200]]
    assert list(output.table(COLUMNS, rows)) == [
        "  No  label   prompt",
        "   1  fact    The capital",
        "12345  a long label  " + "x" * 200,
    ]


def test_a_table_that_must_fit() -> None:
    rows = [["1", "a long label", "x" * 200], ["2", "漢字漢字", "漢字" * 30]]
    lines = list(output.table(COLUMNS, rows, limit=30))
    assert lines[1:] == ["   1  a lon…  xxxxxxxxxxxxxxx…", "   2  漢字…   漢字漢字漢字漢…"]
    assert all(output.cells(line) <= 30 for line in lines)


def test_columns_without_a_width_are_as_wide_as_their_widest_cell() -> None:
    assert list(output.table([Column("a"), Column("b")], [["xyz", "1"], ["漢", "2"]])) == [
        "a    b",
        "xyz  1",
        "漢   2",
    ]


def test_rows_are_taken_one_at_a_time() -> None:
    taken = []

    def rows():  # type: ignore[no-untyped-def]
        for number in range(1_000_000):
            taken.append(number)
            yield [str(number), "", ""]

    lines = output.table(COLUMNS, rows())
    for _ in range(3):
        next(lines)
    assert taken == [0, 1]


@given(st.text(), st.integers(1, 20))
def test_clipped_text_fits_and_says_so(text: str, room: int) -> None:
    shown = output.clip(text, room)
    assert output.cells(shown) <= room
    assert shown == text or shown.endswith("…")


def test_the_first_line_is_flushed_at_once() -> None:
    class Pipe(io.StringIO):
        flushed: list[str] = []

        def flush(self) -> None:
            self.flushed.append(self.getvalue())

    pipe = Pipe()
    assert output.write(map(str, range(2500)), pipe) == 2500
    assert pipe.flushed[0] == "0\n"
    assert pipe.getvalue().splitlines() == list(map(str, range(2500)))


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (4.2e12, "4.2 TB")]
)
def test_sizes(count: float, shown: str) -> None:
    assert output.size(count) == shown


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_progress_is_drawn_on_a_terminal_only_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 1.0, 1.01, 2.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    screen = Screen()
    monkeypatch.setattr(output.sys, "stderr", screen)
    with output.progress("reading") as show:
        show(1, 9)  # too early
        show(2, 9)
        show(3, 9)  # too soon after
        show(4, 1234)
    assert screen.getvalue() == "\r\x1b[Kreading 2/9\r\x1b[Kreading 4/1,234\r\x1b[K"


def test_progress_says_nothing_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(output.sys, "stderr", file)
    monkeypatch.setattr(output.time, "monotonic", iter(range(9)).__next__)
    with output.progress("reading") as show:
        show(1, 2)
        show(2, 2)
    assert file.getvalue() == ""


def test_headings_are_bold_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.emphasised("x", Screen()) == "\x1b[1mx\x1b[0m"
    assert output.emphasised("x", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.emphasised("x", Screen()) == "x"
