"""Selections are kept as long as they are true: until a trace comes, or something is said about one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tensorshark.forensics.engine import Engine
from tensorshark.forensics.rpc.lanes import Task
from tensorshark.forensics.rpc.selections import KEPT, Selections
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

TASK = Task(1, "rows")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Twelve traces, nothing said about them."""
    with Engine(write_synthetic(tmp_path / "c.tshark", traces=12).path) as engine:
        yield engine


def test_the_same_question_is_answered_once(engine: Engine) -> None:
    selections = Selections(engine)
    assert not selections.known("seq_len > 3", "", False)
    first = selections.get("seq_len > 3", task=TASK)
    assert selections.known("seq_len > 3", "", False)
    assert selections.get("seq_len > 3", task=TASK) is first
    assert selections.get("seq_len > 3", descending=True, task=TASK)[0] == 12
    assert selections.get("seq_len > 3", "seq_len", task=TASK) is not first


def test_a_new_trace_is_in_the_next_answer(engine: Engine) -> None:
    selections = Selections(engine)
    assert len(selections.get("", task=TASK)) == len(selections.get("seq_len > 0", task=TASK)) == 12
    append_synthetic(engine.capture, traces=2, seed=7)
    engine.refresh()
    assert len(selections.get("", task=TASK)) == len(selections.get("seq_len > 0", task=TASK)) == 14


def test_what_is_said_is_in_the_next_answer(engine: Engine) -> None:
    selections = Selections(engine)
    engine.case.define_macro("odd", "seq_len > 99")
    assert selections.get("mark.odd or ${odd}", task=TASK).tolist() == []
    engine.case.mark(engine.ids([3]), "odd")
    assert selections.get("mark.odd or ${odd}", task=TASK).tolist() == [3]
    engine.case.define_macro("odd", "number == 5")
    assert selections.get("mark.odd or ${odd}", task=TASK).tolist() == [3, 5]


def test_each_selected_trace_has_an_answer_of_its_own(engine: Engine) -> None:
    selections = Selections(engine)
    text = "number == $number"
    for number in (2, 4, 2):
        assert selections.get(text, selected=number, task=TASK).tolist() == [number]


def test_few_are_kept(engine: Engine) -> None:
    selections = Selections(engine)
    for least in range(KEPT + 1):
        selections.get(f"seq_len > {least}", task=TASK)
    assert not selections.known("seq_len > 0", "", False)
    assert selections.known("seq_len > 1", "", False)
