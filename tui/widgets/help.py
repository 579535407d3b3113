"""`?`: every key, command and pane from the tables they are made of, and the filter language by example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tensorshark.tui.actions import ACTIONS, COMMANDS, PANES
from tensorshark.tui.palette import Palette, palette_of

FILTERS = (
    ('label.category == "injection"', "traces labelled so"),
    ("seq_len in {5..40}", "five to forty tokens"),
    ('prompt contains "password"', "text in the prompt"),
    ("resid_post.norm#12[-1] > 120", "layer 12, last token"),
    ("any(resid_post.norm#[8-12]) > 900", "any token of layers 8 to 12"),
    ("attn.entropy#3:1[-1] < 0.5", "head 1 of layer 3"),
    ("not has(label.reviewed)", "a label that is not there"),
)
"""Examples that parse (a test asks the parser), with what they mean."""


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(heading, [(what to press or type, what it does)]) in the order of the screen."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for action in ACTIONS:
        groups.setdefault(action.group, []).append((action.shown, action.help))
    yield from groups.items()
    yield "Panes by number", [(pane.key, f"{pane.name}: {pane.help}") for pane in PANES]
    yield "Commands", [(f":{command.usage}", command.help) for command in COMMANDS]
    yield "Filters", list(FILTERS)


def help_text(palette: Palette) -> Text:
    """The whole help as lines."""
    text = Text(end="")
    for heading, lines in sections():
        text.append(f"{heading}\n", palette.style("accent", bold=True))
        wide = max(len(keys) for keys, _ in lines)
        for keys, words in lines:
            text.append(f"  {keys.ljust(wide)}  ", palette.style("text", bold=True))
            text.append(f"{words}\n", palette.style("dim"))
        text.append("\n")
    text.append("Times are UTC. Marks last until you quit. esc closes this.", palette.style("dim"))
    return text


class HelpScreen(ModalScreen[None]):
    """The help over the workbench."""

    AUTO_FOCUS = "VerticalScroll"

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,q,question_mark,f1", "dismiss", show=False),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(id="help"):
            yield Static(help_text(palette_of(self.app.theme)))

    def action_scroll(self, lines: int) -> None:
        """Scroll by a number of lines."""
        self.query_one("#help", VerticalScroll).scroll_relative(y=lines, animate=False)
