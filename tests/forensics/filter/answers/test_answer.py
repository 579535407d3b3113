"""A scan shows what it finds while it goes on, can be stopped, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.filter import Cancelled, parse
from tensorshark.forensics.filter.answers import answer as answering
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.filter.values import corpus
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import write_synthetic

DEAR = "max(resid_post.norm#1) > 14"
"""Takes opening the traces; true of some."""


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty traces, so that a scan takes several looks."""
    return write_synthetic(tmp_path_factory.mktemp("answer") / "forty.tshark", traces=40).path


@pytest.fixture
def index(forty: Path) -> Iterator[Index]:
    """Its index, with nothing remembered."""
    from tensorshark.traces.store import Capture

    with Index.open(Capture.open(forty)) as index:
        forget(index)
        yield index


@pytest.fixture
def every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report whenever there is something to report."""
    monkeypatch.setattr(answering, "EVERY_S", 0.0)


@pytest.mark.usefixtures("every_look")
@pytest.mark.parametrize("text", [DEAR, f"{DEAR} or seq_len > 0", f'not {DEAR} and token != "x"'])
def test_matches_come_in_capture_order_while_the_scan_goes_on(index: Index, text: str) -> None:
    told: list[tuple[list[int], int, int]] = []
    found = parse(text).select(index, on_found=lambda *each: told.append((each[0].tolist(), *each[1:])))
    everything = found.tolist()
    assert everything
    if " or " in text:
        assert told == [], "the index answers it"
        return
    assert len(told) > 2
    for before, after in pairwise(told):
        assert after[0][: len(before[0])] == before[0], "what was shown stays where it is"
        assert before[1] < after[1] < after[2] == 40
    assert everything[: len(told[-1][0])] == told[-1][0]


def test_a_short_scan_reports_nothing(index: Index) -> None:
    told: list[int] = []
    parse("number < 5 and " + DEAR).select(index, on_found=lambda _, done, total: told.append(done))
    assert told == []


def opening(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the traces that are opened from now on."""
    opened: list[int] = []
    trace = Index.trace
    monkeypatch.setattr(Index, "trace", lambda self, number: opened.append(number) or trace(self, number))
    return opened


def test_a_scan_that_was_stopped_goes_on_where_it_was(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opening(monkeypatch)
    with pytest.raises(Cancelled):
        parse(DEAR).select(index, lambda: len(opened) >= 20)
    before = list(opened)
    assert 16 <= len(before) < 40
    found = parse(DEAR).select(index)
    assert sorted(set(opened)) == list(range(1, 41))
    assert len(opened) - len(before) <= 40 - 16, "whole looks are remembered"
    forget(index)
    assert parse(DEAR).select(index).tolist() == found.tolist()


def test_what_is_decided_is_not_asked(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opening(monkeypatch)
    parse(f'number > 30 and {DEAR} and token[0] == "nothing"').select(index)
    assert opened == list(range(31, 41)), "each once, for both questions"


def test_several_questions_open_each_trace_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opening(monkeypatch)
    parse(f'{DEAR} xor attn_out.norm > 1 xor token[0] == "nothing"').select(index)
    assert opened == list(range(1, 41))


def test_the_empty_filter_needs_no_scan(index: Index) -> None:
    assert np.array_equal(parse("").select(index, on_found=lambda *_: pytest.fail("told")), range(1, 41))


@pytest.mark.usefixtures("every_look")
@pytest.mark.parametrize("text", ["zscore(max(resid_post.norm#1)) > 1", "rank(max(resid_post.norm#1)) < 9"])
def test_what_all_traces_have_a_say_in_is_told_too(index: Index, text: str) -> None:
    told: list[tuple[int, int, int]] = []
    found = parse(text).select(index, on_found=lambda *each: told.append((len(each[0]), *each[1:])))
    assert 0 < len(found) < 40
    assert told[0] == (0, 1, 80), "forty traces to open for the mean or the places, and forty to compare"
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert {total for _, _, total in told} == {80}
    assert told[-1][1] < 80, "the end is the answer itself"


@pytest.mark.usefixtures("every_look")
def test_measuring_for_a_mean_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answering, corpus):
        monkeypatch.setattr(module, "_FEW", 8)
    told: list[tuple[int, int]] = []
    text = "zscore(max(lens.entropy#1)) > 1"
    parse(text).select(index, on_found=lambda _, done, total: told.append((done, total)))
    assert told[:5] == [(8, 80), (16, 80), (24, 80), (32, 80), (40, 80)]
