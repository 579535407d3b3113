"""A failing filter, made small: what is left shows the difference and little else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from tests.forensics.filter.naive.fields import Node, Pick
from tests.forensics.filter.naive.questions import Question

MOST = 400
"""Smaller filters that are tried."""


def shrunk(question: Any, fails: Callable[[Any], bool]) -> Any:
    """The smallest that still fails, found greedily."""
    tries = 0
    while tries < MOST:
        for smaller in _smaller(question):
            tries += 1
            if len(str(smaller)) < len(str(question)) and fails(smaller):
                question = smaller
                break
            if tries >= MOST:
                break
        else:
            break
    return question


def _smaller(node: Any) -> Iterator[Any]:
    """Parts of it, and it with a part made smaller."""
    for field in dataclasses.fields(node):
        part = getattr(node, field.name)
        for smaller in _instead(node, field.name, part):
            if isinstance(smaller, tuple) or smaller is not node:
                yield smaller


def _instead(node: Any, name: str, part: Any) -> Iterator[Any]:
    kind = Question if isinstance(node, Question) else Node
    if isinstance(part, kind):
        yield part
    if isinstance(part, Question | Node):
        for smaller in _smaller(part):
            yield dataclasses.replace(node, **{name: smaller})
            if isinstance(smaller, kind) and not isinstance(node, Question):
                yield smaller
    elif isinstance(part, Pick):
        yield dataclasses.replace(node, **{name: None})
    elif isinstance(part, tuple) and part and isinstance(part[0], Question):
        yield from part
        for place in range(len(part)):
            rest = (*part[:place], *part[place + 1 :])
            if len(rest) > 1:
                yield dataclasses.replace(node, **{name: rest})
            for smaller in _smaller(part[place]):
                yield dataclasses.replace(node, **{name: (*part[:place], smaller, *part[place + 1 :])})
    elif name == "quantifier" and part:
        yield dataclasses.replace(node, quantifier="")
