"""From text to syntax tree, or to an error that says where and what was expected."""

from __future__ import annotations

import re

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tensorshark.forensics.filter import builder, tables, tree
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

MAX_TEXT = 8192
"""Characters of a filter."""

_EXPECTED = {
    "RPAR": ")",
    "RBRACE": "}",
    "RSQB": "]",
    "NAME": "a field or a value",
    "LBRACE": "a set such as {1, 3..5}",
    "INT": "a position such as -1",
    "CONTAINS": "an operator such as ==, and, contains, in",
    "AND": "and, or, or the end",
}
"""Terminals of the grammar that are worth naming, most telling first, in people's words."""
_OPENERS = {"RPAR": "(", "RBRACE": "{", "RSQB": "["}

KEYWORDS = {
    "AND": "and",
    "OR": "or",
    "XOR": "xor",
    "NOT": "not",
    "IN": "in",
    "CONTAINS": "contains",
    "MATCHES": "matches",
    "ANY": "any",
    "ALL": "all",
    "TRUE": "true",
    "FALSE": "false",
}
"""Terminals that are words, and the words."""

_OPENS_QUOTE = re.compile(r"[rt]?[\"']|label\.[\"']")
_BEGUN = ("=", "&", "|", "^", ".", "$", "${", "label.")
"""What a person types on the way to something longer."""


def parse(text: str) -> tree.Expression:
    """The syntax tree of a filter that is not empty. Raises FilterError, and nothing else."""
    check_text(text)
    try:
        root = tables.parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    return builder.build(root, text)


def expected(text: str) -> set[str]:
    """Terminals that may follow `text`; empty when it is already wrong."""
    try:
        check_text(text)
        state = tables.parser().parse_interactive(text)
        state.exhaust_lexer()
    except (UnexpectedInput, FilterError):
        return set()
    return set(state.accepts())  # type: ignore[no-untyped-call]


def check_text(text: str) -> None:
    """Raise FilterError for text that is too long or not Unicode."""
    if len(text) > MAX_TEXT:
        raise FilterError(f"{len(text):,} characters; a filter has at most {MAX_TEXT:,}", text, MAX_TEXT)
    for column, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise FilterError("a byte here is not valid UTF-8", text, column)


def _explained(error: UnexpectedInput, text: str) -> FilterError:
    if isinstance(error, UnexpectedToken):
        return _unexpected_token(error, text)
    assert isinstance(error, UnexpectedCharacters), "LALR raises no other"
    column = error.pos_in_stream or 0
    rest = text[column:]
    if _OPENS_QUOTE.match(rest):
        return FilterError("the quote is not closed", text, column, len(rest), incomplete=True)
    reason = f"{safe_text(rest[0])} has no meaning here"
    return FilterError(reason, text, column, 1, incomplete=rest.rstrip() in _BEGUN)


def _unexpected_token(error: UnexpectedToken, text: str) -> FilterError:
    token: Token = error.token
    wanted = _wanted(set(error.accepts or ()))
    if token.type == "$END":
        return FilterError(f"unfinished: expected {wanted}", text, len(text.rstrip()), 1, incomplete=True)
    said, column = str(token), token.start_pos or 0
    rest = text[column:].rstrip()
    words = {KEYWORDS.get(terminal, "") for terminal in error.accepts or ()}
    typing = rest in _BEGUN or any(word.startswith(rest) for word in words if word)
    reason = f"{safe_text(said, 40)} is unexpected here; expected {wanted}"
    if said == "=":
        reason = "= alone does not compare; write =="
    elif said.lower() in words - {said}:
        reason = f"write {said.lower()} in small letters"
    elif token.type == "STRING":
        reason = f"an operator is missing before {safe_text(said, 40)}"
    elif token.type in _OPENERS and token.type not in error.expected:
        reason = f"{said} without the {_OPENERS[token.type]} that it would close"
    return FilterError(reason, text, column, len(said), incomplete=typing)


def _wanted(accepts: set[str]) -> str:
    """The one or two most telling of what may come next."""
    named = [words for terminal, words in _EXPECTED.items() if terminal in accepts]
    return " or ".join(named[:1] if "CONTAINS" in accepts else named[:2]) or "the end"
