"""Untrusted text -> text that is safe to print: the one edge between a capture and a terminal or a file.

Prompts, tokens, labels and file names may hold escape sequences that write to the clipboard, bidi controls
that reorder a line, blanks that hide words. Such characters are written as visible escapes instead, and
nothing is dropped: two different texts never print the same (short of the cap, which says what it left out).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

MAX_MARKS = 4
"""Combining marks shown on one base character; further ones are escaped."""

# Printable to Python, blank or invisible to people: fillers, variation selectors, the empty braille cell.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\U00013441\U00013442"
_BLANK_OTHERS = re.compile(
    "[\u034f\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)

# A run of characters that need a look, or a backslash that would read as one of our own escapes.
_ODD = re.compile(
    rf"(?P<run>(?:[^\w !-~]|[{_BLANK_LETTERS}])+)"
    r"|\\(?=x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
)
# Our own signs, and the characters that they stand for; a text that holds the sign itself has it escaped.
_SIGNS = {"\n": "⏎", "\t": "⇥"}
_OURS = frozenset(_SIGNS.values())


def safe_text(text: str, cap: int = 4096) -> str:
    r"""One printable line that shows all of `text`, up to `cap` characters of it.

    Newline becomes `⏎`, tab `⇥`. Every other control, format, private, unassigned, surrogate or blank-looking
    character becomes `\x1b`, `\u202e` or `\U000e0041`; so does a combining mark without a base or past
    MAX_MARKS on one, and a backslash that would make plain text read as such an escape. Where `text` is
    longer than `cap`, the result ends in `…(+N)`: N characters are not shown.
    """
    size = len(text)
    if size > cap:
        return f"{safe_text(text[:cap], cap)}…(+{size - cap})"
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return _ODD.sub(_shown, text)


def token_text(token: str, cap: int = 64) -> str:
    """`safe_text` for one token: spaces are `·`, so that leading ones are seen, and an empty token is `∅`."""
    if not token:
        return "∅"
    if token == "∅":
        return _escape(token)
    return safe_text(token, cap).replace("·", _escape("·")).replace(" ", "·")


def json_text(value: Any) -> str:
    r"""`value` as one line of JSON that a terminal can be shown: what is not printable is `\u001b`.

    Exact: parsing gives the value back, lone surrogates included. Raises ValueError for NaN and infinity,
    which JSON does not have; the caller decides what they mean.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return line if line.isprintable() else "".join(map(_json_char, line))


def csv_line(cells: Iterable[str | int | float | bool | None]) -> str:
    """One CSV record without its line end; text as `safe_text` shows it, absent values empty.

    A text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` first) gets a `'` before it.
    """
    return ",".join(_csv_cell(cell) for cell in cells)


def _csv_cell(cell: str | int | float | bool | None) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return str(cell).lower() if isinstance(cell, bool) else repr(cell)
    text = safe_text(cell, cap=len(cell))
    if text[:1] in ("=", "+", "-", "@"):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"') else text


def _json_char(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _shown(match: re.Match[str]) -> str:
    """What to print for a run of odd characters."""
    run = match["run"]
    if run is None:
        return _escape("\\")
    out = []
    marks, has_base = 0, match.start() > 0
    for offset, char in enumerate(run, match.start()):
        if not char.isprintable():
            out.append(_SIGNS.get(char) or _escape(char))
            marks, has_base = 0, False
        elif char in _BLANK_LETTERS or char in _OURS or _BLANK_OTHERS.match(char):
            out.append(_escape(char))
            marks, has_base = 0, False
        elif unicodedata.category(char)[0] == "M":
            marks += 1
            out.append(char if has_base and marks <= MAX_MARKS else _escape(char))
        else:
            # The ellipsis of `…(+12)` is ours too; elsewhere it is only punctuation.
            ours = char == "…" and match.string.startswith("(+", offset + 1)
            out.append(_escape(char) if ours else char)
            marks, has_base = 0, True
    return "".join(out)


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
