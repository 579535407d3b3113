"""From text to syntax tree, or to an error that says where and what was expected."""

from __future__ import annotations

import re
from functools import lru_cache

from tensorshark.forensics.filter import fields, functions
from tensorshark.forensics.filter.syntax import builder, lalr, tree
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

MAX_TEXT = 8192
"""Characters of a filter."""

_EXPECTED = {
    "_RPAR": ")",
    "_RBRACE": "}",
    "_RSQB": "]",
    "STRING": "a field or a value",
    "_LBRACE": "a set such as {1, 3..5}",
    "NUMBER": "a number such as -1",
    "NAME": "a name",
    "CONTAINS": "an operator such as ==, and, contains, in",
    "AND": "and, or, or the end",
}
"""Terminals of the grammar that are worth naming, most telling first, in people's words."""
_OPENERS = {"_RPAR": "(", "_RBRACE": "{", "_RSQB": "["}

_OPENS_QUOTE = re.compile(r"\.?[\"']")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BINDER_BEGUN = re.compile(r"\b(any|all)\s*\(\s*[a-z]\w*(\s*,\s*[a-z]\w*)*\s*,?\s*$")
_NUMBER_BEFORE = re.compile(r"[0-9]([A-Za-z]+)\s*$")
_DATE_BEGUN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+-]*$")
_DOUBLED = {"&": "and", "|": "or", "^": "xor"}
"""What other languages write once."""
_MEMBERS = ("STRING", "NUMBER", "DATE", "NAME")
"""What may stand in a set."""
_BEGUN = ("=", "!", "&", "|", "^", ".", "$", "${", "label.")
"""What a person types on the way to something longer."""


@lru_cache(maxsize=64)  # what is applied was checked at the last key
def parse(text: str) -> tree.Expression:
    """The syntax tree of a filter that is not empty. Raises FilterError, and nothing else."""
    check_text(text)
    parser = lalr.Parser()
    try:
        parser.read(text)
        root = parser.finish(len(text))
    except lalr.Stuck as stuck:
        raise _explained(stuck, text) from None
    return builder.build(root, text)


def expected(text: str) -> set[str]:
    """Terminals that may follow `text`; empty when it is already wrong."""
    parser = lalr.Parser()
    try:
        check_text(text)
        parser.read(text)
    except (lalr.Stuck, FilterError):
        return set()
    return parser.accepts()


def check_text(text: str) -> None:
    """Raise FilterError for text that is too long or not Unicode."""
    if len(text) > MAX_TEXT:
        raise FilterError(f"{len(text):,} characters; a filter has at most {MAX_TEXT:,}", text, MAX_TEXT)
    if found := _SURROGATE.search(text):
        raise FilterError("a byte here is not valid UTF-8", text, found.start())


def _explained(stuck: lalr.Stuck, text: str) -> FilterError:
    """The error in people's words, and whether more typing could mend it."""
    token, wanted = stuck.token, _wanted(stuck.accepts)
    said, column, rest = token.text, token.start, text[token.start :].rstrip()
    if token.terminal == lalr.END:
        return FilterError(f"unfinished: expected {wanted}", text, len(text.rstrip()), 1, incomplete=True)
    words = {word for word, terminal in lalr.tables().words.items() if terminal in stuck.accepts}
    typing = rest in _BEGUN or any(word.startswith(rest) for word in words) or _begun(rest, stuck.accepts)
    typing = typing or _DATE_BEGUN.search(text) is not None or _BINDER_BEGUN.search(text) is not None
    length = len(said)
    if token.terminal == "" and _OPENS_QUOTE.match(rest):
        reason, length, typing = "the quote is not closed", len(rest), True
    elif (number := _NUMBER_BEFORE.search(text[:column])) and (word := builder.word_behind(number[1])):
        reason, column, length = f"a blank is missing before {word}", number.end(1) - len(word), len(word)
        typing = False
    elif token.terminal == lalr.GLUED:
        reason, typing = f"a blank is missing before {safe_text(said, 40)}", False
    elif said in _DOUBLED:
        reason = f"{said} alone does nothing; write {_DOUBLED[said]}, or {said}{said}"
    elif token.terminal == "":
        reason = f"{safe_text(said)} has no meaning here"
    elif said == "=":
        reason = "= alone does not compare; write =="
    elif said.lower() in words - {said}:
        reason = f"write {said.lower()} in small letters"
    elif {"_COMMA", "_RBRACE"} <= stuck.accepts and token.terminal in _MEMBERS:
        reason = f"a comma is missing before {safe_text(said, 40)}"
    elif token.terminal == "STRING":
        reason = f"an operator is missing before {safe_text(said, 40)}"
    elif token.terminal in ("_HASH", "_COLON") and text[:column].rstrip().endswith("]"):
        reason = f"{said} stands before [tokens], as in attn.entropy#12:3[-1]"
    elif token.terminal in _OPENERS and lalr.END in stuck.accepts:
        reason = f"{said} without the {_OPENERS[token.terminal]} that it would close"
    else:
        reason = f"{safe_text(said, 40)} is unexpected here; expected {wanted}"
    return FilterError(reason, text, column, length, typing)


def _begun(word: str, accepts: set[str]) -> bool:
    """True for `ne` where a name may stand: a word of the language, and the beginning of `next.p`."""
    return "NAME" in accepts and (functions.begins(word) or fields.begins(word))


def _wanted(accepts: set[str]) -> str:
    """The one or two most telling of what may come next."""
    if "STRING" in accepts:  # where a value may stand, so may a number, and a name
        accepts = accepts - {"NUMBER", "NAME"}
    named = [words for terminal, words in _EXPECTED.items() if terminal in accepts]
    return " or ".join(named[:1] if "CONTAINS" in accepts else named[:2]) or "the end"
