"""Selections pick what Python's slices and Wireshark's ranges would, and nothing that is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.filter.syntax import parser, tree
from tensorshark.forensics.filter.values.selection import Pick

ends = st.none() | st.integers(-8, 8)


def pick(text: str, axis: str = "pos") -> Pick:
    field = parser.parse(f"f[{text}]")
    assert isinstance(field, tree.Field) and field.positions
    return Pick(axis, field.positions.parts)


@given(start=ends, stop=ends, step=ends.filter(lambda step: step != 0), size=st.integers(0, 7))
def test_slices_are_pythons(start: int | None, stop: int | None, step: int | None, size: int) -> None:
    said = ":".join("" if end is None else str(end) for end in (start, stop, step))
    assert pick(said).indices(size) == sorted(range(size)[start:stop:step])


@pytest.mark.parametrize(
    ("text", "size", "indices"),
    [
        ("0", 3, [0]),
        ("-1", 3, [2]),
        ("-1", 0, []),
        ("3", 3, []),
        ("-4", 3, []),
        ("1-2", 4, [1, 2]),
        ("-2--1", 4, [2, 3]),
        ("2--1", 4, [2, 3]),
        ("-9-1", 4, [0, 1]),
        ("2-99", 4, [2, 3]),
        ("1,1,-1", 4, [1, 3]),
        ("all", 3, [0, 1, 2]),
        ("all[-1]", 3, [2]),
        ("prompt", 6, [1, 2, 3]),
        ("prompt[-1]", 6, [3]),
        ("prompt[0,-1]", 6, [1, 3]),
        ("user.2", 6, []),
    ],
)
def test_indices(text: str, size: int, indices: list[int]) -> None:
    assert pick(text).indices(size, {"prompt": slice(1, 4)}) == indices


@pytest.mark.parametrize(
    ("text", "single", "last", "fixed"),
    [
        ("0", True, False, True),
        ("-1", True, True, False),
        ("2-2", True, False, True),
        ("1-2", False, False, True),
        (":", False, False, False),
        ("prompt[-1]", True, False, False),
        ("prompt", False, False, False),
        ("0,1", False, False, True),
    ],
)
def test_what_is_known_beforehand(text: str, single: bool, last: bool, fixed: bool) -> None:
    found = pick(text)
    assert (found.single, found.last, found.fixed) == (single, last, fixed)


def test_words() -> None:
    assert pick("-1").words("some") == "the last token"
    assert pick("0", "layer").words("some") == "layer 0"
    assert pick("prompt[0]").words("every") == "the first token of the prompt"
    assert pick("1-3,-1").words("every") == "every token of 1 to 3, -1"
    assert pick("-4:").words("any") == "any token of [-4:]"
    assert Pick("head").words("all") == "all heads"
