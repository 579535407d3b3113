"""From text to tree: literals, precedence, errors at their column, caps, and never another exception."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorshark.forensics.filter import check, complete, docs
from tensorshark.forensics.filter.syntax import parser, tree
from tensorshark.traces.errors import FilterError

SOMEWHERE = tree.Place(0, 0)


def literal(text: str) -> Any:
    compared = parser.parse(f"a == {text}")
    assert isinstance(compared, tree.Compared)
    return compared.right


def failure(text: str) -> FilterError:
    with pytest.raises(FilterError) as caught:
        parser.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-12", -12),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("0xff", 255),
        ("1.5k", 1500.0),
        ("2k", 2000),
        ("8Ki", 8192),
        ("3M", 3_000_000),
        ("99999999999999999999", 1e20),
    ],
)
def test_numbers(text: str, value: float) -> None:
    found = literal(text)
    assert (found.value, type(found.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"plain"', "plain"),
        ("'single \"quotes\"'", 'single "quotes"'),
        (r'"\n\t\r\0\\\""', '\n\t\r\0\\"'),
        (r'"\x41\u00e9\U0001f988"', "Aé🦈"),
        (r'r"\d+\""', r"\d+\""),
        ('"日本語"', "日本語"),
        ('""', ""),
    ],
)
def test_texts(text: str, value: str) -> None:
    assert literal(text).value == value


def test_not_binds_closer_than_and_than_xor_than_or() -> None:
    root = parser.parse("not a and b xor c or d")
    assert isinstance(root, tree.Either)
    exclusive = root.parts[0]
    assert isinstance(exclusive, tree.Exclusive)
    both = exclusive.parts[0]
    assert isinstance(both, tree.Both)
    assert isinstance(both.parts[0], tree.Not)


def test_not_takes_the_whole_comparison() -> None:
    root = parser.parse("!a == 3")
    assert isinstance(root, tree.Not)
    assert isinstance(root.part, tree.Compared)


def test_a_chain_is_a_conjunction() -> None:
    root = parser.parse("1 < a <= 3")
    assert isinstance(root, tree.Both)
    assert [part.relation for part in root.parts if isinstance(part, tree.Compared)] == ["<", "<="]


def test_selections() -> None:
    field = parser.parse("f#[8-12,-1]:3[-4:,prompt,user.2[-1],::2,tool-call]")
    assert isinstance(field, tree.Field)
    assert field.layers and field.heads and field.positions
    assert field.layers.parts == (tree.Through(8, 12), tree.At(-1))
    assert field.heads.parts == (tree.At(3),)
    assert field.positions.parts == (
        tree.Slice(-4, None, None),
        tree.Named("prompt", None),
        tree.Named("user.2", (tree.At(-1),)),
        tree.Slice(None, None, 2),
        tree.Named("tool-call", None),
    )


def test_the_rest_of_the_language_is_read_already() -> None:
    bound = parser.parse("all(l, h: a.b#l:h < 3)")
    assert isinstance(bound, tree.Correlated)
    assert (bound.quantifier, bound.variables) == ("all", ("l", "h"))
    assert isinstance(parser.parse("any(entropy:3) > 1"), tree.Compared)
    assert isinstance(parser.parse("zscore(f, over=g) > 3"), tree.Compared)


@pytest.mark.parametrize(
    ("text", "column", "length", "incomplete", "reason"),
    [
        ("a ==", 4, 1, True, "unfinished"),
        ("a == 3 and", 10, 1, True, "unfinished"),
        ("a == 3 an", 7, 2, True, "unexpected"),
        ("a == 3 nd", 7, 2, False, "expected"),
        ("(a or b", 7, 1, True, "expected )"),
        ('a in {"x" "y"}', 10, 3, False, 'a comma is missing before "y"'),
        ("a in {80 443}", 9, 3, False, "a comma is missing before 443"),
        ("a in {80 == 3}", 9, 2, False, "expected }"),
        ("a[-1]#12 > 3", 5, 1, False, "# stands before [tokens]"),
        ("a[-1]:3 > 3", 5, 1, False, ": stands before [tokens]"),
        ("a & b", 2, 1, False, "write and, or &&"),
        ("a | b", 2, 1, False, "write or, or ||"),
        ("a) or b", 1, 1, False, "without the ("),
        ('prompt contains "ab', 16, 3, True, "quote is not closed"),
        ('label."ab', 5, 4, True, "quote is not closed"),
        ("label.", 5, 1, True, "."),
        ("a =", 2, 1, True, "=="),
        ("a = 3", 2, 1, False, "write =="),
        ("a AND b", 2, 3, False, "small letters"),
        ("a &", 2, 1, True, "write and, or &&"),
        ('a "x"', 2, 3, False, "operator is missing"),
        ("a in", 4, 1, True, "a set"),
        ("a in {1", 7, 1, True, "}"),
        ("a#", 2, 1, True, "a number"),
        ("a[1", 3, 1, True, "]"),
        ("a[1.5]", 2, 3, False, "whole number"),
        ("a[::0]", 2, 3, False, "step of 0"),
        ("a > 12abc", 6, 3, False, "not a unit"),
        ("a > 1.5Q", 7, 1, False, "not a unit"),
        ("a > 1e999", 4, 5, False, "large"),
        ("time > 2026-02-31", 7, 10, False, "not a date"),
        (r'a == "x\qy"', 7, 2, False, "not an escape"),
        (r'a == "\ud800"', 6, 6, False, "not a character"),
        ("a == 3 in {3} == 4", 14, 2, False, "cannot follow a set"),
        ("ü == 3", 0, 1, False, "no meaning"),
        ("a == \ud800", 5, 1, False, "UTF-8"),
    ],
)
def test_errors_point_at_the_trouble(
    text: str, column: int, length: int, incomplete: bool, reason: str
) -> None:
    error = failure(text)
    assert (error.column, error.length, error.incomplete) == (column, length, incomplete)
    assert reason in error.reason
    assert error.text == text


def test_caps() -> None:
    assert "8,192" in failure("a" * 8193).reason
    assert "256 terms" in failure(" and ".join(["a"] * 257)).reason
    assert "256 terms" in failure("a in {" + ",".join(["1"] * 257) + "}").reason
    assert "64 levels" in failure("not " * 70 + "a").reason
    assert "64 levels" in failure("f(" * 70 + "a" + ")" * 70).reason
    parser.parse(" and ".join(["a"] * 256))
    parser.parse("not " * 50 + "a")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 8000,
        "not " * 2000 + "a",
        "a[" * 4000,
        '"' + "\\" * 8000,
        "1" * 8000,
        "a" + "+a" * 4000,
        "{" * 8000,
    ],
)
def test_abuse_is_refused_at_once(text: str) -> None:
    before = time.process_time()
    failure(text)
    assert time.process_time() - before < 1


WORDS = r"""
a label.x label.category resid_post.norm attn.entropy token token.id prompt seq_len bos time next.p resid_post
expert.severity lens.top mark.x ( ) [ ] { } # : , .. = == != === !== < <= > >= ~ ! + - * / % $ ${m} and or not
xor in contains matches any all any(l,p: has( max( mean( len( count( f( true false note warn 1 -1 0.5 1.5k
3sigma 0x1f 2026-08-01 2026-99-99 "x" 'y' r"\d" t"z" "(" " \q 12 #12 [-1] :3 [prompt] . ü 🦈
"""
PIECES = [*WORDS.split(), "\0", "\n"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(("", " ")))
def test_pieces_in_any_order_give_a_state_and_nothing_else(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    found = check(text)
    assert found.state in ("empty", "ok", "incomplete", "bad", "old")
    assert 0 <= found.column <= len(text)
    assert bool(found.words) != (found.state in ("incomplete", "bad"))
    complete(text, len(text))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text_gives_a_state_and_nothing_else(text: str) -> None:
    assert check(text).state in ("empty", "ok", "incomplete", "bad", "old")
    complete(text, len(text) // 2)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(docs.examples()), st.data())
def test_filters_with_a_piece_missing_or_doubled_give_a_state(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 6)))
    for changed in (text[:start] + text[stop:], text[:stop] + text[start:], text[:start]):
        assert check(changed).state in ("empty", "ok", "incomplete", "bad", "old")


@pytest.mark.parametrize("text", docs.examples())
def test_what_is_typed_on_the_way_to_a_filter_is_never_a_syntax_error(text: str) -> None:
    # A person types from left to right: until it is right, the state is "incomplete", not "bad" -
    # except within a name, where what stands there so far may be no field.
    for length in range(1, len(text)):
        found = check(text[:length])
        if found.state == "bad":
            # A name so far that is no field, or a function, a set or an any(…) that awaits its comparison.
            fine = ("there is no field", "needs", "compare", "belongs here")
            assert any(words in found.reason for words in fine), (text[:length], found.reason)


@pytest.mark.parametrize(
    ("text", "glued"),
    [
        ('label.category == "injection"and bos', "and"),
        ('label.category == "injection"andresid_post.norm > 3', "andresid_post"),
        ("label.category == 'a'or bos", "or"),
        ('label.category in {"a"} and "x"in {"y"}', "in"),
        ('label."odd key"contains "x"', "contains"),
        ("seq_len > 12and bos", "and"),
        ("seq_len > 1.5kor bos", "or"),
        ("seq_len > 0xffor bos", "or"),
        ("seq_len > 0x1fxor bos", "xor"),
        ("seq_len > 12_000", "_000"),
        ("time > 2026-08-01and bos", "and"),
        ('"a"12', "12"),
    ],
)
def test_a_word_without_a_blank_before_it_is_refused(text: str, glued: str) -> None:
    error = failure(text)
    assert error.reason == f"a blank is missing before {glued}"
    assert text[error.column : error.column + error.length] == glued
    assert not error.incomplete


@pytest.mark.parametrize(
    "text",
    [
        "(bos)and(seq_len>3)or not(bos)",
        'label.category in{"a","b"}and bos',
        "token[-1]in{'a'}",
        "seq_len in {3..5,7}",
        "resid_post.norm#12[-1]>3 and bos",
        'label.category=="a" and"b"==label.x',
        "time >= 2026-08-01T10:30",
        "time in {2026-08-01..2026-08-07}",
        "token[user-2b] == 'x'",
        "seq_len>1.5k&&bos||bos",
        "resid_post.norm#[1-3][4:] > 3",
    ],
)
def test_signs_and_brackets_need_no_blanks(text: str) -> None:
    parser.parse(text)
