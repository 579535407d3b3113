"""What zscore, rank and sigma may be asked, and in which words they say themselves."""

import pytest

from tensorshark.forensics.filter import expression, parse
from tensorshark.traces.errors import FilterError

NORM = "residual norm after layer 2 at the last token"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resid_post.norm#2[-1] > 3sigma", f"traces whose z-score of {NORM} exceeds 3"),
        ("-2sigma > resid_post.norm#2[-1]", f"traces whose z-score of {NORM} is below -2"),
        ("seq_len in {-1sigma..3sigma}", "traces whose z-score of number of tokens is from -1 to 3"),
        (
            "zscore(seq_len, over=has(label.x)) > 2",
            "traces whose z-score among traces with a label x of number of tokens exceeds 2",
        ),
        ("rank(seq_len) <= 10", "traces whose rank of number of tokens is at most 10"),
        ("all(resid_post.norm[-1] > 1sigma)", "traces whose z-score of residual norm after every layer at"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert parse(text).words().startswith(words)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("zscore(resid_post.norm#2) > 2", 7, "one token"),
        ("resid_post.norm#2 > 2sigma", 0, "one token"),
        ("zscore(prompt) > 2", 7, "takes a number, not text"),
        ("zscore() > 2", 0, "takes a number first"),
        ("zscore(seq_len, 3) > 2", 16, "over=FILTER"),
        ("zscore(seq_len, over=nonsense) > 2", 21, "no field"),
        ("rank(resid_post.norm[-1]) < 3", 5, "one value per trace"),
        ("rank(seq_len, next.p) < 3", 14, "takes one value"),
        ("seq_len == 3sigma", 11, "nothing is exactly 3sigma"),
        ("seq_len in {1, 3sigma}", 12, "every member is a range"),
        ("seq_len in {1..3sigma}", 12, "every member is a range"),
        ("prompt > 3sigma", 9, "the left side is text"),
        ("3sigma + 1 > seq_len", 0, "distance from the mean"),
        ("seq_len + 3sigma > 3", 10, "distance from the mean"),
    ],
)
def test_errors_point_at_what_is_wrong(text: str, column: int, reason: str) -> None:
    with pytest.raises(FilterError, match=reason) as raised:
        parse(text)
    assert raised.value.column == column


def test_they_are_columns_too() -> None:
    assert expression("zscore(resid_post.norm#2[-1])").single
    assert not expression("zscore(resid_post.norm[-1])").single
    assert expression("rank(seq_len)").whole


def test_one_trace_alone_cannot_answer_them() -> None:
    assert parse("rank(seq_len) < 3").needs_index
    assert parse("seq_len > 2sigma").needs_index
    assert parse("zscore(seq_len, over=number < 9) > 2").needs_index
