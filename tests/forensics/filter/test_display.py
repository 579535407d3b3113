"""A filter as others use it: states, costs, hints, and what Capture.select goes through."""

import time

import pytest

from tensorshark.forensics.filter import Cost, check, display, docs, parse
from tensorshark.forensics.filter.display import select
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ('label.category == "fact"', "ok"),
        ('label.category == "fa', "incomplete"),
        ("label.category == 3", "bad"),
        ("captured_at > 2026-01-01", "old"),
    ],
)
def test_states(index: Index, text: str, state: str) -> None:
    found = check(text, index)
    assert found.state == state
    assert bool(found.words) == (state in ("empty", "ok", "old"))
    assert bool(found.reason) == (state in ("incomplete", "bad", "old"))


def test_slow_says_how_much_there_is_to_read(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "SLOW_SECONDS", 0.001)
    found = check("resid_post.norm#1 > 3", index)
    assert found.state == "slow"
    assert "opens 12 traces" in found.reason and "kB" in found.reason
    assert found.words
    assert "opens 2 traces" in check('label.category == "fact" and resid_post.norm#1 > 3', index).reason
    assert check("resid_post.norm#1[-1] > 3", index).state == "ok"
    monkeypatch.setattr(display, "SLOW_SECONDS", 1e-6)
    found = check('prompt matches "x"', index)
    assert (found.state, found.reason) == ("slow", "looks at 12 rows of the index one by one, about 1 s")


def test_hints_about_what_a_capture_does_not_have(index: Index) -> None:
    assert check('label.categry == "fact"', index).reason == "no trace here has label.categry"
    assert check('label.category == "fcat"', index).reason == "no trace here has this value of label.category"
    assert check("resid_post.norm#12[-1] > 3", index).reason == "resid_post.norm has layers 0 to 3 here"
    assert check('label.category == "fact" and resid_post.norm#3[-1] > 3', index).reason == ""


def test_costs(index: Index) -> None:
    assert parse('label.category == "fact" and resid_post.norm[-1] > 3').cost(index) == Cost(True, 0, 0)
    stats = parse("resid_post.norm#1 > 3").cost(index)
    manifest = parse('token[0] == "x"').cost(index)
    assert (stats.index_only, stats.traces, manifest.traces) == (False, 12, 12)
    assert stats.bytes > manifest.bytes > 0
    assert (
        parse('(label.category == "fact" or label.category == "code") and token == "x"').cost(index).traces
        == 4
    )


@pytest.mark.parametrize("text", docs.examples())
def test_a_check_takes_at_most_five_milliseconds(index: Index, text: str) -> None:
    check(text, index)
    best = min(_seconds(text, index) for _ in range(5))
    assert best < 0.005


def _seconds(text: str, index: Index) -> float:
    before = time.process_time()
    check(text, index)
    return time.process_time() - before


def test_a_capture_selects_through_the_entry_point(demo: Capture) -> None:
    found = [trace.number for trace in demo.select('label.category == "injection"')]
    assert found == [2, 8]
    assert list(select(demo, "number in {3..4}")) == demo.ids()[2:4]
    with pytest.raises(FilterError):
        list(demo.select("nonsense > 3"))
