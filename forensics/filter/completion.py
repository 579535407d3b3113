"""What may come next while a filter is typed: fields, values, operators, functions, spans, macros, history.

The parser itself says which kinds of word fit at the caret; `offers` says which words of that kind there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from tensorshark.forensics.filter.caret import (
    SELECTOR,
    Caret,
    Left,
    ending,
    left,
    open_call,
    read,
    variables,
    wanted,
)
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import Type, find
from tensorshark.forensics.filter.offers import Kind, Offer, Offers
from tensorshark.forensics.filter.syntax.macros import MAX_TEXT

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

MOST = 100
"""Completions at a time."""
MOST_HISTORY = 8
"""Of them, filters typed before."""
FEW = 5
"""Completions below which parts of names are looked for too, and then single letters of them."""


class Completion(msgspec.Struct, frozen=True):
    """One way on."""

    text: str
    """What to put in."""
    start: int
    """First character that it replaces."""
    stop: int
    """One past the last character that it replaces."""
    kind: Kind
    detail: str
    """A few words about it; safe to show."""


def complete(
    text: str,
    position: int,
    index: Index | None = None,
    context: Context | None = None,
    history: Sequence[str] = (),
) -> list[Completion]:
    """Ways on at the caret, likely ones first; with an index, labels, values and spans of that capture.

    `context` has the macros, the case and the selected trace; `history` are filters applied before, the
    most recent first.
    """
    if len(text) > MAX_TEXT:
        return []
    before = text[: max(0, position)]
    caret = read(before)
    start, stop = len(caret.ahead), len(before)
    context = context or Context()
    offers = list(_offers(caret, Offers(index, context), context))
    fitting = [
        Completion(offer.text, start, stop, offer.kind, offer.detail) for offer in _fitting(caret, offers)
    ]
    said = [] if position < len(text) else list(_said_before(before, history))
    return [*fitting, *said][:MOST] if before.strip() else [*said, *fitting][:MOST]


def _fitting(caret: Caret, offers: list[Offer]) -> list[Offer]:
    """Those that go on as typed; where few do, also those with it in them; where none, with its letters."""
    typed = caret.typed
    found = [offer for offer in offers if offer.text.startswith(typed) and offer.text != typed]
    if len(typed) < 2 or caret.shape not in ("word", "reference"):
        return found
    named = [offer for offer in offers if offer.kind in ("field", "function")]
    low = typed.lower().lstrip("$")
    if len(found) < FEW:
        found += [each for each in named if low in each.text[1:].lower() and each not in found]
    if not found:
        letters = re.compile(".*?".join(map(re.escape, low)), re.DOTALL)
        spread = [
            (match.end() - match.start(), each) for each in named if (match := letters.search(each.text))
        ]
        found = [each for _, each in sorted(spread, key=lambda pair: pair[0])[:FEW]]
    return found


def _said_before(before: str, history: Sequence[str]) -> Iterator[Completion]:
    """Filters of the history that begin with the line, or that have it in them."""
    line = before.strip()
    begin = [text for text in dict.fromkeys(history) if text.startswith(before) and text.strip() != line]
    within = [text for text in dict.fromkeys(history) if len(line) > 1 and line in text and text not in begin]
    for text in [*begin, *(each for each in within if each.strip() != line)][:MOST_HISTORY]:
        yield Completion(text, 0, len(before), "history", "typed before")


def _offers(caret: Caret, offers: Offers, context: Context) -> Iterable[Offer]:
    """Everything that may stand after `ahead`."""
    from tensorshark.forensics.filter.syntax.parser import expected

    if caret.shape == "macro":
        return offers.macros()
    ahead = caret.ahead
    compared = left(ahead, context.macros)
    type = wanted(ahead, compared)
    if caret.shape == "reference":
        return (*offers.references(type), *offers.macros())
    if selector := ending(SELECTOR, ahead):
        return _selections(selector, ahead, offers)
    return _words(caret, expected(ahead), offers, compared, type)


def _words(
    caret: Caret, accepts: set[str], offers: Offers, compared: Left, wanted: Type | None
) -> Iterator[Offer]:
    """What the grammar has room for: an operand, an operator, a word between comparisons."""
    ahead = caret.ahead
    subject, type, operator = compared
    apart = ahead[-1:].isspace() or ahead.endswith(")")
    if "STRING" in accepts and operator:
        if subject is not None and type == subject.type:
            yield from offers.values(subject, operator, caret.typed)
        if type == "number":
            yield from offers.units(caret.typed, "{" in operator)
        several = subject is not None and subject.many
        if type in ("number", "text") and "{" not in operator and not several:
            yield from offers.operands(type)
    elif "STRING" in accepts:
        call, later = open_call(ahead)
        if later:
            yield from offers.named_arguments(call)
        yield from offers.operands(wanted)
        if wanted is None:
            yield from offers.quantifiers()
        if "NOT" in accepts:
            yield from offers.predicates()
    if "CONTAINS" in accepts and type and not operator and apart:
        yield from offers.operators(type)
    if "AND" in accepts and apart:
        yield from offers.connectives()
    if "_LBRACE" in accepts:
        yield Offer("{", "operator", "a set: {1, 3..5}")


def _selections(selector: re.Match[str], ahead: str, offers: Offers) -> Iterator[Offer]:
    """What may stand behind `#`, `:` and `[` of a field."""
    info = find(selector["field"])
    axis = {"#": "layer", ":": "head", "[": "pos"}[ahead[-1]]
    bracket = ahead.endswith(("#[", ":["))
    if info is None or axis not in info.axes or bracket:
        return
    close = "]" if axis == "pos" else ""
    for name in variables(ahead):
        yield Offer(
            f"{name}{close}", "variable", f"every {axis if axis != 'pos' else 'token'}, the same in all of it"
        )
    if axis == "layer":
        yield Offer("-1", "value", "the last layer")
    elif axis == "pos":
        yield Offer("-1]", "value", "the last token")
        yield from offers.spans()
