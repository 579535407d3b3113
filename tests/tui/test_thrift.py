"""Fewer bytes, the same picture: a terminal emulator must not see the difference."""

from __future__ import annotations

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tensorshark.tui.thrift import thrifty

colors = st.one_of(
    st.none(),
    st.sampled_from([Color.parse("red"), Color.parse("bright_blue"), Color.parse("default")]),
    st.tuples(*[st.integers(0, 255)] * 3).map(lambda rgb: Color.from_rgb(*rgb)),
    st.integers(16, 255).map(Color.from_ansi),
)
flags = st.sampled_from([None, True])
styles = st.builds(Style, bold=flags, dim=flags, reverse=flags, underline=flags, italic=flags)
runs = st.tuples(st.text("ab ─▁", min_size=1, max_size=6), styles, colors, colors)


def frame(lines: list[list[tuple[str, Style, Color | None, Color | None]]]) -> str:
    """Lines as Textual's compositor writes them."""
    console = Console(color_system="truecolor", force_terminal=True)
    out = []
    for y, line in enumerate(lines, 1):
        segments = [
            Segment(text, style + Style.from_color(color, ground)) for text, style, color, ground in line
        ]
        out.append(f"\x1b[{y};1H{Strip(segments).render(console)}")
    return "\n".join(out)


def screen(data: str) -> list[list[tuple[object, ...]]]:
    """Every cell of a terminal after `data`, then after a letter in whatever style is left."""
    terminal = pyte.Screen(40, 8)
    stream = pyte.Stream(terminal)
    stream.feed(data + "z")
    return [[tuple(terminal.buffer[y][x]) for x in range(40)] for y in range(8)]


@given(st.lists(st.lists(runs, max_size=5), min_size=1, max_size=6))
def test_the_picture_is_the_same(lines: list[list[tuple[str, Style, Color | None, Color | None]]]) -> None:
    """Any frame of styled runs looks the same and is never longer."""
    before = frame(lines)
    after = thrifty(before)
    assert screen(after) == screen(before)
    assert len(after) <= len(before)


def test_only_what_differs_is_said() -> None:
    """Two runs on one ground: the second says its colour only, and the end resets once."""
    one = "\x1b[38;2;1;2;3;48;2;9;9;9mone\x1b[0m\x1b[38;2;4;5;6;48;2;9;9;9mtwo\x1b[0m"
    assert thrifty(one) == "\x1b[38;2;1;2;3;48;2;9;9;9mone\x1b[38;2;4;5;6mtwo\x1b[m"


def test_what_is_not_understood_is_left_alone() -> None:
    """A style code from the future: the frame passes as it was."""
    assert thrifty("\x1b[58;5;3mx\x1b[0m") == "\x1b[58;5;3mx\x1b[0m"
    assert thrifty("no styles at all") == "no styles at all"
