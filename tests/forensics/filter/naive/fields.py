"""What the fields of the language hold, a second time, written from docs/filter.md and not from the engine.

Every node says itself as a person would type it (`str(node)`) and has cells (`node.cells(scene)`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tests.forensics.filter.naive.cells import AXES, Cells, Scene, one, several


@dataclass(frozen=True)
class Pick:
    """What stands behind a field along one axis."""

    text: str
    """Without `#`, `:` or brackets."""
    of: Callable[[int, Mapping[str, slice]], list[int]]
    single: bool = False
    """At most one cell, in every trace."""
    bare: bool = False
    """One number or variable, which layers and heads have without brackets."""
    variable: bool = False

    def indices(self, size: int, scene: Scene) -> list[int]:
        """Of 0 to size - 1, those selected, ascending."""
        if self.variable:
            at = scene.bound[self.text]
            return [at] if at < size else []
        return sorted(set(self.of(size, scene.facts.spans)))


def everything(size: int, _: Mapping[str, slice]) -> list[int]:
    """All there are."""
    return list(range(size))


@dataclass(frozen=True)
class Node:
    """A value: something with a type, axes, and cells in a trace."""

    @property
    def type(self) -> str:
        """number, text, truth, time, severity or tensor."""
        return "number"

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes along which several cells may be left."""
        return ()

    @property
    def many(self) -> bool:
        """True when there may be several values without an axis between them."""
        return False

    @property
    def exact(self) -> bool:
        """False where the last bits depend on the order of a sum."""
        return True

    def cells(self, scene: Scene) -> Cells:
        """Its cells in the trace of `scene`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Node):
    """A number within arithmetic."""

    value: float
    said: str

    def __str__(self) -> str:
        return self.said

    def cells(self, scene: Scene) -> Cells:
        return one(self.value)


@dataclass(frozen=True)
class One(Node):
    """A field with one value."""

    name: str
    kind: str

    def __str__(self) -> str:
        return self.name

    @property
    def type(self) -> str:
        return self.kind

    def cells(self, scene: Scene) -> Cells:
        facts = scene.facts
        if self.name.partition(".")[0] == "mark":
            return one(self.name[5:] in facts.marks if "." in self.name else bool(facts.marks))
        value = facts.one.get(self.name)
        return one(math.nan if value is None and self.kind in ("number", "truth") else value)


@dataclass(frozen=True)
class Label(Node):
    """A label."""

    key: str
    said: str

    def __str__(self) -> str:
        return self.said

    @property
    def type(self) -> str:
        return "text"

    def cells(self, scene: Scene) -> Cells:
        return one(scene.facts.labels.get(self.key))


@dataclass(frozen=True)
class Many(Node):
    """A field with several values and no axis."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def many(self) -> bool:
        return True

    @property
    def type(self) -> str:
        return "severity" if self.name == "expert.severity" else "text"

    def cells(self, scene: Scene) -> Cells:
        facts = scene.facts
        values = {
            "expert.severity": [severity for severity, _ in facts.experts],
            "expert.code": [code for _, code in facts.experts],
            "tag": facts.tags,
            "note": facts.notes,
        }
        return several(values[self.name])


@dataclass(frozen=True)
class Field(Node):
    """A field with axes: tokens, statistics, tensors."""

    name: str
    layer: Pick | None
    head: Pick | None
    pos: Pick | None

    def __str__(self) -> str:
        said = self.name
        for mark, pick in (("#", self.layer), (":", self.head)):
            if pick:
                said += mark + (pick.text if pick.bare else f"[{pick.text}]")
        return said + (f"[{self.pos.text}]" if self.pos else "")

    @property
    def type(self) -> str:
        if "." in self.name:
            return "number"
        return "text" if self.name == "token" else "tensor"

    @property
    def has(self) -> tuple[bool, bool, bool]:
        """Which axes the field has."""
        return not self.name.startswith("token"), self.name.startswith("attn."), True

    @property
    def axes(self) -> tuple[int, ...]:
        picks = (self.layer, self.head, self.pos)
        return tuple(
            axis
            for axis in AXES
            if self.has[axis] and not ((pick := picks[axis]) and (pick.single or pick.variable))
        )

    def cells(self, scene: Scene) -> Cells:
        facts = scene.facts
        sizes = (facts.depth, facts.heads, len(facts.tokens))
        places: list[list[int] | None] = []
        for axis, pick in zip(AXES, (self.layer, self.head, self.pos), strict=True):
            chosen = (pick or Pick("", everything)).indices(sizes[axis], scene)
            places.append(chosen if self.has[axis] else None)
        layers, heads, positions = places
        assert positions is not None
        if self.name == "token":
            words = several([facts.tokens[p] for p in positions])
            return Cells(words.array, tuple(places))
        if self.name == "token.id":
            ids = np.array([facts.token_ids[p] for p in positions], np.float64)
            return Cells(ids.reshape(1, 1, -1), tuple(places))
        assert layers is not None
        count = 1 if heads is None else len(heads)
        shape: tuple[int, ...] = (len(layers), count, len(positions))
        source = facts.tensors if self.type == "tensor" else facts.stats
        array = np.full((*shape, facts.width) if self.type == "tensor" else shape, np.nan)
        for place, layer in enumerate(layers):
            rows = source.get(self.name, {}).get(layer)  # ([head,] pos), or (pos, d_model)
            if rows is None:
                continue
            if heads is None:
                array[place, 0] = rows[positions]
            else:
                array[place] = rows[np.ix_(heads, positions)]
        return Cells(array, tuple(places))


@dataclass(frozen=True)
class Reference(Node):
    """The field in the selected trace."""

    field: Field | One

    def __str__(self) -> str:
        return f"${self.field}"

    @property
    def type(self) -> str:
        return self.field.type

    @property
    def axes(self) -> tuple[int, ...]:
        return self.field.axes

    def cells(self, scene: Scene) -> Cells:
        assert scene.world.selected is not None
        return self.field.cells(Scene(scene.world.selected, scene.world, scene.bound))
