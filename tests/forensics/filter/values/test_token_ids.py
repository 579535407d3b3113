"""The id of the last token is looked up in the index, and is the one that the trace has."""

from __future__ import annotations

import pytest

from tensorshark.forensics.filter import parse, values
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.index import Index


def last_ids(index: Index) -> dict[int, int]:
    """Of every trace that can be read."""
    found = {}
    for number in range(1, len(index) + 1):
        try:
            ids = index.trace(number).token_ids
        except TensorsharkError:
            continue
        if ids:
            found[number] = ids[-1]
    return found


@pytest.mark.parametrize(
    "asked", ["> 20", "== {0}", "!= {0}", "in {{3..30}}", "not in {{{0}}}", ">= 0", "< 0"]
)
@pytest.mark.parametrize("quantifier", ["any", "all"])
def test_the_index_and_the_traces_agree(odd_index: Index, asked: str, quantifier: str) -> None:
    one = next(iter(last_ids(odd_index).values()))
    asked = asked.format(one)
    found = parse(f"{quantifier}(token.id[-1]) {asked}").select(odd_index).tolist()
    assert found == parse(f"{quantifier}(token.id[all[-1]]) {asked}").select(odd_index).tolist()


def test_it_is_there_where_the_trace_is(odd_index: Index) -> None:
    expected = last_ids(odd_index)
    assert parse("token.id[-1]").select(odd_index).tolist() == list(expected)
    every = list(range(1, len(odd_index) + 1))
    assert values("token.id[-1]", odd_index, every) == [expected.get(number) for number in every]


def test_no_token_is_read(odd_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    query = Index.query
    monkeypatch.setattr(Index, "query", lambda self, sql, *rest: asked.append(sql) or query(self, sql, *rest))
    parse("token.id[-1] > 3").select(odd_index)
    assert asked
    assert not any("token_ids" in sql for sql in asked)
