"""Marks, tags and notes as fields: what the case says now, of all traces at once and of one."""

from collections.abc import Iterator

import pytest

from tensorshark.forensics.config import context
from tensorshark.forensics.filter import check, parse, values
from tensorshark.traces.case import Case
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic


@pytest.fixture
def capture(tmp_path: object) -> Capture:
    return write_synthetic(f"{tmp_path}/a.tshark", traces=8)


@pytest.fixture
def case(capture: Capture) -> Case:
    """1 and 2 suspect, 3 marked in a cell, 2 and 4 tagged, 5 with two notes."""
    case = Case.open(capture, write=True, sync=False)
    ids = capture.ids()
    case.mark(ids[0:2], "suspect")
    case.mark(ids[2:3], "odd", token=1, layer=2)
    case.tag([ids[1], ids[3]], "leak")
    case.tag([ids[3]], "jail break", token=0)
    case.note([ids[4]], "copies the system prompt")
    case.note([ids[4]], "again", token=3)
    case.mark(["0" * 16], "elsewhere")  # a trace that this capture does not have
    return case


@pytest.fixture
def index(capture: Capture) -> Iterator[Index]:
    with Index.open(capture) as index:
        yield index


@pytest.mark.parametrize(
    ("filter", "numbers"),
    [
        ("mark", [1, 2, 3]),
        ("not mark", [4, 5, 6, 7, 8]),
        ("mark == false", [4, 5, 6, 7, 8]),
        ("mark != true", [4, 5, 6, 7, 8]),
        ("mark.suspect", [1, 2]),
        ("mark.odd", [3]),
        ("mark.elsewhere", []),
        ("mark.nothing", []),
        ("not mark.nothing", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("has(mark.nothing)", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("mark in {true}", [1, 2, 3]),
        ("mark.suspect and seq_len > 0", [1, 2]),
        ("tag", [2, 4]),
        ("not tag", [1, 3, 5, 6, 7, 8]),
        ('tag == "leak"', [2, 4]),
        ('tag != "leak"', []),
        ('tag != "jail break"', [2]),
        ('all(tag) == "leak"', [2]),
        ('any(tag) != "leak"', [4]),
        ('tag contains "jail"', [4]),
        ('tag matches "^j.*k$"', [4]),
        ('tag in {"leak", "x"}', [2, 4]),
        ('tag not in {"leak"}', []),
        ("count(tag) == 2", [4]),
        ("count(tag) == 0", [1, 3, 5, 6, 7, 8]),
        ("len(tag) > 5", [4]),
        ("note", [5]),
        ('note contains "system" and note == "again"', [5]),
        ("count(note) == 2", [5]),
        ("mark.suspect and tag", [2]),
        ('mark or tag == "leak" or note', [1, 2, 3, 4, 5]),
        ('token[0] != "" and (mark or note)', [1, 2, 3, 5]),
    ],
)
def test_what_the_case_says_is_asked_like_any_field(
    index: Index, case: Case, filter: str, numbers: list[int]
) -> None:
    assert parse(filter).select(index, context=context(case)).tolist() == numbers


def test_without_a_case_nothing_is_marked(index: Index) -> None:
    assert parse("mark or tag or note").select(index).tolist() == []
    assert len(parse("not mark").select(index)) == 8
    assert values("mark", index, [1]) == [False]
    assert values("tag", index, [1]) == [[]]


def test_columns_show_them(index: Index, case: Case) -> None:
    def shown(text: str) -> list[object]:
        return list(values(text, index, [5, 4, 2], context=context(case)))

    assert shown("mark") == [False, False, True]
    assert shown("tag") == [[], ["jail break", "leak"], ["leak"]]
    assert shown("note") == [["again", "copies the system prompt"], [], []]


def test_a_change_counts_at_once(index: Index, case: Case, capture: Capture) -> None:
    found = parse("mark.late or tag == 'late'")
    assert found.select(index, context=context(case)).tolist() == []
    with Case.open(capture, write=True, sync=False) as other:
        other.mark(capture.ids()[6:7], "late")
        other.tag(capture.ids()[7:8], "late")
        assert found.select(index, context=context(case)).tolist() == [7, 8]
        other.undo()
    assert found.select(index, context=context(case)).tolist() == [7]


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ("mark", "traces marked"),
        ("not mark", "traces not marked"),
        ("mark.suspect", "traces marked suspect"),
        ("mark.suspect == false", "traces not marked suspect"),
        ("tag", "traces with a tag"),
        ("not note", "traces without a note"),
        ('tag == "leak"', "traces with a tag that is leak"),
        ('not note contains "x"', 'traces without a note that contains "x"'),
        ('tag != "leak"', "traces whose every tag differs from leak"),
    ],
)
def test_they_say_themselves(filter: str, words: str) -> None:
    assert parse(filter).words() == words


@pytest.mark.parametrize("filter", ["mark", "mark.x", 'tag == "x"', "has(note)", "count(tag) > 1"])
def test_one_trace_alone_has_no_case(filter: str, capture: Capture) -> None:
    found = parse(f"bos or {filter}")
    assert len(found.needs_index) == 1
    with pytest.raises(FilterError, match="in the case, cannot be told from one trace alone"):
        found.holds(capture.trace(capture.ids()[0]))


@pytest.mark.parametrize("filter", ["mark.a.b", "mark.é", "tags", "mark#3", "tag[0]", "mark > 3", "note > 3"])
def test_what_makes_no_sense_is_said(filter: str) -> None:
    assert check(filter).state in ("bad", "incomplete")
