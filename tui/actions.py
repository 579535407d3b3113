"""Everything the workbench can do: one table behind the keys, the footer, `?`, the palette and `:`.

An action is a method `action_<name>` of the app. Those that take words (`goto 12`) are commands only.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from tensorshark.traces.errors import UsageError


@dataclass(frozen=True)
class Action:
    """One thing that can be done."""

    name: str
    """`action_<name>` does it."""
    keys: str
    """Textual's key names, separated by commas; empty for what has no key."""
    shown: str
    """The keys as a person reads them."""
    title: str
    """A few words for the palette."""
    help: str
    """One sentence for `?`."""
    group: str
    """Heading it stands under in `?`."""
    footer: str = ""
    """Word in the footer; a neighbour with the same word shares it (`[ ] layer`)."""
    rank: int = 0
    """Where the footer gets narrow the highest rank goes first."""


@dataclass(frozen=True)
class PaneKind:
    """A pane that can be brought up, known without importing it."""

    name: str
    """Its word on the tab and after `:pane`."""
    key: str
    """Its digit."""
    module: str
    """Module and class, imported when it is first shown; empty for the details tree."""
    help: str
    """One sentence for `?`."""


PANES = (
    PaneKind("Details", "0", "", "what was captured of this trace, as a tree"),
    PaneKind("Norms", "1", "norms:Norms", "L2 norm of every site by layer and token"),
    PaneKind("Entropy", "2", "entropy:Entropy", "attention entropy by layer and head, and the sink"),
    PaneKind("Lens", "3", "lens:Lens", "what each layer would say next"),
    PaneKind("Diff", "4", "diff:Diff", "this trace against the one marked with d"),
    PaneKind("Values", "5", "values:Values", "the numbers at the cursor"),
)

_LIST, _CURSOR, _PANES, _REST = "List", "Cursor", "Panes", "Else"

ACTIONS = (
    Action("filter", "slash", "/", "Filter", "type a display filter; enter applies it", _LIST, "filter"),
    Action("clear_filter", "X", "X", "Clear the filter", "display every trace again", _LIST),
    Action("give_up", "escape", "Esc", "Stop filtering", "stop a long filter; what it found stays", _LIST),
    Action("next_trace", "j,down", "j ↓", "Next trace", "the next row", _LIST),
    Action("previous_trace", "k,up", "k ↑", "Previous trace", "the row above", _LIST),
    Action("page_down", "pagedown,ctrl+f", "PgDn", "Page down", "a page down", _LIST),
    Action("page_up", "pageup,ctrl+b", "PgUp", "Page up", "a page up", _LIST),
    Action("first", "home,g", "g Home", "First trace", "the first row", _LIST),
    Action("last", "end,G", "G End", "Last trace", "the last row", _LIST),
    Action("mark", "m", "m", "Mark", "mark this trace with an amber dot, or unmark it", _LIST, "mark"),
    Action("next_mark", "n", "n", "Next mark", "go to the next marked trace", _LIST),
    Action("partner", "d", "d", "Diff partner", "compare other traces with this one", _LIST, "diff", 1),
    Action("order", "o", "o", "Order by next column", "order the list by the next column", _LIST, "order", 3),
    Action("turn", "O", "O", "Turn the order", "largest first, or smallest", _LIST),
    Action("tail", "f", "f", "Follow the newest", "stay on the newest trace", _LIST, "tail", 5),
    Action("layer_down", "left_square_bracket", "[", "Layer down", "the layer below", _CURSOR, "layer"),
    Action("layer_up", "right_square_bracket", "]", "Layer up", "the layer above", _CURSOR, "layer"),
    Action("token_left", "h", "h", "Token left", "one token to the left", _CURSOR, "token"),
    Action("token_right", "l", "l", "Token right", "one token to the right", _CURSOR, "token"),
    Action("site", "s", "s", "Next site", "the next captured site", _CURSOR, "site", 2),
    Action("head", "H", "H", "Next head", "the next attention head", _CURSOR, "head", 4),
    Action("next_pane", "p", "p", "Next pane", "bring up the next pane", _PANES, "pane", 2),
    Action("view", "v", "v", "Next view", "the pane's numbers in another way", _PANES, "view", 3),
    Action("where", "w", "w", "Where they part", "in Diff: go to where the two traces first differ", _PANES),
    Action("zoom", "backslash", "\\", "Zoom", "list and panes, panes only, list only", _PANES, "zoom", 4),
    Action("focus_next", "tab", "tab", "Next part", "move the focus: list, details, pane", _PANES),
    Action("command", "colon", ":", "Command line", "type a command, e.g. :goto 12", _REST, "command", 1),
    Action("help", "question_mark,f1", "?", "Help", "keys, commands and the filter language", _REST, "help"),
    Action("palette", "ctrl+p", "ctrl-p", "Palette", "find an action by its name", _REST),
    Action("theme", "T", "T", "Next theme", "dark, light, or the terminal's colours", _REST),
    Action("quit", "q,ctrl+q", "q", "Quit", "leave; nothing in the capture was changed", _REST, "quit", 1),
)
"""In the order of the footer and of `?`."""


@dataclass(frozen=True)
class Command:
    """One word after `:`, with what may follow it."""

    name: str
    usage: str
    """As typed, without the colon."""
    help: str
    """One sentence for `?`."""


COMMANDS = (
    Command("goto", "goto N | goto ID", "put the cursor on trace N of the capture"),
    Command("filter", "filter EXPRESSION", "apply a display filter; without one, clear it"),
    Command("sort", "sort COLUMN [desc]", "order the list by a column or any field expression"),
    Command("pane", "pane NAME", "bring up a pane"),
    Command("layer", "layer N", "go to a layer"),
    Command("token", "token N", "go to a token; negative numbers count from the end"),
    Command("site", "site NAME", "go to a site"),
    Command("head", "head N", "go to an attention head"),
    Command("theme", "theme dark|light|ansi", "change the colours"),
    Command("mark", "mark", "mark this trace, or unmark it"),
    Command("help", "help", "keys, commands and the filter language"),
    Command("quit", "quit", "leave; nothing in the capture was changed"),
)


def command(line: str) -> tuple[Command, str]:
    """A typed line -> the command and the rest of the line. Raises UsageError naming what is near."""
    word, _, rest = line.strip().removeprefix(":").partition(" ")
    names = [command.name for command in COMMANDS]
    hits = [name for name in names if name == word] or [name for name in names if name.startswith(word)]
    if word and len(hits) == 1:
        return COMMANDS[names.index(hits[0])], rest.strip()
    if len(hits) > 1 and word:
        raise UsageError(f":{word} could be {' or '.join(hits)}")
    near = difflib.get_close_matches(word, names, 1)
    raise UsageError(f"no command :{word}" + (f"; did you mean :{near[0]}?" if near else "; ? lists them"))


def complete(line: str) -> list[str]:
    """Command names that the typed line could become."""
    word = line.strip().removeprefix(":")
    return [] if " " in word else [command.name for command in COMMANDS if command.name.startswith(word)]
