"""safe_text: no control character gets out, and nothing of the text is lost."""

from __future__ import annotations

import csv
import json
import re
import timeit
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.traces.text import MAX_MARKS, csv_line, json_text, safe_text, token_text

ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u2800\u3164\ufe0f\uffa0\U000e0100")

# Surrogates included: token strings decoded alone can hold them.
any_text = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from(
        "\x1b[]\\xu0123abcUS \n\t·∅…(+)⏎⇥\u0301\u20dd\u202e\u200b\u00a0\u3000\u3164\ufe0fé漢🙂\ud800\x00"
    ),
    max_size=60,
)


def unescaped(shown: str) -> str:
    """The inverse of safe_text for texts within the cap: what makes 'nothing is lost' checkable."""
    out, at = [], 0
    while at < len(shown):
        if match := ESCAPE.match(shown, at):
            out.append(chr(int(match[1] or match[2] or match[3], 16)))
            at = match.end()
        else:
            out.append({"⏎": "\n", "⇥": "\t"}.get(shown[at], shown[at]))
            at += 1
    return "".join(out)


@given(any_text)
def test_output_holds_no_forbidden_character(text: str) -> None:
    for char in safe_text(text) + token_text(text):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert char == " " or unicodedata.category(char) != "Zs"
        assert char not in BLANK


@given(any_text)
def test_nothing_is_lost(text: str) -> None:
    assert unescaped(safe_text(text)) == text


@given(any_text, any_text)
def test_two_tokens_never_look_the_same(first: str, second: str) -> None:
    assert (token_text(first, 100) == token_text(second, 100)) == (first == second)


@given(any_text)
def test_output_is_encodable_and_within_ten_times_the_input(text: str) -> None:
    shown = safe_text(text)
    shown.encode("utf-8")
    assert len(shown) <= 10 * len(text)


def test_every_code_point_is_judged() -> None:
    """All 1,114,112 of them, alone after a base letter: what is kept is printable, what is not is escaped."""
    for code in range(0x110000):
        char = chr(code)
        shown = safe_text("a" + char)
        assert shown.isprintable()
        assert shown == "a" + char or shown.isascii() or char in "\n\t"
        assert unescaped(shown) == "a" + char


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 % [INST] [@click=app.quit]x[/]", "plain text, 100 % [INST] [@click=app.quit]x[/]"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("a\nb\tc\r", "a⏎b⇥c\\x0d"),
        ("\u009b31m", r"\x9b31m"),
        ("abc\u202edef", r"abc\u202edef"),
        ("zero\u200bwidth\u00a0\u3000", r"zero\u200bwidth\xa0\u3000"),
        ("\U000e0041tag", r"\U000e0041tag"),
        ("\ud83d", r"\ud83d"),
        (r"the text \x1b itself", r"the text \x5cx1b itself"),
        (r"C:\users\new", r"C:\users\new"),
        ("naïve café 漢字 Ελλ עברית 🙂", "naïve café 漢字 Ελλ עברית 🙂"),
        ("⏎", r"\u23ce"),
        ("\u0301x", r"\u0301x"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * MAX_MARKS + r"\u0301" * 2),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_a_long_text_says_what_is_left_out() -> None:
    assert safe_text("a" * 10_000, 64) == "a" * 64 + "…(+9936)"
    assert safe_text("a" * 64, 64) == "a" * 64
    # ... and a text that ends like that by itself cannot be taken for a clipped one.
    assert safe_text("a…(+7)") == r"a\u2026(+7)"
    assert safe_text("wait…") == "wait…"


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" the", "·the"),
        ("", "∅"),
        ("∅", r"\u2205"),
        ("·", r"\xb7"),
        ("\n\n", "⏎⏎"),
        ("x" * 70, "x" * 64 + "…(+6)"),
    ],
)
def test_tokens(token: str, shown: str) -> None:
    assert token_text(token) == shown


@given(st.dictionaries(any_text, any_text | st.integers() | st.booleans() | st.none() | st.lists(any_text)))
def test_json_is_exact_and_printable(value: dict[str, object]) -> None:
    line = json_text(value)
    assert line.isprintable()
    assert json.loads(line) == value


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))


@given(st.lists(any_text, min_size=2))
def test_csv_is_one_printable_record(cells: list[str]) -> None:
    line = csv_line(cells)
    assert line.isprintable()
    shown = [safe_text(cell) for cell in cells]
    (read,) = csv.reader([line])
    assert read == ["'" + text if text.startswith(("=", "+", "-", "@")) else text for text in shown]


def test_csv_cells() -> None:
    assert csv_line(["a,b", 'say "hi"', "", None, 1, -2.5, True]) == '"a,b","say ""hi""",,,1,-2.5,true'
    assert csv_line(["=1+1", "-x", "@sum", "+1", "a=1", "\t=1"]) == "'=1+1,'-x,'@sum,'+1,a=1,⇥=1"


def test_a_short_printable_cell_is_fast() -> None:
    """0.15 us on the machine this was written on; the bound only catches a lost fast path (20x)."""
    seconds = min(timeit.repeat(lambda: safe_text("an ordinary cell"), number=10_000, repeat=5)) / 10_000
    assert seconds < 3e-6
