"""Answers are kept, added to when traces come in, and forgotten when they may be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.answers import kept
from tensorshark.forensics.filter.answers.kept import dependences, forget
from tensorshark.forensics.filter.answers.predicates import Comparison, Leaf
from tensorshark.forensics.filter.context import Context
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

FILTERS = (
    'label.category == "injection"',
    "resid_post.norm#1[-1] > 3",
    "resid_post.norm > 4.5",
    'prompt contains "Paris" or seq_len > 9',
    'prompt matches "P.ris" xor token.id[-1] > 20',
    'not (token[0] == "x" and mlp_out.norm#1 > 1)',
)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Ten traces; more can be added."""
    return write_synthetic(tmp_path / "x.tshark", traces=10)


def fresh(index: Index, text: str) -> list[int]:
    """The answer of somebody who remembers nothing."""
    with Index.open(Capture.open(index.capture.path)) as other:
        return parse(text).select(other).tolist()


class Counted:
    """How many traces were asked about, one by one or all at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: list[int] = []
        among, everywhere = Comparison.among, Comparison.everywhere
        monkeypatch.setattr(Comparison, "among", lambda *args: self.note(args[2]) or among(*args))
        monkeypatch.setattr(
            Comparison,
            "everywhere",
            lambda *args: self.note(range(1, args[1].count + 1)) or everywhere(*args),
        )

    def note(self, numbers: object) -> None:
        """Remember them."""
        self.numbers += np.asarray(numbers).tolist()


@pytest.mark.parametrize("text", FILTERS)
def test_only_what_came_since_is_asked(capture: Capture, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_AGAIN", 1)
    with Index.open(capture) as index:
        parse(text).select(index)
        counted = Counted(monkeypatch)
        assert parse(text).select(index).tolist() == fresh(index, text)
        counted.numbers.clear()
        assert parse(text).select(index) is not None
        assert counted.numbers == []
        append_synthetic(capture, traces=3, seed=5)
        index.refresh()
        found = parse(text).select(index).tolist()
        assert set(counted.numbers) <= {11, 12, 13}
        assert found == fresh(index, text)


def test_traces_that_come_in_between_make_all_be_asked_again(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=3)
    hidden = next((capture.path / "journal").iterdir())
    append_synthetic(capture, traces=5, seed=5)
    aside = hidden.rename(tmp_path / hidden.name)  # as on a network disk that shows a new file late
    text = 'token[-1] != "nothing" and resid_post.norm#1 > 11 or prompt contains "northern" xor number > 2'
    with Index.open(Capture.open(capture.path)) as index:
        assert len(index) == 5
        parse(text).select(index)
        aside.rename(hidden)
        index.refresh()
        assert len(index) == 8
        assert parse(text).select(index).tolist() == fresh(index, text)


def test_an_index_that_was_made_again_is_asked_again(capture: Capture) -> None:
    with Index.open(capture) as index:
        text = "resid_post.norm#1[-1] > 3"
        found = parse(text).select(index).tolist()
        before = index.generation
        index._keeper.recover(before)
        assert index.generation is not before
        assert parse(text).select(index).tolist() == found


def test_memory_is_bounded(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BYTES", 20)
    with Index.open(capture) as index:
        for limit in range(30):
            parse(f"seq_len > {limit}").select(index)
        store = kept._stores[index]
        assert store.size == sum(packed.size for packed in store.packed.values()) <= 20
        assert len(store.packed) == 10  # asked of all traces: one bit each, in two bytes
        forget(index)
        assert index not in kept._stores


class Whole(Comparison, frozen=True):
    """A comparison whose answer about a trace depends on the others, the case or the selected trace."""

    depends = frozenset(("capture",))


class Marked(Comparison, frozen=True):
    depends = frozenset(("case",))


class Relative(Comparison, frozen=True):
    depends = frozenset(("selected",))


def leaf(kind: type[Leaf]) -> Leaf:
    """The only comparison of a filter, as another class."""
    (found,) = parse("seq_len > 5").predicate.leaves()
    return kind(*(getattr(found, name) for name in found.__struct_fields__))


@pytest.mark.parametrize(
    ("kind", "again", "grown", "elsewhere"),
    [(Comparison, 0, 1, 0), (Whole, 0, 11, 0), (Marked, 10, 11, 10), (Relative, 0, 1, 10)],
)
def test_what_answers_depend_on_beside_the_trace(
    capture: Capture,
    kind: type[Leaf],
    again: int,
    grown: int,
    elsewhere: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tensorshark.forensics.filter.display import Filter

    asked = Filter("", leaf(kind))
    with Index.open(capture) as index:
        asked.select(index)
        counted = Counted(monkeypatch)
        asked.select(index)
        assert len(counted.numbers) == again
        counted.numbers.clear()
        asked.select(index, context=Context(selected=3))
        assert len(counted.numbers) == elsewhere
        append_synthetic(capture, traces=1, seed=5)
        index.refresh()
        counted.numbers.clear()
        asked.select(index)
        assert len(counted.numbers) == grown


def test_what_a_leaf_is_made_of_counts(capture: Capture) -> None:
    (plain,) = parse("max(resid_post.norm) > 5").predicate.leaves()
    assert dependences(plain) == frozenset()
    assert dependences((plain, (leaf(Whole), leaf(Relative)))) == {"capture", "selected"}


def test_a_filter_that_was_answered_is_not_slow_any_more(capture: Capture) -> None:
    with Index.open(capture) as index:
        asked = parse("max(resid_post.norm) > 3 and seq_len > 1")
        assert asked.cost(index).traces == 10
        asked.select(index)
        assert asked.cost(index).seconds == 0
        append_synthetic(capture, traces=1, seed=5)
        index.refresh()
        assert asked.cost(index).traces > 0
