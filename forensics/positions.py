"""Which tokens: `prompt[-1]`, `response[:]`, `user.2[-1]`, `all[0:4]`, `-1`, and lists of them.

    positions = part ("," part)*
    part      = span | span "[" slice "]" | "[" slice "]" | integer        span alone means all of it
    slice     = integer | integer? ":" integer? (":" integer?)?            as in Python, within the span

Spans are the trace's own (`prompt`, `response`, `system`, `user.2`), and `all` is every token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.text import safe_text

_PART = re.compile(
    r"""(?P<span>[A-Za-z_][\w-]*(?:\.[\w-]+)*)?
        (?:\[\s*(?:(?P<start>-?\d{1,9})?\s*(?P<colon>:)\s*(?P<stop>-?\d{1,9})?\s*(?::\s*(?P<step>-?\d{1,9})?)?
                 |(?P<index>-?\d{1,9}))\s*\])?
        |(?P<bare>-?\d{1,9})""",
    re.VERBOSE | re.ASCII,
)
_CAP = 256


class NoSuchPositionError(NotFoundError):
    """The trace has no such token or span: the question does not apply to it."""


def check(text: str) -> None:
    """Raise UsageError when the text cannot be read; needs no trace."""
    _parts(text)


def resolve(text: str, length: int, spans: Mapping[str, slice] | None = None) -> list[int]:
    """0-based token indices in the order asked for, each once.

    Raises UsageError when the text cannot be read, NoSuchPositionError when the trace has no such
    span or token. An empty span or slice is no token, not an error.
    """
    found: dict[int, None] = {}
    for part in _parts(text):
        for index in _indices(part, length, spans or {}):
            found[index] = None
    return list(found)


def _parts(text: str) -> list[re.Match[str]]:
    if len(text) > _CAP:
        raise UsageError(f"a position of {len(text):,} characters; the cap is {_CAP}")
    parts = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if not match or not match[0] or match["step"] == "0":
            raise UsageError(
                f"position {safe_text(part.strip(), 80)!r} cannot be read; "
                "expected e.g. prompt[-1], response[:], all[0:4] or -1"
            )
        parts.append(match)
    return parts


def _indices(part: re.Match[str], length: int, spans: Mapping[str, slice]) -> list[int]:
    name = part["span"] or "all"
    if name != "all" and name not in spans:
        known = ", ".join(["all", *(safe_text(span, 40) for span in spans)])
        raise NoSuchPositionError(f"no span {name}; it has: {known}")
    tokens = range(length) if name == "all" else range(length)[spans[name]]
    single = part["index"] or part["bare"]
    if single is None:
        start, stop, step = (int(part[key]) if part[key] else None for key in ("start", "stop", "step"))
        return list(tokens[start:stop:step])
    try:
        return [tokens[int(single)]]
    except IndexError:
        raise NoSuchPositionError(f"no token {part[0]}: {name} has {len(tokens):,} tokens") from None
