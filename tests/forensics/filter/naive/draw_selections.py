"""Layers, heads and positions at random, and what they select."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tests.forensics.filter.naive.cells import POS
from tests.forensics.filter.naive.fields import Pick, everything

T = TypeVar("T")

_ONE_CELL = re.compile(r"(?:[a-z.0-9]+\[)?(-?[0-9]+)(-\1)?\]?")
"""`3`, `[3-3]`, `prompt[-1]`: one cell at most."""


class Selections:
    """What stands behind a field, at random."""

    def __init__(self, seed: int | str, language: frozenset[str]) -> None:
        self.random = random.Random(seed)
        self.language = language

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def choice(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def can(self, construct: str, share: float) -> bool:
        """Whether to use a construct, where the engine has it."""
        return construct in self.language and self.chance(share)

    def pick(self, axis: int, bound: Mapping[int, str] = {}, single: bool = False) -> Pick | None:
        """What selects along one axis; None: all of it."""
        if axis in bound and self.chance(0.5):
            return Pick(bound[axis], everything, bare=True, variable=True)
        if axis == POS and self.chance(0.4):
            return at(-1)
        if single or self.chance(0.4):
            return at(self.random.randint(-3, 4))
        if self.chance(0.4):
            return None
        parts = [self.part(axis) for _ in range(self.choice((1, 1, 2)))]
        text = ",".join(text for text, _ in parts)
        single = _ONE_CELL.fullmatch(text) is not None
        return Pick(text, lambda size, spans: _all_of(parts, size, spans), single)

    def part(self, axis: int) -> tuple[str, Callable[[int, Mapping[str, slice]], list[int]]]:
        """One of the parts within brackets."""
        kind = self.choice(("through", "slice", "slice", "at", "span" if axis == POS else "at"))
        if kind == "through":
            a, b = self.random.randint(-5, 6), self.random.randint(-5, 6)
            a, b = (a, b) if (a < 0) != (b < 0) else sorted((a, b))
            return f"{a}-{b}", lambda size, _: _through(a, b, size)
        if kind == "slice":
            ends = [None if self.chance(0.3) else self.random.randint(-5, 6) for _ in "ab"]
            step = self.choice((None, 1, 2, -1))
            text = ":".join("" if end is None else str(end) for end in ends) + (f":{step}" if step else "")
            return text, lambda size, _: list(range(size))[ends[0] : ends[1] : step]
        if kind == "at":
            index = at(self.random.randint(-5, 6))
            return index.text, index.of
        name = self.choice(("prompt", "response", "all", "user.2"))
        inner = at(self.random.randint(-3, 3)) if self.chance(0.4) else None
        return (f"{name}[{inner.text}]" if inner else name), lambda size, spans: _span(
            name, inner, size, spans
        )


def _all_of(parts: Sequence[tuple[str, Any]], size: int, spans: Mapping[str, slice]) -> list[int]:
    return [index for _, of in parts for index in of(size, spans)]


def at(i: int) -> Pick:
    """One index, from the end when it is negative."""
    return Pick(str(i), lambda size, _: [i % size] if -size <= i < size else [], single=True, bare=True)


def _through(a: int, b: int, size: int) -> list[int]:
    first, last = (end + size if end < 0 else end for end in (a, b))
    return [i for i in range(size) if first <= i <= last]


def _span(name: str, inner: Pick | None, size: int, spans: Mapping[str, slice]) -> list[int]:
    if name != "all" and name not in spans:
        return []
    within = list(range(size)) if name == "all" else list(range(size))[spans[name]]
    return within if inner is None else [within[i] for i in inner.of(len(within), {})]
