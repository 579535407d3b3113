"""What every match of a pattern holds is a safe hint, and what RE2 refuses is said."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorshark.forensics.filter.checks import patterns
from tensorshark.forensics.filter.values.relations import Matches


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("password", "password"),
        ("^ignore previous$", "ignore previous"),
        (r"\bDAN\b mode", "DAN mode"),
        ("colou?r of it", "r of it"),
        ("ab+cde", "bcde"),
        ("abc.*defg", "defg"),
        (r"1\.5 GB", "1.5 GB"),
        ("[Ii]gnore", "gnore"),
        ("a|password", ""),
        ("(?i)password", "password"),
        (r"(?i)\bPass word\b", "Pass word"),
        ("(?s)password", ""),
        ("pass(?i)word", ""),
        ("(password)?", ""),
        (r"\Qpass\E", ""),
        (r"\x41bcdef", ""),
        ("ab{2}cde", "cde"),
        (r"no 77\d{3}$", "no 77"),
        ("abc{,3}def", ""),
        ("ab", ""),
        ("", ""),
    ],
)
def test_required(pattern: str, literal: str) -> None:
    assert patterns.required(pattern) == literal


PARTS = st.sampled_from(
    [
        "abc",
        "d",
        ".",
        "x*",
        "yz+",
        "u?",
        "[a-c]",
        r"\d",
        r"\.",
        "^",
        "$",
        " ",
        "e+?",
        r"\b",
        "b{2}",
        "z{0,1}?",
    ]
)


@settings(max_examples=300)
@given(st.lists(PARTS, min_size=1, max_size=6).map("".join), st.text("abcdxyzue.1 ", max_size=20))
def test_whatever_matches_holds_it(pattern: str, text: str) -> None:
    if Matches(pattern).one(text):
        assert patterns.required(pattern) in text
    folded = Matches(f"(?i){pattern}")
    if folded.one(text.upper()):
        assert patterns.required(folded.pattern).lower() in text.lower()
    assert Matches(pattern).one(text) == (re.search(pattern.replace("$", r"\Z"), text) is not None)


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "x{1001}", "[z-a]", "a" * 10 + "{900}" * 3])
def test_refused(pattern: str) -> None:
    assert "RE2" in patterns.refused(pattern)


def test_taken_and_quick_where_backtracking_would_not_end() -> None:
    assert patterns.refused("(a+)+$") == ""
    assert not Matches("^(a+)+$").one("a" * 20000 + "b")
