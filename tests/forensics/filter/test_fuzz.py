"""Whatever is typed: reading a filter raises FilterError or nothing, and points into the text.

Twenty thousand texts: noise, soup of the language's own words, filters with something changed, deep nesting.
"""

import os
import random
from collections.abc import Callable

import pytest

from tensorshark.forensics.filter import check, complete, docs, functions, parse
from tensorshark.forensics.filter.fields import fields
from tensorshark.forensics.filter.syntax import lalr
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index

TEXTS = int(os.environ.get("TENSORSHARK_FILTERS", "6000")) * 10 // 3
STATES = {"empty", "ok", "incomplete", "bad", "slow", "old"}

SIGNS = (
    *"()[]{}#:,.+-*/%$!~=<>&|^\"'\\ ",
    *(
        "==",
        "!=",
        "<=",
        ">=",
        "===",
        "!==",
        "&&",
        "||",
        "^^",
        "..",
        "${",
        "#[",
        ":[",
        "#-1",
        "[-1]",
        "[prompt]",
    ),
    *("12", "0.5", "1e3", "0xff", "1.5k", "3sigma", ".5", "99999999999999999999", "1e999", "2026-08-01"),
    *(
        "2026-13-45",
        "2026-08-01T10:30:05.25+02:00",
        '"x"',
        "'y'",
        'r"(?i)a+"',
        't"Ġthe"',
        "t:262",
        "any(l, p:",
    ),
    *("any(", "all(", "has(", "max(", "over=", "$resid_post#1[-1]", "${m}", "${m(1, 2)}", "label.", "mark.x"),
)
NOISE = (
    "\0",
    "\x1b",
    "\u202e",
    "\ud800",
    "\U0010ffff",
    "🦈",
    "ſ",
    "K",
    "\n",
    "\t",
    "é",
    "　",
    "\x85",
    "\xa0",
)


def words_of_the_language() -> list[str]:
    names = [info.name.replace("*", "x") for info in fields()]
    return [*SIGNS, *lalr.tables().words, *names, *functions.FUNCTIONS]


def noise(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(40))).decode("utf-8", "surrogateescape")
    return "".join(rng.choice((*NOISE, chr(rng.randrange(0x3000)))) for _ in range(rng.randrange(30)))


def soup(rng: random.Random) -> str:
    words = _words
    return rng.choice(("", " ")).join(rng.choice(words) for _ in range(rng.randrange(1, 14)))


def changed(rng: random.Random) -> str:
    text = rng.choice(_examples)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, width = rng.randrange(len(text) + 1), rng.choice((0, 0, 1, 1, 3, 10))
        put = rng.choice(("", rng.choice(_words), rng.choice(NOISE), rng.choice(text or "x")))
        text = text[:at] + put + text[at + width :]
    return text


def joined(rng: random.Random) -> str:
    parts = [rng.choice(_examples) for _ in range(rng.randrange(1, 5))]
    return rng.choice((" and ", " or ", " xor ", " == ", " + ", ", ", " ")).join(
        rng.choice(("{}", "({})", "not {}", "all({})", "max({})", "any(l: {})", "has({})")).format(part)
        for part in parts
    )


def deep(rng: random.Random) -> str:
    opening, closing = rng.choice(
        (("(", ")"), ("not ", ""), ("!", ""), ("-", ""), ("abs(", ")"), ("[", "]"), ("{", "}"), ("all(", ")"),
         ("any(l: ", ")"), ("bos and (", ")"), ("${", "}"), ("$", ""), ("1 + (", ")"), ("a[", "]"))
    )  # fmt: skip
    many = rng.choice((3, 30, 63, 64, 65, 300))
    return opening * many + rng.choice(_examples) + closing * rng.choice((many, many, many - 1))


_words = words_of_the_language()
_examples = [*docs.examples(), *(info.example for info in fields())]
KINDS: dict[str, tuple[Callable[[random.Random], str], float]] = {
    "noise": (noise, 0.2),
    "soup": (soup, 0.3),
    "changed": (changed, 0.35),
    "joined": (joined, 0.1),
    "deep": (deep, 0.05),
}
"""Kind -> what makes it, and its share."""


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_is_read_or_refused_at_a_place_in_it(kind: str, index: Index) -> None:
    make, share = KINDS[kind]
    rng = random.Random(kind)
    for turn in range(int(TEXTS * share)):
        text = make(rng)
        try:
            assert_sane(text, index if turn % 4 == 0 else None, rng)
        except Exception as error:
            raise AssertionError(f"{text!r}") from error


def assert_sane(text: str, index: Index | None, rng: random.Random) -> None:
    try:
        words, error = parse(text).words(), None
    except FilterError as refused:
        words, error = "", refused
    if error is None:
        assert words.isprintable() and words.strip()
    else:
        assert 0 <= error.column <= len(text)
        assert error.length >= 0 and error.reason.isprintable() and error.reason.strip()
        assert error.pointed().count("\n") == 2
    state = check(text, index)
    assert state.state in STATES
    assert (error is None) == (state.state in ("empty", "ok", "slow", "old"))
    assert 0 <= state.column <= len(text)
    if rng.random() < 0.3:
        at = rng.randrange(len(text) + 1)
        for offer in complete(text, at, index):
            assert 0 <= offer.start <= offer.stop <= len(text)
            assert offer.text and offer.detail.isprintable()


def test_the_examples_stay_what_they_are() -> None:
    # Otherwise `changed` would start from texts that say nothing.
    assert len(_examples) > 20
    assert all(parse(text).words() for text in _examples)
