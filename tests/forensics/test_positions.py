"""The position language, against Python's own slicing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.positions import NoSuchPositionError, check, resolve
from tensorshark.traces.errors import UsageError

SPANS = {"prompt": slice(0, 6), "response": slice(6, 10), "user.2": slice(2, 4), "data": slice(3, 3)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1", [9]),
        ("3", [3]),
        ("[-2]", [8]),
        ("prompt[-1]", [5]),
        ("response[0]", [6]),
        ("response[:]", [6, 7, 8, 9]),
        ("response", [6, 7, 8, 9]),
        ("all[:]", list(range(10))),
        ("all[::-3]", [9, 6, 3, 0]),
        ("user.2[-1]", [3]),
        ("prompt[ 1 : 3 ]", [1, 2]),
        ("prompt[4:99]", [4, 5]),
        ("data[:]", []),
        ("-1, prompt[-1], 9", [9, 5]),
    ],
)
def test_names_tokens(text: str, expected: list[int]) -> None:
    assert resolve(text, 10, SPANS) == expected


@given(st.integers(0, 12), st.none() | st.integers(-15, 15), st.none() | st.integers(-15, 15))
def test_a_slice_is_pythons(length: int, start: int | None, stop: int | None) -> None:
    text = f"all[{'' if start is None else start}:{'' if stop is None else stop}]"
    assert resolve(text, length) == list(range(length))[start:stop]


@pytest.mark.parametrize(
    "text", ["", ",", "prompt[", "prompt[]", "[a]", "1.5", "all[::0]", "x y", "é[0]", "1" * 300]
)
def test_what_cannot_be_read_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        check(text)


def test_what_the_trace_lacks_says_what_it_has() -> None:
    with pytest.raises(NoSuchPositionError, match=r"no span system; it has: all, prompt, response"):
        resolve("system[-1]", 10, SPANS)
    with pytest.raises(NoSuchPositionError, match=r"no token prompt\[6\]: prompt has 6 tokens"):
        resolve("prompt[6]", 10, SPANS)
    with pytest.raises(NoSuchPositionError, match="no token -1: all has 0 tokens"):
        resolve("-1", 0)


def test_a_hostile_position_is_quoted_safely() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("\x1b]52;c;aGk=\x07", 3)
    assert "\x1b" not in str(caught.value)
