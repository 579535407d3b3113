"""What may come next while a filter is typed: fields, values, operators, functions, spans, macros, history.

The parser itself says which kinds of word fit at the caret; `offers` says which words of that kind there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tensorshark.forensics.filter.answers.context import Context
from tensorshark.forensics.filter.fields import FieldInfo, Type, find
from tensorshark.forensics.filter.functions import FUNCTIONS
from tensorshark.forensics.filter.offers import Kind, Offer, Offers

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

MOST = 100
"""Completions at a time."""
MOST_HISTORY = 8
"""Of them, filters typed before."""
FEW = 5
"""Completions below which parts of names are looked for too, and then single letters of them."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*$")
_LABEL = re.compile(r"(label\.(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?))$", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.#:\[$-])-?[0-9]+(?:\.[0-9]+)?[A-Za-z]*$")
_MACRO = re.compile(r"\$\{[A-Za-z0-9_]*$")
_REFERENCE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_.]*)?$")
_QUOTED = re.compile(r"(?:\b[rt])?[\"']")
_SUBJECT = re.compile(
    r"(?:(?P<function>[a-z]+)\(\s*)?"
    r"(?P<field>label\.\"(?:\\.|[^\"\\])*\"|[A-Za-z_][A-Za-z0-9_.]*)"
    r"(?:[#:](?:-?[0-9]+|[a-z][A-Za-z0-9_]*|\[[^\]]*\]))*(?:\[[^\]]*\])?"  # its selections
    r"\s*\)?\s*"
    r"(?P<operator>===?|!==?|<=?|>=?|~|contains|matches|eq|ne|lt|le|gt|ge|(?:not\s+)?in\s*\{[^}]*)?\s*$"
)
_BINDER = re.compile(r"\b(?:any|all)\s*\(\s*([a-z]\w*(?:\s*,\s*[a-z]\w*)*)\s*:(?!\s*[-0-9\[])")
_SELECTOR = re.compile(r"(?P<field>[A-Za-z_][A-Za-z0-9_.]*)(?:[#:](?:-?[0-9]+|[a-z]\w*|\[[^\]]*\]))*[#:\[]$")
_CALL = re.compile(r"\b([a-z_]+)\($")


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


class _Caret(NamedTuple):
    """What stands before the caret."""

    ahead: str
    """Before the word that is being typed."""
    typed: str
    """That word."""
    shape: str
    """What it looks like: `word`, `label`, `number`, `macro`, `reference`, `quote` or nothing."""


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
    before = text[: max(0, position)]
    caret = _caret(before)
    start, stop = len(caret.ahead), len(before)
    offers = list(_offers(caret, Offers(index, context or Context())))
    fitting = [
        Completion(offer.text, start, stop, offer.kind, offer.detail) for offer in _fitting(caret, offers)
    ]
    said = [] if position < len(text) else list(_said_before(before, history))
    return [*fitting, *said][:MOST] if before.strip() else [*said, *fitting][:MOST]


def _caret(before: str) -> _Caret:
    quote = _open_quote(before)
    for shape, pattern in (("macro", _MACRO), ("label", _LABEL)):
        if match := pattern.search(before):
            return _Caret(before[: match.start()], match[0], shape)
    if quote is not None:
        return _Caret(before[:quote], before[quote:], "quote")
    for shape, pattern in (("reference", _REFERENCE), ("word", _WORD), ("number", _NUMBER)):
        if match := pattern.search(before):
            return _Caret(before[: match.start()], match[0], shape)
    return _Caret(before, "", "")


def _fitting(caret: _Caret, offers: list[Offer]) -> list[Offer]:
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


def _offers(caret: _Caret, offers: Offers) -> Iterable[Offer]:
    """Everything that may stand after `ahead`."""
    from tensorshark.forensics.filter.syntax.parser import expected

    if caret.shape == "macro":
        return offers.macros()
    ahead = caret.ahead
    if caret.shape == "reference":
        return (*offers.references(), *offers.macros())
    if selector := _SELECTOR.search(ahead):
        return _selections(selector, ahead, offers)
    return _words(caret, expected(ahead), offers)


def _words(caret: _Caret, accepts: set[str], offers: Offers) -> Iterator[Offer]:
    """What the grammar has room for: an operand, an operator, a word between comparisons."""
    ahead = caret.ahead
    subject, type, operator = _subject(ahead)
    apart = ahead[-1:].isspace() or ahead.endswith(")")
    if "STRING" in accepts and operator:
        if subject and type == subject.type:
            yield from offers.values(subject, operator, caret.typed)
        if type == "number":
            yield from offers.units(caret.typed, "{" in operator)
            if "{" not in operator:
                yield from offers.operands("number")
    elif "STRING" in accepts:
        yield from offers.named_arguments(_open_call(ahead))
        yield from offers.operands(None)
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
    for name in _variables(ahead):
        yield Offer(
            f"{name}{close}", "variable", f"every {axis if axis != 'pos' else 'token'}, the same in all of it"
        )
    if axis == "layer":
        yield Offer("-1", "value", "the last layer")
    elif axis == "pos":
        yield Offer("-1]", "value", "the last token")
        yield from offers.spans()


def _variables(ahead: str) -> list[str]:
    """Variables of the `any(l, p: …)` that the caret is in."""
    for match in reversed(list(_BINDER.finditer(ahead))):
        if _depth(ahead[match.end() :]) >= 0:
            return [name.strip() for name in match[1].split(",")]
    return []


def _depth(text: str) -> int:
    """How many parentheses are open at the end, or the least that were where one more was closed."""
    depth = least = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        least = min(least, depth)
    return depth if least == 0 else least


def _open_call(ahead: str) -> str:
    """Name of the function whose second or later argument the caret is at."""
    depth, comma = 0, False
    for at in range(len(ahead) - 1, -1, -1):
        character = ahead[at]
        depth += (character in ")]}") - (character in "([{")
        comma = comma or (character == "," and depth == 0)
        if depth < 0:
            call = _CALL.search(ahead, 0, at + 1)
            return call[1] if call and comma and character == "(" else ""
    return ""


def _subject(ahead: str) -> tuple[FieldInfo | None, Type | None, str]:
    """The last field before the caret, the type of what is compared, and the operator behind it."""
    match = _SUBJECT.search(ahead)
    info = find(match["field"]) if match else None
    if match is None or info is None:
        return None, None, ""
    function = FUNCTIONS.get(match["function"] or "")
    return info, function.gives if function else info.type, match["operator"] or ""


def _open_quote(before: str) -> int | None:
    """Where the string begins that the caret is in; None when it is in none."""
    at = 0
    while match := _QUOTED.search(before, at):
        opener = before[match.end() - 1]
        close = re.compile(rf"(?:\\.|[^{opener}\\])*{opener}", re.DOTALL).match(before, match.end())
        if close is None:
            return match.start()
        at = close.end()
    return None
