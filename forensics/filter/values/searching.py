"""A pattern looked for in many texts at once: a megabyte of them in one call of RE2, not one call for each.

The texts stand one after the other with a byte between them that is no part of UTF-8. Nothing that a pattern
can say matches that byte, so a match lies within one text; only anchors, which ask for the end of the whole,
and `\\C`, any byte, do not go.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics.filter.values.relations import regex

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ENDS = frozenset("AzCQ")
"""Letters that after a backslash ask for an end, for any byte, or quote what follows."""
_FIRST = 64
"""Traces whose texts are searched first; then as many as make about _BYTES."""
_BYTES = 1 << 20
_MOST = 8192


def searchable(pattern: str) -> bool:
    """True when the pattern means the same in texts that stand one after the other."""
    if any(letter in _ENDS for letter in _ESCAPED.findall(pattern)):
        return False
    plain = _ESCAPED.sub("", pattern)
    return "$" not in plain and re.search(r"(?<!\[)\^", plain) is None


def search(
    index: Index, pattern: str, field: str, first: int, last: int, check: Callable[[], None]
) -> Iterator[int]:
    """Numbers, ascending, of the traces from `first` to `last` whose prompt or text matches.

    `check` is called every few milliseconds; it may raise.
    """
    find = regex(pattern.encode()).search
    size = _FIRST
    while first <= last:
        check()
        numbers, texts = index.joined(first, min(last, first + size - 1), field)
        first += size
        size = min(_MOST, max(1, size * _BYTES // max(1, len(texts)))) if texts else _MOST
        match = find(texts) if texts else None
        if match is None:
            continue
        ends = np.flatnonzero(np.frombuffer(texts, np.uint8) == 0xFF).tolist()
        while match is not None:
            place = bisect_left(ends, match.start())
            if place == len(ends):  # the empty text behind the last separator
                break
            yield int(numbers[place])
            at = ends[place] + 1
            match = find(texts, at) if at < len(texts) else None
