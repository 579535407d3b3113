"""Below the filter line: the meaning, or a caret under the trouble, wherever that is."""

from __future__ import annotations

import pytest
from rich.text import Text
from textual.app import App, ComposeResult

from tensorshark.forensics.filter import Check
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.widgets.filter_bar import LABEL, STATES, Completions, FilterInput, FilterWords


class Harness(App[None]):
    """The line and its words."""

    def __init__(self) -> None:
        super().__init__()
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = "dark"
        self.words = FilterWords()
        self.completions = Completions()
        self.filter = FilterInput(self.completions)

    def compose(self) -> ComposeResult:
        """As in the workbench."""
        yield self.filter
        yield self.words
        yield self.completions


async def said(check: Check, column: int, length: int, width: int = 60) -> str:
    """The words below the line for a check."""
    app = Harness()
    async with app.run_test(size=(width, 8)):
        app.words.say(check, column, length)
        return app.words.to_text()


async def test_the_meaning_stands_below_the_text() -> None:
    """Set in by the label, so that it begins where the filter begins."""
    text = await said(Check("ok", words="traces longer than 3 tokens"), 0, 0)
    assert text == " " * (1 + len(LABEL)) + "traces longer than 3 tokens"


async def test_a_caret_as_long_as_the_trouble() -> None:
    """The reason follows the caret."""
    text = await said(Check("bad", reason="no field foo"), 4, 3)
    assert text == " " * (1 + len(LABEL) + 4) + "^^^ no field foo"


async def test_a_reason_moves_to_the_left_where_there_is_no_room() -> None:
    """Far to the right, the reason stands before its caret."""
    text = await said(Check("bad", reason="no field foo"), 45, 3)
    assert text == " " * (1 + len(LABEL) + 45 - 13) + "no field foo ^^^"


async def test_a_caret_beyond_the_edge_stays_on_the_screen() -> None:
    """A long filter scrolls; the caret never leaves the line."""
    text = await said(Check("incomplete", reason="go on"), 400, 3)
    assert text.rstrip().endswith("^") and len(text) <= 60


async def test_hostile_words_are_written_out() -> None:
    """What a filter quotes from a person's clipboard is text."""
    assert r"\x1b[2J" in await said(Check("ok", words="prompt contains \x1b[2J"), 0, 0)


@pytest.mark.parametrize("state", ["empty", "ok", "incomplete", "bad", "slow", "old"])
def test_every_state_has_a_colour(state: str) -> None:
    """Beside its word."""
    assert hasattr(PALETTES["dark"], STATES[state])


async def test_words_of_a_filter_are_coloured_by_kind() -> None:
    """Fields, operators in words, texts and places look different; nothing of the text is lost."""
    app = Harness()
    async with app.run_test(size=(60, 8)):
        text = Text('label.a == "x" and resid_post.norm#12[-1] > 9')
        highlighter = app.filter.highlighter
        assert highlighter is not None
        styled = highlighter(text)
    assert styled.plain == text.plain
    colors = {styled.plain[span.start : span.stop if hasattr(span, "stop") else span.end]: str(span.style)
              for span in styled.spans}  # fmt: skip
    palette = PALETTES["dark"]
    assert palette.accent in colors["label.a"] and palette.amber in colors['"x"']
    assert palette.violet in colors["and"] and palette.amber in colors["#12"]
