"""Thousands of generated filters: the engine and a naive evaluator over traces agree on every trace."""

import os

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tensorshark.forensics.filter import parse
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tests.forensics.filter.naive import Facts, facts_of, questions

EXAMPLES = int(os.environ.get("TENSORSHARK_FILTERS", "200"))


@pytest.fixture(scope="session")
def known(odd_capture: Capture) -> list[Facts]:
    return facts_of(odd_capture)


def test_the_odd_capture_is_odd(known: list[Facts]) -> None:
    # Otherwise what follows would show little.
    assert {facts.depth for facts in known} == {0, 2, 4}
    assert any("prompt" not in facts.one for facts in known)
    assert any(not facts.stats for facts in known if facts.depth)
    assert any("\0" in facts.one.get("prompt", "") for facts in known)
    assert any(facts.labels.get("category") == "" for facts in known)
    assert any("attn.entropy" not in facts.stats for facts in known if facts.stats)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_engine_and_naive_evaluator_agree(data: st.DataObject, odd_index: Index, known: list[Facts]) -> None:
    text, matches = data.draw(questions(known))
    note(text)
    expected = [facts.number for facts in known if matches(facts)]
    assert parse(text).select(odd_index).tolist() == expected
