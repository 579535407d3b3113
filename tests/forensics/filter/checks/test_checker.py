"""What does not make sense is said where it stands, with the axes, the types and the nearest field."""

import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.traces.errors import FilterError


@pytest.mark.parametrize(
    ("text", "column", "length", "reason"),
    [
        # names
        ("resid_pst.norm#12 > 1", 0, 14, "did you mean resid_post.norm?"),
        ("norm > 1", 0, 4, "norm is a function; write norm(…), or resid_pre.norm for the field"),
        ("xyzzy > 1", 0, 5, "`tensorshark fields`"),
        ("maxx(seq_len) > 1", 0, 4, "there are abs, argmax, argmin, cos, count"),
        ("len > 3", 0, 3, "write len(…)"),
        ("label.category == injection", 18, 9, 'text needs quotes: "injection"'),
        # axes
        ("resid_post.norm#12:3 > 1", 18, 2, "a head, and resid_post.norm has none; its axes are layer, pos"),
        ("seq_len#3 > 1", 7, 2, "# selects a layer, and seq_len has none; it has no axes"),
        ("prompt[3] == 1", 6, 3, "[ selects a pos, and prompt has none"),
        ("resid_post.norm#l > 1", 16, 1, "a layer is a number such as #12"),
        ("attn.entropy:[prompt] > 1", 13, 8, "a head is a number such as :3"),
        ("resid_post.norm#[12-8] > 1", 16, 6, "this range is empty"),
        ("token[prompt[user]] == 1", 5, 14, "a span does not lie within a span"),
        ("resid_post#12 > 3", 0, 13, "is a tensor with axes layer, pos, d_model; ask has(resid_post)"),
        # types
        ("prompt > 5", 9, 1, "the left side is text, and this is a number; put 5 in quotes"),
        ('seq_len == "5"', 11, 3, "the left side is a number, and this is text"),
        ("seq_len == true", 11, 4, "this is true or false"),
        ("seq_len > 2026-08-01", 10, 10, "this is a time"),
        ('bos == "true"', 7, 6, "the left side is true or false"),
        ("bos > true", 4, 1, "not ordered"),
        ("time > 5", 7, 1, "compared with a date"),
        ('time > "yesterday"', 7, 11, "compared with a date"),
        ("expert.severity >= bad", 19, 3, "a severity is note, warn or error"),
        ('seq_len contains "x"', 8, 8, "contains searches text, and the left side is a number"),
        ("prompt contains model", 16, 5, "needs a text in quotes"),
        ('prompt matches "("', 15, 3, "RE2"),
        (r'prompt matches r"(?=x)"', 15, 8, "RE2"),
        ("prompt == seq_len", 10, 7, "the left side is text, and this is a number"),
        ("len(seq_len) > 1", 4, 7, "len(…) takes text, not a number"),
        ("max(prompt) > 1", 4, 6, "max(…) takes a number, not text"),
        ("count(resid_post) > 1", 6, 10, "is a tensor"),
        # sets
        ("seq_len in {}", 11, 2, "an empty set"),
        ("seq_len in {9..5}", 12, 4, "this range is empty"),
        ('prompt in {"a".."b"}', 11, 8, "text has no ranges"),
        ("seq_len in {number}", 12, 6, "a constant belongs here"),
        ('seq_len in {"5"}', 12, 3, "this is text"),
        ("seq_len in {1.."
         '"5"}', 15, 3, "from a number to a number"),
        # shapes
        ("12", 0, 2, "a constant alone says nothing"),
        ("1 == 2", 0, 6, "two constants"),
        ("max(seq_len)", 0, 12, "this is a number; compare it with something"),
        ("all(resid_post.norm#1)", 0, 22, "needs a comparison"),
        ("max(all(seq_len)) > 1", 4, 12, "stands on the left"),
        ("seq_len > all(number)", 10, 11, "write all(…) on the left side"),
        ("(seq_len and bos) > 3", 1, 15, "true or false already"),
        ("has(bos) == true", 0, 8, "true or false already"),
        ("max(has(bos)) > 1", 4, 8, "true or false already"),
        ("has(3)", 0, 6, "has(…) takes one field"),
        ("has(bos, model)", 0, 15, "has(…) takes one field"),
        ("max(seq_len, 2) > 1", 0, 15, "max(…) takes one value"),
        ("max(x=seq_len) > 1", 0, 14, "max(…) takes one value"),
        ("all(seq_len) === 3", 13, 3, "brings its own any or all"),
        ("expert.code == token", 0, 11, "several values without an axis cannot be paired"),
        ('"x" contains prompt', 0, 3, "a field belongs here"),
        ("3 in {3}", 0, 1, "a field belongs here"),
        # arithmetic
        ('prompt + "x" == 3', 0, 6, "arithmetic is with numbers, and this is text"),
        ("1 - time > 3", 4, 4, "arithmetic is with numbers, and this is a time"),
        ("seq_len * expert.severity > 3", 10, 15, "arithmetic is with numbers, and this is a severity"),
        ("-bos > 3", 1, 3, "arithmetic is with numbers, and this is true or false"),
        ('seq_len / "3" > 3', 10, 3, "arithmetic is with numbers, and this is a constant that is no number"),
        ("seq_len + (bos and bos) > 3", 11, 11, "this is true or false already; a field belongs here"),
        ("resid_post * resid_pre > 3", 0, 22, "two tensors are added or subtracted"),
        ("3 / resid_post > 3", 0, 14, "a tensor is multiplied with a number, or divided by one"),
        ("resid_post + 1 > 3", 0, 14, "a tensor is multiplied with a number, or divided by one"),
        ("resid_post#3 - resid_pre#3 > 3", 0, 26, "this is a tensor; take norm(…)"),
        ("seq_len > 1 / 0", 10, 5, "this is no number"),
        ("1 + 1 == 2", 0, 10, "two constants"),
        ("seq_len + 1", 0, 11, "this is a number; compare it with something"),
        ("len(expert.code) + token.id > 3", 0, 16, "several values without an axis cannot be paired"),
        ("len(seq_len + 1) > 3", 4, 11, "len(…) takes text, not a number"),
        ("seq_len + 3sigma > 1", 10, 6, "sigma is a distance from the mean"),
        # any(l, p: …)
        ("any(l, p: resid_post.norm#l > 3)", 7, 1, "the variable p is not used; write #p, :p or [p]"),
        ("bos and all(l : bos)", 12, 1, "the variable l is not used"),
        ("any(l, l: resid_post.norm#l > 3)", 7, 1, "l stands here twice"),
        ("any(l: attn.entropy#l:l > 3)", 22, 1, "l runs over layers already, and this selects a head"),
        ("any(l, m: resid_post.norm#l > 3 and resid_pre.norm#m > 3)", 51, 1, "l runs over layers"),
        ("any(p: resid_post.norm[p, 3] > 3)", 22, 6, "p is a variable and stands alone"),
        ("any(l: all(p: resid_post.norm#l[p] > 3))", 7, 32, "does not stand within another"),
        ("any(l: seq_len#l > 3)", 14, 2, "# selects a layer, and seq_len has none"),
        ("any(l: resid_post.norm#m > 3)", 23, 1, "a layer is a number such as #12"),
        ("any(l: resid_post.norm#l) > 3", 0, 25, "true or false already; it cannot be compared"),
        ("1 + any(l: resid_post.norm#l) > 3", 4, 25, "true or false already; a field belongs here"),
        ("any(l: resid_post.norm#l + 1)", 7, 21, "this is a number; compare it with something"),
        ("resid_post.norm#l > 3", 16, 1, "a layer is a number such as #12"),
        # functions of more than one thing, and $
        ("argmax(resid_post.norm) > 1", 7, 15, "along one axis, and this has several layers and tokens"),
        ("argmin(resid_post.norm#1[-1]) > 1", 7, 21, "searches along an axis, and this has one value"),
        ("argmax(len(expert.code)) > 1", 7, 16, "searches along an axis, and this has one value"),
        ("quantile(seq_len) > 1", 0, 17, "quantile(…) takes two values"),
        ("quantile(seq_len, number) > 1", 18, 6, "quantile(…) takes a number here, its share"),
        ("quantile(seq_len, 1 + 0.5) > 1", 18, 7, "the share lies between 0 and 1"),
        ("norm(seq_len) > 1", 5, 7, "norm(…) takes a tensor, not a number"),
        ("norm(pattern#3:1[-1]) > 1", 5, 15, "tensors with a vector for each token, such as resid_post"),
        ("cos(resid_post) > 1", 0, 15, "cos(…) takes two values"),
        ("cos(resid_post, 3) > 1", 16, 1, "a field belongs here, not a constant"),
        ("max(resid_post - resid_pre) > 1", 4, 22, "this is a tensor; take norm(…)"),
        ("seq_len > $resid_post", 10, 11, "this is a tensor; take norm(…)"),
        ("seq_len > $nope", 11, 4, "there is no field nope"),
        ("$label.x == 3", 12, 1, "the left side is text, and this is a number"),
        # later
        ("${m}", 0, 4, "there is no macro ${m}; none is defined"),
    ],
)  # fmt: skip
def test_errors(text: str, column: int, length: int, reason: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert (caught.value.column, caught.value.length) == (column, length)


@pytest.mark.parametrize(
    "text",
    [
        "resid_pos",
        "label",
        "la",
        "expert.severity >= wa",
        "bos and attn.ent",
        "ma",
        "time > 2026-08",
        "has",
    ],
)
def test_unfinished_names_are_not_wrong(text: str) -> None:
    assert check(text).state == "incomplete"


@pytest.mark.parametrize(
    "text", ["resid_pos > 3", "foo", "expert.severity >= wa or bos", "time > 2026-08 or bos"]
)
def test_wrong_names_are_not_unfinished(text: str) -> None:
    assert check(text).state == "bad"


def test_names_from_the_manifest_work_and_are_not_advised() -> None:
    found = check('seq_len > 2 and tokens[0] == "x" and captured_at > 2026-01-01')
    assert (found.state, found.column, found.length) == ("old", 16, 6)
    assert found.reason == "tokens works here, and is called token"
    assert parse("token_ids == 3").words() == parse("token.id == 3").words()


def test_hostile_text_in_messages_cannot_be_printed_raw() -> None:
    for text in ('label."\x1b[2J" == 3', 'prompt matches "(\x1b]52"', "\x1b", 'label.x == "\u202e" and 3'):
        found = check(text)
        assert found.state == "bad"
        assert found.reason.isprintable()
    assert parse('label."\x1b[2J" == "\x1b]52;c" or prompt contains "\u202e"').words().isprintable()
