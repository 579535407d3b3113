"""`?` lists everything there is, and its filter examples are filters."""

from __future__ import annotations

import pytest

from tensorshark.forensics.filter import parse
from tensorshark.tui.actions import ACTIONS, COMMANDS, PANES
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.widgets.help import FILTERS, help_text


def test_everything_is_listed() -> None:
    """Every action, command and pane, with its key and what it does."""
    text = help_text(PALETTES["light"]).plain
    for action in ACTIONS:
        assert action.shown in text and action.help in text
    for command in COMMANDS:
        assert f":{command.usage}" in text
    for pane in PANES:
        assert f"{pane.name}: {pane.help}" in text


@pytest.mark.parametrize("text", [text for text, _ in FILTERS])
def test_examples_parse(text: str) -> None:
    """A reader may type what is printed."""
    assert str(parse(text))
