"""Thousands of filters at random: the engine and a naive evaluator over traces agree on every trace.

`TENSORSHARK_FILTERS` says how many a capture is asked; every run asks the same. A filter on which they differ
is made small before it is shown.
"""

import pytest

from tensorshark.forensics.filter import parse
from tensorshark.traces.errors import FilterError
from tensorshark.traces.store import Capture
from tests.forensics.filter.naive.facts import facts_of
from tests.forensics.filter.naive.fields import One
from tests.forensics.filter.naive.generate import Generator
from tests.forensics.filter.naive.ground import FILTERS, Ground
from tests.forensics.filter.naive.language import LANGUAGE
from tests.forensics.filter.naive.questions import Logic, Not, Question, Truth, matching
from tests.forensics.filter.naive.shrink import shrunk


def test_the_odd_capture_is_odd(odd_capture: Capture) -> None:
    # Otherwise what follows would show little.
    known = facts_of(odd_capture)
    assert {facts.depth for facts in known} == {0, 2, 4}
    assert any("prompt" not in facts.one for facts in known)
    assert any(not facts.stats for facts in known if facts.depth)
    assert any("\0" in facts.one.get("prompt", "") for facts in known)
    assert any(facts.labels.get("category") == "" for facts in known)
    assert any("attn.entropy" not in facts.stats for facts in known if facts.stats)


def test_engine_and_naive_evaluator_agree(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator = Generator(request.node.name, ground.known, LANGUAGE)
    for _ in range(FILTERS):
        question = generator.question()
        if _differ(question, ground):
            small = shrunk(question, lambda smaller: _refused(smaller) is None and _differ(smaller, ground))
            pytest.fail(_said(small, ground))


def test_a_macro_means_what_its_text_means(ground: Ground, request: pytest.FixtureRequest) -> None:
    generator = Generator(request.node.name, ground.known, LANGUAGE)
    for _ in range(FILTERS // 20):
        question, bos = generator.question(), Truth(One("bos", "truth"))
        macros = {"ours": f"({question})", "both": "(${ours} and $1)"}
        filter = parse("${both(bos)} or not ${ours}", macros)
        meant = Logic("or", (Logic("and", (question, bos)), Not(question, "not ")))
        found = filter.select(ground.index, context=ground.context).tolist()
        assert found == matching(meant, ground.world), macros


def _refused(question: Question) -> FilterError | None:
    try:
        parse(str(question))
    except FilterError as error:
        return error
    return None


def _differ(question: Question, ground: Ground) -> bool:
    expected = matching(question, ground.world)
    return parse(str(question)).select(ground.index, context=ground.context).tolist() != expected


def _said(question: Question, ground: Ground) -> str:
    """The filter, and the traces on which they differ."""
    expected = matching(question, ground.world)
    found = parse(str(question)).select(ground.index, context=ground.context).tolist()
    engine, naive = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    return f"{question}\n  engine only: {engine}\n  naive only: {naive}"
