"""The plan: what answers each clause, in which order, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.filter.answers.plan import Step
from tensorshark.traces.index import Index


def clauses(step: Step) -> Iterator[Step]:
    """Those of a tree, left to right."""
    if step.kind == "clause":
        yield step
    for part in step.parts:
        yield from clauses(part)


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ('label.category == "x"', "index: SQL"),
        ("seq_len > 3", "index: SQL"),
        ('expert.code == "bos"', "index: SQL"),
        ('prompt contains "abc"', "index: trigrams"),
        ('prompt contains "ab"', "index: a look at every text"),
        ('prompt matches "abc.d"', "index: trigrams, then RE2"),
        ('prompt matches "a|b"', "index: RE2 at every text"),
        ('prompt == "abc"', "index: trigrams, then a look"),
        ("resid_post.norm#1[-1] > 3", "column resid_post.norm, layer 1"),
        ("any(resid_post.norm[-1]) > 3", "column resid_post.norm, every layer"),
        ("max(resid_post.norm) > 3", "statistics files"),
        ("attn.entropy:0[-1] > 3", "statistics files"),
        ("token.id[0] == 3", "index: token ids"),
        ('token[0] == "x"', "manifests"),
        ("resid_post#1", "tensors"),
        ("resid_post.norm#1[-1] > attn_out.norm[0]", "column resid_post.norm, layer 1; statistics files"),
        ("lens.p#1[-1] > 0.5", "analyzer lens"),
    ],
)
def test_what_answers_a_clause(index: Index, text: str, by: str) -> None:
    (step,) = clauses(parse(text).explain(index).tree)
    assert step.clause == text
    assert step.by.startswith(by.removesuffix("lens"))


def test_the_tree_is_that_of_the_filter_and_cheap_clauses_come_first(index: Index) -> None:
    text = 'token[0] == "x" and (max(resid_post.norm) > 3 or not seq_len > 2) xor label.category == "fact"'
    plan = parse(text).explain(index)
    assert plan.total == 12
    assert plan.tree.kind in ("xor", "and")
    steps = list(clauses(plan.tree))
    assert sorted(step.turn for step in steps) == [1, 2, 3, 4]
    turns = {step.clause: step.turn for step in steps}
    assert turns['token[0] == "x"'] > turns["seq_len > 2"] < turns["max(resid_post.norm) > 3"]
    assert plan.seconds == pytest.approx(sum(step.seconds for step in steps))
    assert plan.seconds > 0
    assert msgspec.json.decode(msgspec.json.encode(plan))["tree"]["kind"] == plan.tree.kind


def test_a_label_says_how_many_traces_are_in_question(index: Index) -> None:
    label, norm = clauses(parse('label.category == "fact" and max(resid_post.norm) > 3').explain(index).tree)
    assert label.opens == label.bytes == 0
    assert norm.traces == norm.opens == 2
    assert norm.bytes > 2 * sum(file.size for file in index.trace(1).manifest.files if "stats" in file.name)
    (alone,) = clauses(parse("max(resid_post.norm) > 3").explain(index).tree)
    assert alone.opens == 12


def test_what_is_remembered_is_not_read_again(index: Index) -> None:
    forget(index)
    asked = parse("max(resid_post.norm) > 3")
    (before,) = clauses(asked.explain(index).tree)
    asked.select(index)
    (after,) = clauses(asked.explain(index).tree)
    assert (before.known, before.opens) == (0, 12)
    assert (after.known, after.opens, after.bytes) == (12, 0, 0)
    assert after.seconds < before.seconds


def test_the_empty_filter_takes_nothing(index: Index) -> None:
    plan = parse("").explain(index)
    assert (plan.words, plan.tree.kind, plan.seconds) == ("all traces", "all", 0.0)
