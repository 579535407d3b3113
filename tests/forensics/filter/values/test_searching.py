"""Patterns looked for in many texts at once find what they find in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.values import searching
from tensorshark.forensics.filter.values.relations import Matches
from tensorshark.forensics.filter.values.searching import search, searchable
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import write_synthetic

TEXTS = [
    "abc abd\nxyz", "", "a", "ABC", "é日本語🦈 ende", "nul\0in the middle", "line\r\nend\n", "K ſ k s",
    "tail", "\x7f\x80\xff", "aaaa" * 50, " ", "\n", "x1y22z333",
]  # fmt: skip
PATTERNS = [
    "a", "abc", "(?i)ABC", "[^a]", ".", "(?s).", r"\s", r"\S+", r"\bend\b", r"\Bn", "x*", "(?i)k",
    "(?i)ſ", "é",
    r"\pL+", r"\x00", r"[\x{80}-\x{10ffff}]", "d\nx", r"\n", "a{3}", "(a|日)", r"\d{2,}", r"\$|\^", "",
    r"\W", r"\xff", "(?U)a+", "in|tail",
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """One trace per text."""
    path: Path = tmp_path_factory.mktemp("searching") / "x.tshark"
    with Index.open(write_synthetic(path, traces=len(TEXTS), prompts=TEXTS)) as index:
        yield index


def one_by_one(pattern: str) -> list[int]:
    """The slow way."""
    relation = Matches(pattern)
    return [number for number, text in enumerate(TEXTS, 1) if relation.one(text)]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [1, 3, 64])
def test_together_as_alone(index: Index, pattern: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_FIRST", size)
    monkeypatch.setattr(searching, "_MOST", size)
    assert searchable(pattern)
    found = list(search(index, pattern, "prompt", 1, len(TEXTS), lambda: None))
    assert found == one_by_one(pattern)
    part = list(search(index, pattern, "prompt", 3, 7, lambda: None))
    assert part == [number for number in found if 3 <= number <= 7]


@pytest.mark.parametrize(
    "pattern", ["^a", "d$", r"\Aa", r"a\z", r"\C", r"(?m)^x", "(^a|b)", r"\Qa\E", "a|$", "[$^]"]
)
def test_what_asks_for_an_end_is_looked_for_alone(index: Index, pattern: str) -> None:
    assert not searchable(pattern)
    text = pattern.replace("\\", "\\\\")
    assert parse(f'prompt matches "{text}"').select(index).tolist() == one_by_one(pattern)


PIECES = st.sampled_from(
    ["a", "b", ".", "[^a]", r"\s", r"\w", "x?", "c*", r"\b", r"\B", "(?:a|d)", "é", r"\W+"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(PIECES, min_size=1, max_size=5).map("".join))
def test_any_pattern(index: Index, pattern: str) -> None:
    assert list(search(index, pattern, "prompt", 1, len(TEXTS), lambda: None)) == one_by_one(pattern)


@pytest.mark.parametrize("word", ["ABC", "k s", "ſ k", "END", "tAiL", "ENDE", "IN THE"])
def test_capitals_that_do_not_count_are_looked_up_without_them(index: Index, word: str) -> None:
    pattern = f"(?i){word}"
    assert parse(f'prompt matches "{pattern}"').select(index).tolist() == one_by_one(pattern) != []


def test_long_prompts_and_damaged_traces_are_joined_as_they_are_read(tmp_path: Path) -> None:
    """Stretches without them take a shorter way."""
    prompts = ["", "", "a\0b", *(f"prompt {number}" for number in range(20)), "x" * 5000 + "end"]
    capture = write_synthetic(tmp_path / "x.tshark", traces=len(prompts), prompts=prompts)
    (capture.trace(capture.ids()[9]).folder / "trace.json").write_bytes(b"{}")
    with Index.open(capture) as index:
        for first, last in ((1, 24), (1, 1), (1, 3), (1, 9), (9, 11), (10, 10), (11, 23), (11, 24), (24, 24)):
            for field in ("prompt", "text"):
                numbers, texts = index.joined(first, last, field)
                read = list(index.texts(range(first, last + 1), field))
                assert numbers.tolist() == [number for number, _ in read]
                assert texts == b"".join(text.encode() + b"\xff" for _, text in read)
        assert list(search(index, "end", "prompt", 1, 24, lambda: None)) == [24]
        assert index.joined(10, 10)[1] == index.joined(25, 30)[1] == b""
