"""What the questions of the language mean, a second time: each says itself, and whether a trace matches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.forensics.filter.naive.cells import POS, Scene, paired
from tests.forensics.filter.naive.facts import SEVERITIES
from tests.forensics.filter.naive.fields import Field, Node

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
SPELLED = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@dataclass(frozen=True)
class Question:
    """Something that is true or false of a trace."""

    def holds(self, scene: Scene) -> bool:
        """Whether the trace of `scene` satisfies it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Relation:
    """What is asked of one cell: `> 3`, `in {1, 2..3}`, `contains "x"`."""

    said: str
    negative: bool
    """True for `!=` and `not in`, which ask every cell."""
    of: Callable[[Any], bool]


@dataclass(frozen=True)
class Asked(Question):
    """A value and what is asked of its cells, with or without any(…) and all(…)."""

    value: Node
    test: Relation
    quantifier: str = ""
    around: bool = False
    """`all(f < 3)` instead of `all(f) < 3`."""

    def __str__(self) -> str:
        if self.quantifier and self.around:
            return f"{self.quantifier}({self.value} {self.test.said})"
        value = f"{self.quantifier}({self.value})" if self.quantifier else str(self.value)
        return f"{value} {self.test.said}"

    def holds(self, scene: Scene) -> bool:
        found = self.value.cells(scene).present()
        every = self.quantifier == "all" or (not self.quantifier and self.test.negative)
        return bool(found) and (all if every else any)(self.test.of(value) for value in found)


@dataclass(frozen=True)
class Paired(Question):
    """Two values, cell by cell."""

    left: Node
    operator: str
    right: Node
    quantifier: str = ""
    around: bool = False

    def __str__(self) -> str:
        if self.quantifier and self.around:
            return f"{self.quantifier}({self.left} {self.operator} {self.right})"
        left = f"{self.quantifier}({self.left})" if self.quantifier else str(self.left)
        return f"{left} {self.operator} {self.right}"

    def holds(self, scene: Scene) -> bool:
        ours, theirs = self.left.cells(scene), self.right.cells(scene)
        left, right, _ = paired(ours, theirs)
        known, others, _ = paired(type(ours)(_marks(ours.there)), type(theirs)(_marks(theirs.there)))
        both = (known > 0) & (others > 0)
        pairs = zip(left[both].tolist(), right[both].tolist(), strict=True)
        answers = [COMPARE[self.operator](a, b) for a, b in pairs]
        every = self.quantifier == "all" or (not self.quantifier and self.operator == "!=")
        return bool(answers) and (all if every else any)(answers)


def _marks(there: Any) -> Any:
    return there.astype(np.float64)


@dataclass(frozen=True)
class Has(Question):
    """`has(value)`, or the value alone."""

    value: Node
    bare: bool

    def __str__(self) -> str:
        return str(self.value) if self.bare else f"has({self.value})"

    def holds(self, scene: Scene) -> bool:
        return _there(self.value, scene)


def _there(value: Node, scene: Scene) -> bool:
    """Whether a value has a cell."""
    if isinstance(value, Field) and value.type == "tensor":
        return _captured(value, scene)
    return bool(value.cells(scene).present())


def _captured(field: Field, scene: Scene) -> bool:
    """Whether a tensor of a selected layer was captured, and has a selected head and token."""
    facts = scene.facts
    chosen = field.layer.indices(facts.depth, scene) if field.layer else range(facts.depth)
    tokens = field.pos.indices(len(facts.tokens), scene) if field.pos else facts.tokens
    return bool(set(facts.sites.get(field.name, ())) & set(chosen)) and bool(tokens)


@dataclass(frozen=True)
class Truth(Question):
    """A field that is itself true or false, alone."""

    value: Node

    def __str__(self) -> str:
        return str(self.value)

    def holds(self, scene: Scene) -> bool:
        return True in self.value.cells(scene).present()


@dataclass(frozen=True)
class Within(Question):
    """`a < f <= b`, the same as `a < f and f <= b`."""

    low: Asked
    high: Asked
    said: str

    def __str__(self) -> str:
        return self.said

    def holds(self, scene: Scene) -> bool:
        return self.low.holds(scene) and self.high.holds(scene)


@dataclass(frozen=True)
class Logic(Question):
    """and, or, xor of several."""

    word: str
    parts: tuple[Question, ...]

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({part})" for part in self.parts)

    def holds(self, scene: Scene) -> bool:
        answers = [part.holds(scene) for part in self.parts]
        if self.word in ("and", "&&"):
            return all(answers)
        return any(answers) if self.word in ("or", "||") else sum(answers) % 2 == 1


@dataclass(frozen=True)
class Not(Question):
    """not."""

    part: Question
    word: str

    def __str__(self) -> str:
        return f"{self.word}({self.part})"

    def holds(self, scene: Scene) -> bool:
        return not self.part.holds(scene)


@dataclass(frozen=True)
class Correlated(Question):
    """`any(l, p: …)`: the same layer, head and position satisfies all of the body."""

    quantifier: str
    variables: tuple[tuple[str, int], ...]
    """(name, axis)."""
    body: Question

    def __str__(self) -> str:
        return f"{self.quantifier}({', '.join(name for name, _ in self.variables)}: {self.body})"

    def holds(self, scene: Scene) -> bool:
        sizes = (scene.facts.depth, scene.facts.heads, len(scene.facts.tokens))
        ranges = [range(sizes[axis]) for _, axis in self.variables]
        values = list(bound_values(self.body, {name for name, _ in self.variables}))
        answers = []
        for cell in itertools.product(*ranges):
            bound = {name: at for (name, _), at in zip(self.variables, cell, strict=True)}
            here = Scene(scene.facts, scene.world, bound)
            if any(_there(value, here) for value in values):
                answers.append(self.body.holds(here))
        return any(answers) if self.quantifier == "any" else bool(answers) and all(answers)


def bound_values(question: Question, variables: set[str]) -> list[Node]:
    """The values in a body that use a variable."""
    match question:
        case Asked() | Has() | Truth():
            values: list[Node] = [question.value]
        case Paired():
            values = [question.left, question.right]
        case Within():
            values = [question.low.value]
        case Logic():
            return [value for part in question.parts for value in bound_values(part, variables)]
        case Not():
            return bound_values(question.part, variables)
        case _:
            return []
    return [value for value in values if uses(value, variables)]


def uses(node: Any, variables: set[str]) -> bool:
    """True when a variable stands somewhere in a value."""
    if isinstance(node, Field):
        picks = (node.layer, node.head, node.pos)
        return any(pick is not None and pick.variable and pick.text in variables for pick in picks)
    children = [getattr(node, name, None) for name in ("inner", "left", "right", "value", "field")]
    return any(uses(child, variables) for child in children if isinstance(child, Node))


def meets_several(thing: Any, tokens: set[str]) -> bool:
    """True when somewhere a token variable stands on one side, and several tokens on the other."""
    sides = [getattr(thing, name, None) for name in ("left", "right")]
    if all(isinstance(side, Node) for side in sides):
        for ours, theirs in (sides, sides[::-1]):
            if uses(ours, tokens) and POS in theirs.axes:
                return True
    names = ("left", "right", "value", "inner", "field", "part", "body", "low", "high")
    parts = [*(getattr(thing, name, None) for name in names), *getattr(thing, "parts", ())]
    return any(meets_several(part, tokens) for part in parts if isinstance(part, Node | Question))


def severity(name: str) -> int:
    """Its place among the severities; others are below all."""
    return SEVERITIES.index(name) if name in SEVERITIES else -1


def matching(question: Question, world: Any) -> list[int]:
    """Numbers of the traces that match."""
    return [facts.number for facts in world.known if question.holds(Scene(facts, world))]
