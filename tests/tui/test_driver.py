"""What the driver does to input before Textual parses it; tests/pty drives the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from tensorshark.tui.driver import SafeParser, StringGuard

STRINGS = [
    "\x1b]11;rgb:00/00/00\x07",
    "\x1b]52;c;cXVpdA==\x1b\\",
    "\x1bP>|term\x1b\\",
    "\x1b_Ga\x1b\\",
    "\x1b^x\x1b\\",
    "\x1bXx\x1b\\",
]


@pytest.mark.parametrize("string", STRINGS)
def test_strings_are_taken_out(string: str) -> None:
    assert StringGuard().feed(f"a{string}b") == "ab"


@given(
    st.lists(st.sampled_from([*STRINGS, "k", "\x1b[A", "é", "\x1b[200~", "\x1b[201~"]), max_size=8), st.data()
)
def test_where_the_input_is_cut_does_not_matter(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    expected = "".join(part for part in parts if part not in STRINGS)
    guard, kept = StringGuard(), ""
    while text:
        cut = data.draw(st.integers(1, len(text)))
        if text[cut - 1] == "\x1b" and text[cut : cut + 1] and text[cut] in "]PX^_":
            cut += 1  # an escape key cannot be held back; cutting right behind it is tried below
        kept += guard.feed(text[:cut])
        text = text[cut:]
    assert kept == expected


def test_a_cut_behind_the_escape_leaves_only_an_escape_key() -> None:
    guard = StringGuard()
    assert guard.feed("a\x1b") + guard.feed("]52;c;qqq\x07b") == "a\x1bb"


def test_a_string_without_an_end_is_over_when_nothing_follows() -> None:
    guard = StringGuard()
    assert guard.feed("\x1b]52;c;" + "q" * 100_000) == ""
    assert guard.feed("q" * 100_000) == ""
    assert guard.idle() == ""
    assert guard.feed("k") == "k"


def test_a_string_ends_at_another_sequence() -> None:
    """Or an open one inside a paste would swallow the end of the paste, and the keyboard with it."""
    assert StringGuard().feed("\x1b[200~a\x1b]0;b\x1b[201~k") == "\x1b[200~a\x1b[201~k"


@pytest.mark.parametrize("keys", ["\x1b[1114112u", "\x1b[99999999999u", "\x1b[97;1;55296u", "\x1b[55296u"])
def test_impossible_keys_are_ignored(keys: str) -> None:
    found = [event for event in SafeParser().feed(keys + "k") if isinstance(event, events.Key)]
    assert [event.key for event in found] == ["k"]


def test_possible_keys_are_kept() -> None:
    found = [event for event in SafeParser().feed("\x1b[97;5u\x1b[A") if isinstance(event, events.Key)]
    assert [event.key for event in found] == ["ctrl+a", "up"]
