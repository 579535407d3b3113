"""One trace at a time: `Filter.holds`, which has no index to ask, answers as the whole capture does."""

import pytest

from tensorshark.forensics.filter import parse
from tensorshark.traces.errors import TensorsharkError
from tests.forensics.filter.naive.cells import Scene
from tests.forensics.filter.naive.generate import Generator
from tests.forensics.filter.naive.ground import FILTERS, Ground
from tests.forensics.filter.naive.language import LANGUAGE


def test_a_trace_alone_is_decided_as_among_others(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator = Generator(request.node.name, ground.known, LANGUAGE)
    capture = ground.index.capture
    opened = {}
    for facts in ground.known:
        try:
            opened[facts] = capture.trace(facts.id)
        except TensorsharkError:
            continue
    decided = 0
    for _ in range(FILTERS // 8):
        question = generator.question()
        filter = parse(str(question))
        if filter.needs_index or "integrity" in str(question) or "expert" in str(question):
            continue  # that a trace is damaged is a finding of the index
        for facts, trace in opened.items():
            expected = question.holds(Scene(facts, ground.world))
            assert filter.holds(trace) == expected, (str(question), facts)
        decided += 1
    assert decided > FILTERS // 16
