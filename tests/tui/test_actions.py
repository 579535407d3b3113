"""One table behind keys, footer, help, palette and commands: each can be done, no key does two things."""

from __future__ import annotations

from collections import Counter

import pytest

from tensorshark.traces.errors import UsageError
from tensorshark.tui.actions import ACTIONS, COMMANDS, PANES, command, complete
from tensorshark.tui.app import Workbench
from tensorshark.tui.commands import RUNNERS


def test_every_action_can_be_done() -> None:
    """Each entry is a method of the workbench, and each key is bound to it."""
    bound = {(key, binding.action) for binding in Workbench.BINDINGS for key in binding.key.split(",")}
    for action in ACTIONS:
        assert callable(getattr(Workbench, f"action_{action.name}")), action.name
        for key in filter(None, action.keys.split(",")):
            assert (key, action.name) in bound


def test_no_key_does_two_things() -> None:
    """Neither two actions nor an action and a pane share a key."""
    keys = Counter(key for action in ACTIONS for key in action.keys.split(",") if key)
    keys.update(pane.key for pane in PANES)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_command_runs_something() -> None:
    """The table of commands and the functions behind them have the same names."""
    assert list(RUNNERS) == [entry.name for entry in COMMANDS]


def test_commands_by_name_and_by_beginning() -> None:
    """A whole name, an unambiguous beginning, and what is said otherwise."""
    assert command(":goto 12") == (COMMANDS[0], "12")
    assert command("so tok desc")[0].name == "sort"
    with pytest.raises(UsageError, match="did you mean :filter"):
        command("filtre x")
    with pytest.raises(UsageError, match=":h could be head or help"):
        command("h")
    assert complete("he") == ["head", "help"]
