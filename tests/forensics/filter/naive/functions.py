"""Arithmetic and the functions of the language, a second time, as docs/filter.md has them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.forensics.filter.naive.cells import HEAD, Cells, Scene, one, paired
from tests.forensics.filter.naive.facts import World
from tests.forensics.filter.naive.fields import Constant, Field, Node

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


def quantile(values: list[float], share: float) -> float:
    """Between two neighbours in proportion."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    if place == low or ordered[low] == ordered[low + 1]:
        return ordered[low]
    return ordered[low] * (low + 1 - place) + ordered[low + 1] * (place - low)


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
                return one(quantile(values, self.share))
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
    def many(self) -> bool:
        return self.inner.many

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
        if left.shape[-1] != right.shape[-1]:  # of a model of another width, or of a trace that is damaged
            left = np.full(left.shape[:3] + right.shape[-1:], np.nan)
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
        moments = scene.world.once.get(str(self))
        if moments is None:
            moments = scene.world.once[str(self)] = self._moments(scene.world)
        for place in np.argwhere(inner.there).tolist():
            average, deviation = moments.get(tuple(place), (math.nan, math.nan))
            if deviation > 0:
                array[tuple(place)] = (inner.array[tuple(place)] - average) / deviation
        return Cells(array, inner.places)

    def _moments(self, world: World) -> dict[tuple[int, ...], tuple[float, float]]:
        """Place of a cell -> mean and standard deviation of what the traces have there."""
        groups: dict[tuple[int, ...], list[float]] = {}
        for facts in world.known:
            other = Scene(facts, world)
            if self.over is None or self.over.holds(other):
                theirs = self.inner.cells(other)
                for place in np.argwhere(theirs.there).tolist():
                    groups.setdefault(tuple(place), []).append(float(theirs.array[tuple(place)]))
        return {place: (mean(values), std(values)) for place, values in groups.items()}


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
        values = scene.world.once.get(str(self))
        if values is None:
            scenes = (Scene(facts, scene.world) for facts in scene.world.known)
            values = [value for each in scenes for value in self.inner.cells(each).present()]
            scene.world.once[str(self)] = values
        return one(1 + sum(value > mine[0] for value in values))
