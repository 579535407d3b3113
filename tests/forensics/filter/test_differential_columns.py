"""Values at random as columns and sort keys: the engine shows and orders what a naive evaluator finds."""

import itertools
import math
from typing import Any

import pytest

from tensorshark.forensics.filter import sort_key, values
from tests.forensics.filter.naive.cells import Cells, Scene
from tests.forensics.filter.naive.fields import Node
from tests.forensics.filter.naive.generate import Generator
from tests.forensics.filter.naive.ground import FILTERS, Ground
from tests.forensics.filter.naive.language import LANGUAGE


def test_columns_show_every_cell(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator, world = Generator(request.node.name, ground.known, LANGUAGE), ground.world
    numbers = [facts.number for facts in ground.known]
    for _ in range(FILTERS // 4):
        node = generator.value()
        shown = values(str(node), ground.index, numbers, context=ground.context)
        for facts, found in zip(ground.known, shown, strict=True):
            if node.many and isinstance(found, list):
                found.sort()  # findings have no order
            expected = shown_of(node, node.cells(Scene(facts, world)))
            assert same(bare(found), bare(expected), node.exact), (str(node), facts)


def test_sorting_follows_the_values(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator, world = Generator(request.node.name, ground.known, LANGUAGE), ground.world
    for _ in range(FILTERS // 8):
        node = generator.single()
        chosen = [facts for facts in ground.known if generator.chance(0.8)]
        present = {f.number: node.cells(Scene(f, world)).present() for f in chosen}
        descending = generator.chance(0.5)
        order = (
            sort_key(str(node))
            .order(ground.index, [f.number for f in chosen], descending, context=ground.context)
            .tolist()
        )
        absent = [number for number, found in present.items() if not found]
        assert order[len(order) - len(absent) :] == absent, str(node)
        there = order[: len(order) - len(absent)]
        assert sorted(there + absent) == sorted(present), str(node)
        keys = {number: found[0] for number, found in present.items() if found}
        for before, after in itertools.pairwise(there):
            first, second = (keys[after], keys[before]) if descending else (keys[before], keys[after])
            near = not node.exact and math.isclose(first, second, rel_tol=1e-5, abs_tol=1e-6)
            assert first < second or near or (first == second and before < after), (str(node), before, after)


def shown_of(node: Node, cells: Cells) -> Any:
    """As a column holds it: one value, or a list nested by the axes that are left."""
    there = cells.there

    def nested(place: tuple[int, ...], axes: tuple[int, ...]) -> Any:
        if axes:
            size = cells.array.shape[axes[0]]
            return [nested((*place[: axes[0]], i, *place[axes[0] + 1 :]), axes[1:]) for i in range(size)]
        return cells.array[place] if 0 not in cells.array.shape and there[place] else None

    if node.many:
        return sorted(cells.present())
    return nested((0, 0, 0), node.axes)


def bare(shown: Any) -> Any:
    """Without gaps at the end: beside a deep model a shallow one may have as many layers as that."""
    if not isinstance(shown, list):
        return shown
    parts = [bare(part) for part in shown]
    while parts and parts[-1] is None:
        parts.pop()
    return parts or None


def same(found: Any, expected: Any, exact: bool) -> bool:
    """Equal, but for the last digits of what was summed."""
    if isinstance(found, list) and isinstance(expected, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same(a, b, exact) for a, b in pairs)
    if exact or found is None or expected is None or isinstance(expected, str):
        return bool(found == expected)
    return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-6)
