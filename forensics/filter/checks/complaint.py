"""How the checks say what is wrong, and where."""

from __future__ import annotations

from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.syntax import tree
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

LITERALS = (tree.Number, tree.Text, tree.Date, tree.Truth)
"""Constants as they are written."""

A_TYPE: dict[Type | str, str] = {
    "text": "text",
    "number": "a number",
    "truth": "true or false",
    "time": "a time",
    "severity": "a severity",
    "tensor": "a tensor",
}
"""A type in a sentence."""


class Complaint:
    """About one filter's text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.old: tuple[tree.Place, str] | None = None
        """The first thing that works and is not advised, and why."""
        self.beyond: list[tuple[tree.Place, str]] = []
        """What cannot be answered from one trace alone, in words."""

    def error(self, reason: str, place: tree.Place, incomplete: bool = False) -> FilterError:
        """What to raise about this place."""
        return FilterError(reason, self.text, place.start, max(1, place.stop - place.start), incomplete)

    def later(self, what: str, place: tree.Place) -> FilterError:
        """What to raise about a thing that the language has a place for and this version does not answer."""
        return self.error(f"not available yet: {what}", place)

    def advise(self, reason: str, place: tree.Place) -> None:
        """It works; the first advice is kept."""
        self.old = self.old or (place, reason)

    def needs_index(self, what: str, place: tree.Place) -> None:
        """It takes more than the trace itself to answer this: `number`, marks, ranks."""
        self.beyond.append((place, what))

    def said(self, node: tree.Node) -> str:
        """The node as it was typed."""
        return safe_text(self.text[node.place.start : node.place.stop], 40)

    def ends(self, place: tree.Place) -> bool:
        """True when the text ends right there, so that more of the same word may be typed."""
        return place.stop == len(self.text)
