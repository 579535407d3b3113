"""Counts and codes give the answers that SQL gives."""

from __future__ import annotations

import pytest

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.answers import shortcuts
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.filter.values import reader
from tensorshark.traces.index import Index

FILTERS = [
    'label.category == "injection"',
    'label.category == ""',
    'label.category != "fact"',
    'label.category in {"fact", "injection"}',
    'label.category not in {"fact"}',
    'label.category matches "^.n"',
    'label.category contains "nul"',
    "label.category",
    "label.nowhere",
    'label.nowhere == "x"',
    'label.category == "nothing has it"',
    'label."odd key"',
    "seq_len > 5",
    "seq_len in {3..9}",
    "seq_len",
    'model == "synthetic"',
    'model != "synthetic"',
    "bos",
    "seq_len >= 0",
    "number > 0",
]


@pytest.mark.parametrize("text", FILTERS)
def test_the_same_answer(odd_index: Index, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parse(text).select(odd_index).tolist()
    monkeypatch.setattr(shortcuts, "LARGE", 0)
    monkeypatch.setattr(reader, "_LARGE", 0)
    for _ in range(3):  # by SQL, by codes that are read now, by codes that are there
        forget(odd_index)
        assert parse(text).select(odd_index).tolist() == expected


def test_the_second_question_about_a_label_reads_all_of_it_and_the_third_nothing(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcuts, "LARGE", 0)
    asked: list[str] = []
    query = Index.query
    monkeypatch.setattr(Index, "query", lambda self, sql, *rest: asked.append(sql) or query(self, sql, *rest))

    def listing(value: str) -> list[str]:
        asked.clear()
        parse(f'label.category == "{value}"').select(index)
        return [sql for sql in asked if "group_concat" in sql]

    assert "GROUP BY" not in listing("injection")[0]
    assert "GROUP BY" in listing("fact")[0]
    assert listing("code") == []
    assert listing("injection") == []
    assert listing("no such value") == []


def test_a_label_that_all_have_is_not_listed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "LARGE", 0)
    asked: list[str] = []
    query = Index.query
    monkeypatch.setattr(Index, "query", lambda self, sql, *rest: asked.append(sql) or query(self, sql, *rest))
    assert len(parse('label.split == "demo" and label.category').select(index)) == 12
    assert not [sql for sql in asked if "group_concat" in sql]
