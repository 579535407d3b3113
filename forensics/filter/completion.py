"""What may come next while a filter is typed: fields, values, operators, functions, spans.

The parser itself says which kinds of word fit at the caret; the tables say which words of that kind there
are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from tensorshark.forensics.filter.fields import SELECTORS, SEVERITIES, FieldInfo, Type, fields, find, quote
from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES
from tensorshark.traces.errors import TensorsharkError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

Kind = Literal["field", "value", "operator", "function", "keyword", "span"]

FEW = 5
"""Completions below which parts of names are looked for too."""
MOST = 50
"""Completions at a time."""

OPERATORS: dict[Type, tuple[str, ...]] = {
    "text": ("==", "!=", "contains", "matches", "in"),
    "number": (">", "<", ">=", "<=", "==", "!=", "in"),
    "time": (">=", "<", "==", "in"),
    "severity": (">=", "==", "in"),
    "truth": (),
    "tensor": (),
}
"""Type -> the operators that make sense behind a value of it, the likely ones first."""

_TAIL = 600
"""Characters before the caret in which the word, the field and the operator there are looked for: searching
takes time in the square of them."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*$")
_LABEL = re.compile(r"(label\.(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?))$", re.DOTALL)
_QUOTED = re.compile(r"r?[\"']")
_SUBJECT = re.compile(
    r"(?:(?P<function>[a-z]+)\(\s*)?"
    r"(?P<field>label\.\"(?:\\.|[^\"\\])*\"|[A-Za-z_][A-Za-z0-9_.]*)"
    r"(?:[#:](?:-?[0-9]+|\[[^\]]*\]))*(?:\[[^\]]*\])?"  # its selections
    r"\s*\)?\s*"
    r"(?P<operator>===?|!==?|<=?|>=?|~|contains|matches|eq|ne|lt|le|gt|ge|(?:not\s+)?in\s*\{[^}]*)?\s*$"
)
_COMPUTED = re.compile(r"[-+*/%].*[0-9)]\s*(?P<operator>===?|!==?|<=?|>=?|eq|ne|lt|le|gt|ge)\s*$", re.DOTALL)
_SPAN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_LANGUAGE = {"and": "both", "or": "either, or both", "xor": "one of them", "not": "the contrary"}
_QUANTIFIERS = {"any(": "one value is enough", "all(": "every value has to"}


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


def complete(text: str, position: int, index: Index | None = None) -> list[Completion]:
    """Ways on at the caret, likely ones first; with an index, labels, values and spans of that capture."""
    from tensorshark.forensics.filter.syntax.parser import MAX_TEXT, expected

    if len(text) > MAX_TEXT:
        return []
    before = text[: max(0, position)]
    quote_at = _open_quote(before)
    word = _LABEL.search(before) or (
        None if quote_at is not None else _WORD.search(before, max(0, len(before) - _TAIL))
    )
    start = (
        quote_at
        if quote_at is not None and not _LABEL.search(before)
        else (word.start() if word else len(before))
    )
    typed, ahead = before[start:], before[:start]
    found = list(_offers(ahead, typed, expected(ahead), index))
    stop = min(len(text), len(before))
    fitting = [
        Completion(offer, start, stop, kind, detail)
        for offer, kind, detail in found
        if offer.startswith(typed) and offer != typed
    ]
    if len(fitting) < FEW and len(typed) >= 2 and quote_at is None:
        fitting += [
            Completion(offer, start, stop, kind, detail)
            for offer, kind, detail in found
            if kind in ("field", "function") and typed.lower() in offer[1:].lower()
        ]
    return fitting[:MOST]


Offer = tuple[str, Kind, str]


def _offers(ahead: str, typed: str, accepts: set[str], index: Index | None) -> Iterator[Offer]:
    """Everything that may stand after `ahead`."""
    subject, type, operator = _subject(ahead)
    apart = ahead[-1:].isspace() or ahead.endswith(")")
    if "STRING" in accepts and operator:
        if subject and type == subject.type:
            yield from _values(subject, operator, typed, index)
        if type == "number" and "{" not in operator:
            yield from _operands(typed, index, "number")
    elif "STRING" in accepts:
        yield from _operands(typed, index, None)
        yield from ((text, "keyword", detail) for text, detail in _QUANTIFIERS.items())
        if "NOT" in accepts:
            yield from ((f"{name}(", "function", help) for name, help in PREDICATES.items())
            yield "not ", "keyword", _LANGUAGE["not"]
    if "CONTAINS" in accepts and type and not operator and apart:
        yield from ((f"{text} ", "operator", f"of {type}") for text in OPERATORS[type])
    if "AND" in accepts and apart:
        yield from ((f"{text} ", "keyword", _LANGUAGE[text]) for text in ("and", "or"))
    if "_COLON" in accepts and ahead.endswith("["):
        yield from ((f"{name}]", "span", "tokens of this span") for name in _spans(index))
    if "_LBRACE" in accepts:
        yield "{", "operator", "a set: {1, 3..5}"


def _operands(typed: str, index: Index | None, type: Type | None) -> Iterator[Offer]:
    """Fields and functions, of one type or of all."""
    for info in fields(index):
        if type in (None, info.type):
            name = info.name.removesuffix("*")
            axes = "".join(f" {SELECTORS[axis]}{axis}{']' * (axis == 'pos')}" for axis in info.axes)
            have = f"{info.traces:,} traces" if info.traces is not None else info.help
            yield name, "field", "; ".join(filter(None, (info.type + axes, info.unit, have)))
    for name, function in FUNCTIONS.items():
        if type in (None, function.gives):
            yield f"{name}(", "function", function.help


def _values(subject: FieldInfo, operator: str, typed: str, index: Index | None) -> Iterator[Offer]:
    """Constants that the field is known to have."""
    if subject.type == "severity":
        yield from ((name, "value", "") for name in SEVERITIES)
    elif subject.type == "truth":
        yield from ((name, "value", "") for name in ("true", "false"))
    elif subject.type == "text" and index is not None and operator not in ("matches", "~"):
        for value, count in _known(subject, typed.lstrip("\"'"), index):
            yield quote(value), "value", f"{count:,} traces" if count else subject.name


def _known(subject: FieldInfo, begun: str, index: Index) -> list[tuple[str, int]]:
    """(value, traces) of a field with few values; of labels, only those that begin like this."""
    if subject.kind == "label":
        query = """SELECT value, count FROM label_keys
                   WHERE key = ? AND value >= ? AND value < ? ORDER BY value LIMIT ?"""
        return index.query(query, (subject.key, begun, begun + "\U0010ffff", MOST))
    if subject.kind == "expert":
        query = "SELECT code, count(*) FROM experts GROUP BY code ORDER BY code LIMIT ?"
        return index.query(query, (MOST,))
    if subject.name == "model":
        return [(name, 0) for name in sorted(index.capture.models())]
    return []


_span_names: dict[tuple[str, int], list[str]] = {}
"""(uuid of a capture, traces looked at) -> names of their spans."""


def _spans(index: Index | None) -> list[str]:
    """Names of spans: those that captures usually have, and those of the first traces."""
    looked = min(len(index), 4) if index is not None else 0
    key = (index.capture.uuid if index is not None else "", looked)
    if key not in _span_names:
        names = {"prompt", "response"}
        for number in range(1, looked + 1):
            with suppress(TensorsharkError):
                assert index is not None
                names |= set(index.trace(number).spans)
        _span_names[key] = [name for name in sorted(names) if _SPAN.fullmatch(name)]
    return _span_names[key]


def _subject(ahead: str) -> tuple[FieldInfo | None, Type | None, str]:
    """The last field before the caret, the type of what is compared, and the operator behind it."""
    match = _SUBJECT.search(ahead, max(0, len(ahead) - _TAIL))
    info = find(match["field"]) if match else None
    if computed := _COMPUTED.search(ahead):
        return None, "number", computed["operator"]
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
