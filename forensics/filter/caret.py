"""What stands before the caret of a filter that is being typed: the word begun, and what it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tensorshark.forensics.filter.fields import FieldInfo, Type
from tensorshark.forensics.filter.functions import FUNCTIONS
from tensorshark.forensics.filter.syntax import lalr
from tensorshark.traces.errors import FilterError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.operands import Value

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*$")
_LABEL = re.compile(r"(label\.(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?))$", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.#:\[$-])-?[0-9]+(?:\.[0-9]+)?[A-Za-z]*$")
_MACRO = re.compile(r"\$\{[A-Za-z0-9_]*$")
_REFERENCE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_.]*)?$")
_QUOTED = re.compile(r"(?:\b[rt])?[\"']")
_ORDERS = ("EQUAL", "UNEQUAL", "LESS", "UPTO", "MORE", "FROM", "ALL_EQUAL", "ANY_UNEQUAL", "TILDE")
_RELATIONS = frozenset((*_ORDERS, "EQ", "NE", "LT", "LE", "GT", "GE", "CONTAINS", "MATCHES"))
_SIGNS = ("BARS", "AMPERSANDS", "CARETS", "BANG", "_COMMA", "_ASSIGN", "BINDER")
_BOUNDARIES = _RELATIONS.union(("AND", "OR", "XOR", "NOT"), _SIGNS)
_OPENERS, _CLOSERS = frozenset(("_LPAR", "_LBRACE", "_LSQB")), frozenset(("_RPAR", "_RBRACE", "_RSQB"))
_BINDER = re.compile(r"\b(?:any|all)\s*\(\s*([a-z]\w*(?:\s*,\s*[a-z]\w*)*)\s*:(?!\s*[-0-9\[])")
SELECTOR = re.compile(r"(?P<field>[A-Za-z_][A-Za-z0-9_.]*)(?:[#:](?:-?[0-9]+|[a-z]\w*|\[[^\]]*\]))*[#:\[]$")
_CALL = re.compile(r"\b([a-z_]+)\($")
_TAIL = 600
"""Characters before the caret in which a word or a field is looked for: it takes time in their square."""


class Caret(NamedTuple):
    """What stands before the caret."""

    ahead: str
    """Before the word that is being typed."""
    typed: str
    """That word."""
    shape: str
    """What it looks like: `word`, `label`, `number`, `macro`, `reference`, `quote` or nothing."""


class Left(NamedTuple):
    """What stands on the left of the operator before the caret, or just before it."""

    field: FieldInfo | None
    """The field that it is, or that functions are applied to, where it is one."""
    type: Type | None
    """None where it cannot be read."""
    operator: str
    """Empty when there is none yet; `in {` within a set."""


def left(ahead: str, macros: Mapping[str, str]) -> Left:
    """What is being compared at the end of `ahead`."""
    tokens = lalr.scan(ahead)
    stop, operator = len(tokens), ""
    if within := _set(tokens):
        stop, operator = within, "in {"
    elif tokens and tokens[-1].terminal in _RELATIONS:
        stop, operator = stop - 1, tokens[-1].text
    start, depth = stop, 0
    while start > 0:
        terminal = tokens[start - 1].terminal
        depth += (terminal in _CLOSERS) - (terminal in _OPENERS)
        if depth < 0 or (depth == 0 and terminal in _BOUNDARIES):
            break
        start -= 1
    if start < stop and tokens[start].terminal in ("ANY", "ALL"):
        start += 1
    if start >= stop:
        return Left(None, None, operator)
    value = _value(ahead[tokens[start].start : tokens[stop - 1].stop], macros)
    if value is None:
        return Left(None, None, operator)
    inner = value
    while not isinstance(getattr(inner, "field", None), FieldInfo) and len(inner.parts) == 1:
        inner = inner.parts[0]
    found = getattr(inner, "field", None)
    return Left(found if isinstance(found, FieldInfo) else None, value.type, operator)


def _set(tokens: Sequence[lalr.Token]) -> int:
    """Place of the `in` or `not` of the set that the caret is in; 0 when it is in none."""
    for at in range(len(tokens) - 1, 0, -1):
        if tokens[at].terminal == "_RBRACE":
            return 0
        if tokens[at].terminal == "_LBRACE" and tokens[at - 1].terminal == "IN":
            return at - 2 if at > 1 and tokens[at - 2].terminal == "NOT" else at - 1
    return 0


def _value(text: str, macros: Mapping[str, str]) -> Value | None:
    from tensorshark.forensics.filter.columns import expression

    try:
        return expression(text, macros)
    except FilterError:
        return None


def read(before: str) -> Caret:
    """The word at the end of `before`, and what stands ahead of it."""
    quote = _open_quote(before)
    for shape, pattern in (("macro", _MACRO), ("label", _LABEL)):
        if match := pattern.search(before):
            return Caret(before[: match.start()], match[0], shape)
    if quote is not None:
        return Caret(before[:quote], before[quote:], "quote")
    for shape, pattern in (("reference", _REFERENCE), ("number", _NUMBER), ("word", _WORD)):
        if match := ending(pattern, before):
            return Caret(before[: match.start()], match[0], shape)
    return Caret(before, "", "")


def ending(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """What a pattern that ends in `$` finds in the last characters of `text`."""
    return pattern.search(text, max(0, len(text) - _TAIL))


def variables(ahead: str) -> list[str]:
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


def open_call(ahead: str) -> tuple[str, bool]:
    """Name of the function whose argument the caret is at, or nothing; and whether it is not the first."""
    depth, comma = 0, False
    for at in range(len(ahead) - 1, -1, -1):
        character = ahead[at]
        depth += (character in ")]}") - (character in "([{")
        comma = comma or (character == "," and depth == 0)
        if depth < 0:
            call = _CALL.search(ahead, max(0, at - _TAIL), at + 1)
            return (call[1], comma) if call and character == "(" else ("", False)
    return "", False


def wanted(ahead: str, compared: Left) -> Type | None:
    """Type of the operand that has to come next; None where any will do."""
    function = FUNCTIONS.get(open_call(ahead)[0])
    takes = None if function is None or function.takes == "any" else function.takes
    if ahead.rstrip()[-1:] in ("+", "-", "*", "/", "%"):
        return "tensor" if takes == "tensor" else "number"
    if ahead.rstrip()[-1:] in ("(", ","):
        return takes
    return compared.type if compared.operator else None


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
