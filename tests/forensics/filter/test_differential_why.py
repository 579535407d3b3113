"""Why a trace matches: every cell that is listed is one that satisfies the clause, and the count is right."""

from typing import Any

import numpy as np
import pytest

from tensorshark.forensics.filter import parse
from tests.forensics.filter.naive.cells import Scene
from tests.forensics.filter.naive.fields import Field
from tests.forensics.filter.naive.generate import Generator
from tests.forensics.filter.naive.ground import FILTERS, Ground
from tests.forensics.filter.naive.questions import Asked, matching

Place = tuple[int | None, ...]


def test_the_cells_that_are_listed_satisfy_the_clause(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator = Generator(request.node.name, ground.known, frozenset())
    known = {facts.number: facts for facts in ground.known}
    for _ in range(FILTERS // 10):
        value = generator.choice((generator.signal, generator.words, generator.token_ids))({})
        ask = generator.asked_text if value.type == "text" else generator.asked_number
        question = ask(value)
        if not isinstance(question, Asked):
            continue
        numbers = matching(question, ground.world)
        for number, found in zip(numbers, parse(str(question)).why(ground.index, numbers), strict=True):
            (why,) = found
            expected = satisfying(question, Scene(known[number], ground.world))
            said = (str(question), number)
            assert why.true and why.clause == str(question), said
            assert why.count == len(expected), said
            assert why.cells, said
            for cell in why.cells:
                assert expected[cell.layer, cell.head, cell.token] == cell.value, said


def satisfying(question: Asked, scene: Scene) -> dict[Place, Any]:
    """Place (layer, head, position) -> value of the cells that satisfy the question."""
    assert isinstance(question.value, Field)
    cells = question.value.cells(scene)
    found = {}
    for at in np.argwhere(cells.there).tolist():
        value = cells.array[tuple(at)]
        if question.test.of(value):
            place = tuple(None if axis is None else axis[i] for axis, i in zip(cells.places, at, strict=True))
            found[place] = value
    return found
