"""Macros: what they come to, how they are called, and errors that point at what was typed."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorshark.forensics.filter import check, parse
from tensorshark.forensics.filter.syntax import parser
from tensorshark.forensics.filter.syntax.macros import MAX_TEXT, expand
from tensorshark.traces.errors import FilterError, UsageError

MACROS = {
    "loud": "resid_post.norm#$1[-1] > $2",
    "long": "seq_len > 20",
    "both": "(${long} and ${loud($1, 3)})",
    "kind": 'label.category == "$1"',
    "pair": "$1 < $2 and $2 > $1",
    "broken": "seq_len >> 3",
    "unknown": "seqlen > 3",
    "dangling": "seq_len >",
    "round": "not ${round}",
    "old": "token_ids == $1",
}


def failure(text: str, macros: Mapping[str, str] = MACROS) -> FilterError:
    with pytest.raises(FilterError) as caught:
        parse(text, macros)
    assert caught.value.text == text
    return caught.value


def test_the_cap_is_the_parsers() -> None:
    assert MAX_TEXT == parser.MAX_TEXT


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("${long}", "seq_len > 20"),
        ("${ long }", "seq_len > 20"),
        ("${long()}", "seq_len > 20"),
        ("bos and ${long} or bos", "bos and seq_len > 20 or bos"),
        ("${loud(12, 90)}", "resid_post.norm#12[-1] > 90"),
        ("${loud;12;90}", "resid_post.norm#12[-1] > 90"),
        ("${loud ( 12 , 90 ) }", "resid_post.norm#12[-1] > 90"),
        ("${loud([1,2], max(next.p, 3))}", "resid_post.norm#[1,2][-1] > max(next.p, 3)"),
        ("${both(7)}", "(seq_len > 20 and resid_post.norm#7[-1] > 3)"),
        ("${kind(injection)}", 'label.category == "injection"'),
        ("${kind(a, b)}".replace(", ", "; "), 'label.category == "a; b"'),
        ("${pair(1, ${long})}", "1 < seq_len > 20 and seq_len > 20 > 1"),
        ('${pair("a,b)", "${long}")}', '"a,b)" < "${long}" and "${long}" > "a,b)"'),
        ('prompt contains "${long}"', 'prompt contains "${long}"'),
        ("prompt contains r'${long}' and ${long}", "prompt contains r'${long}' and seq_len > 20"),
        ('label."${long}" == "x"', 'label."${long}" == "x"'),
    ],
)
def test_what_a_macro_comes_to(typed: str, text: str) -> None:
    assert expand(typed, MACROS).text == text


def test_a_filter_with_macros_is_the_filter_that_they_stand_for() -> None:
    found, plain = (
        parse("${both(3)} or bos", MACROS),
        parse("(seq_len > 20 and resid_post.norm#3[-1] > 3) or bos"),
    )
    assert found.text == "${both(3)} or bos"
    assert found.predicate == plain.predicate


@pytest.mark.parametrize(
    ("text", "reason", "pointed"),
    [
        ("${lou(1, 2)}", "there is no macro ${lou}; did you mean ${loud}?", "${lou(1, 2)}"),
        ("bos and ${loud(1)}", "${loud} takes 2 arguments; 1 is given", "${loud(1)}"),
        ("${long(1)} or bos", "${long} takes no argument; 1 is given", "${long(1)}"),
        ("${kind}", "${kind} takes 1 argument; 0 are given", "${kind}"),
        ("bos or ${broken}", "in ${broken}: > is unexpected here", "${broken}"),
        ("bos or ${unknown} and bos", "in ${unknown}: there is no field seqlen; did you mean", "${unknown}"),
        ("bos or ${loud(1, norm)}", "in ${loud}: ", "norm"),
        ("${loud(99999999999, 3)}", "in ${loud}: 99999999999 is not an index", "99999999999"),
        ("${both(x)} and bos", "in ${both}: ", "x"),
        ("${round}", "in ${round}: macros more than 8 levels deep: round", "${round}"),
        ("${}", "a macro has a name", "${}"),
        ("${long x}", "x is unexpected in a macro; expected }", "x"),
        ("${loud(1, 2) or}", "o is unexpected in a macro; expected }", "o"),
        ("${long} 5", "5 is unexpected here", "5"),
    ],
)  # fmt: skip
def test_errors_point_at_what_was_typed(text: str, reason: str, pointed: str) -> None:
    error = failure(text)
    assert error.reason.startswith(reason)
    assert text[error.column : error.column + error.length] == pointed
    assert not error.incomplete


def test_without_any_macro_the_remedy_is_the_command() -> None:
    assert "tensorshark macro" in failure("${x}", {}).reason


@pytest.mark.parametrize(
    "text", ["${", "${lo", "${loud(", "${loud(1, (", "${loud;1", 'bos and ${kind("x', "${long"]
)
def test_a_macro_that_is_being_typed_is_incomplete(text: str) -> None:
    assert failure(text).incomplete
    assert check(text, macros=MACROS).state == "incomplete"


def test_what_a_macro_leaves_open_may_be_typed_behind_it() -> None:
    assert check("${dangling} ", macros=MACROS).state == "incomplete"
    assert parse("${dangling} 5", MACROS).predicate == parse("seq_len > 5").predicate


def test_advice_and_needs_point_at_what_was_typed() -> None:
    old = parse("bos and ${old(3)}", MACROS).old
    assert old is not None
    assert old[:2] == (8, 9)
    assert check("bos and ${old(3)}", macros=MACROS).state == "old"
    (need,) = parse("bos and ${m}", {"m": "number > 3"}).needs_index
    assert (need.column, need.length) == (8, 4)


def test_settings_that_cannot_be_read_are_an_error_of_the_filter_that_needs_them() -> None:
    class Broken(dict[str, str]):
        def get(self, *_: object) -> str:  # type: ignore[override]
            raise UsageError("config.toml: line 3")

    assert parse("bos", Broken()).text == "bos"
    error = failure("bos and ${long}", Broken())
    assert error.reason == "config.toml: line 3"
    assert error.column == 8


@pytest.mark.parametrize(
    ("text", "macros"),
    [
        ("${a}" * 2000, {"a": "${b}" * 2000, "b": "${c}" * 2000, "c": "x"}),
        ("${a}" * 2000, {"a": f"${{b({'x' * 8000})}}", "b": "$1" * 4000}),
        ("${a}" * 2000, {"a": f"${{b({'x' * 8000})}}", "b": "y"}),
        ("${a}", {name: f"${{{after}}}" * 2000 for name, after in zip("abcdefgh", "bcdefghi", strict=True)}),
        ("${a(" * 2000 + ")}" * 2000, {"a": "$1$1"}),
        ("${a(" * 7 + "x" * 100 + ")}" * 7, {"a": "$1$1$1$1$1$1$1$1$1"}),
        ('${a("' * 1600, {"a": "$1"}),
    ],
)
def test_a_bomb_is_refused_at_once(text: str, macros: dict[str, str]) -> None:
    started = time.perf_counter()
    error = failure(text, macros)
    assert time.perf_counter() - started < 1
    assert 0 <= error.column <= len(text)


_pieces = st.sampled_from([*"}(),;ab\"' >3[", "${", "$1", "$2", "loud", "kind", "seq_len"])
_texts = st.lists(_pieces, max_size=24).map("".join)


@settings(max_examples=400, deadline=None)
@given(typed=_texts, a=_texts, b=_texts)
def test_no_text_is_anything_but_a_filter_or_an_error_in_it(typed: str, a: str, b: str) -> None:
    macros = {"a": a or "x", "b": b or "y", "loud": MACROS["loud"], "kind": MACROS["kind"]}
    for call in (parse, check):
        try:
            call(typed, macros=macros)
        except FilterError as error:
            assert error.text == typed
            assert 0 <= error.column <= len(typed)
            assert error.column + error.length <= len(typed) + 1 or error.incomplete
            assert len(error.pointed().splitlines()) >= 3


@settings(max_examples=300, deadline=None)
@given(typed=_texts, a=_texts, b=_texts)
def test_every_place_maps_back_to_where_it_was_typed(typed: str, a: str, b: str) -> None:
    macros = {"a": a or "x", "b": b or "y"}
    try:
        found = expand(typed, macros)
    except FilterError:
        return
    last = 0
    for column, char in enumerate(found.text):
        start, length, macro = found.place(column, 1)
        assert 0 <= start < start + length <= len(typed)
        if not macro:
            assert typed[start] == char
            assert start >= last, "what is typed keeps its order"
            last = start
        elif length == 1:
            assert typed[start] == char
        else:
            assert typed[start : start + 2] == "${"
            assert typed[start + length - 1] == "}"
