"""What the values of the language are, a second time: cells with axes (layer, head, pos), absent or there.

Written from docs/filter.md and not from the engine. Every node says itself as a person would type it
(`str(node)`) and what its cells are in one trace (`node.cells(scene)`).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.forensics.filter.naive.facts import Facts, World

LAYER, HEAD, POS = AXES = (0, 1, 2)
"""Their places in an array of cells."""


@dataclass(frozen=True)
class Cells:
    """The cells of a value in one trace."""

    array: NDArray[Any]
    """(layer, head, pos), for tensors (layer, head, pos, d_model): float64 with NaN, or objects with None,
    where absent; size 1 along an axis that the value does not have."""
    places: tuple[list[int] | None, ...] = (None, None, None)
    """Per axis: which layers, heads or positions these are; None: it does not have the axis."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which cells are present (layer, head, pos)."""
        if self.array.dtype == object:
            return np.array([x is not None for x in self.array.ravel()], bool).reshape(self.array.shape)
        present = ~np.isnan(self.array)
        return present.all(axis=-1) if present.ndim == 4 else present

    def present(self) -> list[Any]:
        """The cells that are there, in order."""
        found: list[Any] = self.array[self.there].tolist()
        return found


@dataclass(frozen=True)
class Scene:
    """Where a value is asked for."""

    facts: Facts
    world: World
    bound: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Variable of any(l, p: …) -> layer, head or position."""


def one(value: Any) -> Cells:
    """A value without axes; None: absent."""
    if value is None or isinstance(value, str):
        array = np.empty((1, 1, 1), object)
        array[0, 0, 0] = value
        return Cells(array)
    return Cells(np.full((1, 1, 1), float(value)))


def several(values: list[Any]) -> Cells:
    """Values that have no axis between them."""
    array = np.empty((1, 1, len(values)), object)
    array[0, 0, :] = values
    return Cells(array)


# Selections


@dataclass(frozen=True)
class Pick:
    """What stands behind a field along one axis."""

    text: str
    """Without `#`, `:` or brackets when it is one number; else what stands in the brackets."""
    of: Callable[[int, Mapping[str, slice]], list[int]]
    single: bool = False
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
        value = scene.facts.one.get(self.name)
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
                bare = pick.single or pick.variable
                said += mark + (pick.text if bare else f"[{pick.text}]")
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


# Arithmetic


def paired(ours: Cells, theirs: Cells) -> tuple[NDArray[Any], NDArray[Any], tuple[list[int] | None, ...]]:
    """Both sides' cells, nth beside nth; a side with one cell along an axis is repeated.

    Where the numbers of cells differ there are none.
    """
    left, right = ours.array, theirs.array
    places = []
    for axis in AXES:
        a, b = left.shape[axis], right.shape[axis]
        if a != b and 1 not in (a, b):
            left, right = left.take([], axis=axis), right.take([], axis=axis)
        elif a != b and a == 1:
            left = left.repeat(b, axis=axis)
        elif a != b:
            right = right.repeat(a, axis=axis)
        mine, its = ours.places[axis], theirs.places[axis]
        places.append(its if mine is None or (its is not None and a == 1 and b != 1) else mine)
    if left.ndim != right.ndim:
        left, right = (array if array.ndim == 4 else array[..., None] for array in (left, right))
    return left, right, tuple(places)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
}
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}


@dataclass(frozen=True)
class Arithmetic(Node):
    """`left operator right`."""

    operator: str
    left: Node
    right: Node

    def __str__(self) -> str:
        mine = _BINDS[self.operator]
        left = f"({self.left})" if binds(self.left) < mine else str(self.left)
        right = f"({self.right})" if binds(self.right) <= mine else str(self.right)
        return f"{left} {self.operator} {right}"

    @property
    def type(self) -> str:
        return "tensor" if "tensor" in (self.left.type, self.right.type) else "number"

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(sorted({*self.left.axes, *self.right.axes}))

    @property
    def exact(self) -> bool:
        return self.left.exact and self.right.exact

    def cells(self, scene: Scene) -> Cells:
        left, right, places = paired(self.left.cells(scene), self.right.cells(scene))
        with np.errstate(all="ignore"):
            return Cells(OPERATIONS[self.operator](left, right), places)


@dataclass(frozen=True)
class Negative(Node):
    """`-value`."""

    value: Node

    def __str__(self) -> str:
        return f"-{self.value}" if binds(self.value) == 4 else f"-({self.value})"

    @property
    def axes(self) -> tuple[int, ...]:
        return self.value.axes

    @property
    def exact(self) -> bool:
        return self.value.exact

    def cells(self, scene: Scene) -> Cells:
        inner = self.value.cells(scene)
        return Cells(-inner.array, inner.places)


def binds(node: Node) -> int:
    """How closely the outermost operator of a value binds; 4: it has none."""
    if isinstance(node, Arithmetic):
        return _BINDS[node.operator]
    if isinstance(node, Constant):
        return 3
    return 3 if isinstance(node, Negative) else 4


# Functions


def mean(values: list[float]) -> float:
    """Without a loss of digits, where all are finite."""
    return sum(values) / len(values) if any(map(math.isinf, values)) else statistics.fmean(values)


def std(values: list[float]) -> float:
    """Of the values as a whole."""
    return math.nan if any(map(math.isinf, values)) else statistics.pstdev(values)


def entropy(values: list[float]) -> float:
    """In nats, of the values as shares of their sum."""
    total = math.fsum(values) if all(map(math.isfinite, values)) else math.nan
    if not total > 0 or min(values) < 0:
        return math.nan
    return -math.fsum(v / total * math.log(v / total) for v in values if v / total > 0)


REDUCE: dict[str, Callable[[list[Any]], float]] = {
    "max": max,
    "min": min,
    "mean": mean,
    "median": lambda values: float(np.median(values)),
    "sum": lambda values: sum(values) if any(map(math.isinf, values)) else math.fsum(values),
    "std": std,
    "entropy": entropy,
}
EACH: dict[str, Callable[[Any], Any]] = {"abs": abs, "len": len, "lower": str.lower, "upper": str.upper}


@dataclass(frozen=True)
class Reduced(Node):
    """One value of several: max, mean, count, quantile, …"""

    name: str
    inner: Node
    share: float | None = None
    """Of quantile(…)."""

    def __str__(self) -> str:
        return f"{self.name}({self.inner}{'' if self.share is None else f', {self.share}'})"

    @property
    def exact(self) -> bool:
        return self.name == "count" or (
            self.inner.exact and self.name in ("max", "min", "median", "argmax", "argmin")
        )

    def cells(self, scene: Scene) -> Cells:
        inner = self.inner.cells(scene)
        if self.name == "count":
            return one(len(inner.present()))
        if self.name in ("argmax", "argmin"):
            return one(self._place(inner))
        heads_first = isinstance(self.inner, Field) and self.inner.has[HEAD] and self.inner.head is None
        if self.name == "mean" and heads_first:
            inner = Cells(np.array([[[over_heads(row)] for row in layer.T] for layer in inner.array]))
        values = inner.present()
        if not values:
            return one(math.nan)
        with np.errstate(all="ignore"):
            if self.share is not None:
                return one(float(np.quantile(values, self.share)))
            return one(REDUCE[self.name](values))

    def _place(self, inner: Cells) -> float:
        """The index along the one axis that is left."""
        (axis,) = self.inner.axes
        places, there = inner.places[axis], inner.there
        assert places is not None
        if not there.any():
            return math.nan
        best = (max if self.name == "argmax" else min)(inner.present())
        line = np.moveaxis(inner.array, axis, 0).reshape(len(places), -1)[:, 0].tolist()
        return places[line.index(best)]


def over_heads(row: NDArray[Any]) -> float:
    """The mean over heads, as the index holds it: absent where a head's value is."""
    values: list[float] = row.tolist()
    return mean(values) if values and not any(map(math.isnan, values)) else math.nan


@dataclass(frozen=True)
class Each(Node):
    """A function of each cell: abs, len, lower, upper."""

    name: str
    inner: Node

    def __str__(self) -> str:
        return f"{self.name}({self.inner})"

    @property
    def type(self) -> str:
        return "text" if self.name in ("lower", "upper") else "number"

    @property
    def axes(self) -> tuple[int, ...]:
        return self.inner.axes

    @property
    def exact(self) -> bool:
        return self.inner.exact

    def cells(self, scene: Scene) -> Cells:
        inner = self.inner.cells(scene)
        number = self.type == "number"
        array = np.full(inner.array.shape, np.nan if number else None, np.float64 if number else object)
        for place in np.argwhere(inner.there).tolist():
            array[tuple(place)] = EACH[self.name](inner.array[tuple(place)])
        return Cells(array, inner.places)


@dataclass(frozen=True)
class Measured(Node):
    """Numbers of tensors: norm(t), cos(t, u), dist(t, u)."""

    name: str
    left: Node
    right: Node | None = None

    def __str__(self) -> str:
        return f"{self.name}({self.left}{'' if self.right is None else f', {self.right}'})"

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(sorted({*self.left.axes, *(self.right.axes if self.right else ())}))

    @property
    def exact(self) -> bool:
        return False

    def cells(self, scene: Scene) -> Cells:
        ours = self.left.cells(scene)
        if self.right is None:
            return Cells(np.sqrt((ours.array**2).sum(-1)), ours.places)
        left, right, places = paired(ours, self.right.cells(scene))
        with np.errstate(all="ignore"):
            if self.name == "dist":
                return Cells(np.sqrt(((left - right) ** 2).sum(-1)), places)
            lengths = np.sqrt((left**2).sum(-1)) * np.sqrt((right**2).sum(-1))
            return Cells((left * right).sum(-1) / np.where(lengths > 0, lengths, np.nan), places)


# Functions of all traces


@dataclass(frozen=True)
class Zscore(Node):
    """How many standard deviations from the mean of all traces, or of those that match `over`."""

    inner: Node
    over: Any = None
    """A question."""

    def __str__(self) -> str:
        return f"zscore({self.inner}{'' if self.over is None else f', over={self.over}'})"

    @property
    def axes(self) -> tuple[int, ...]:
        return self.inner.axes

    @property
    def exact(self) -> bool:
        return False

    def cells(self, scene: Scene) -> Cells:
        inner = self.inner.cells(scene)
        array = np.full(inner.array.shape, np.nan)
        groups: dict[tuple[int, ...], list[float]] = {}
        for facts in scene.world.known:
            other = Scene(facts, scene.world)
            if self.over is None or self.over.holds(other):
                theirs = self.inner.cells(other)
                for place in np.argwhere(theirs.there).tolist():
                    groups.setdefault(tuple(place), []).append(float(theirs.array[tuple(place)]))
        for place in map(tuple, np.argwhere(inner.there).tolist()):
            values = groups.get(place, [])
            deviation = std(values) if values else math.nan
            if deviation > 0:
                array[place] = (inner.array[place] - mean(values)) / deviation
        return Cells(array, inner.places)


@dataclass(frozen=True)
class Rank(Node):
    """The place of the trace's value among all traces, 1 = the largest."""

    inner: Node

    def __str__(self) -> str:
        return f"rank({self.inner})"

    @property
    def exact(self) -> bool:
        return self.inner.exact

    def cells(self, scene: Scene) -> Cells:
        mine = self.inner.cells(scene).present()
        if not mine:
            return one(math.nan)
        scenes = (Scene(facts, scene.world) for facts in scene.world.known)
        values = [value for each in scenes for value in self.inner.cells(each).present()]
        return one(1 + sum(value > mine[0] for value in values))
