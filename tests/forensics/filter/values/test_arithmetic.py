"""Arithmetic: cell by cell, in float64, with IEEE 754's infinities, and absent where an operand is."""

import numpy as np
import pytest

from tensorshark.forensics.filter import columns, parse, values
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def test_cells_of_one_trace(index: Index, demo: Capture) -> None:
    stats = demo.trace(demo.ids()[4]).stats
    post, out = (stats[f"norm.{site}"].astype(np.float64) for site in ("resid_post", "attn_out"))
    entropy = stats["attn.entropy"].astype(np.float64)  # (layer, head, pos)
    (shown,) = values("resid_post.norm / attn_out.norm", index, [5])
    assert shown == (post / out).tolist()
    (shown,) = values("resid_post.norm[-1] % attn_out.norm[0]", index, [5])
    assert shown == np.mod(post[:, -1], out[:, 0]).tolist()
    (shown,) = values("resid_post.norm - attn.entropy", index, [5])
    assert shown == (post[:, None] - entropy).tolist(), "a side without an axis meets all of it"
    (shown,) = values("resid_post.norm#[0-1][-1] - resid_post.norm#[2-3][-1]", index, [5])
    assert shown == (post[:2, -1] - post[2:, -1]).tolist(), "the nth meets the nth"
    assert values("resid_post.norm#[0-1][-1] - resid_post.norm#[1-3][-1]", index, [5]) == [None]
    assert values("-seq_len * 2 + 1", index, [5]) == [-2 * post.shape[1] + 1]


def test_stored_numbers_are_converted_before_and_not_after(index: Index, demo: Capture) -> None:
    stored = demo.trace(demo.ids()[0]).stats["norm.resid_post"][2, -1]
    (shown,) = values("resid_post.norm#2[-1] / 3", index, [1])
    assert shown == float(stored) / 3 != float(stored / np.float32(3))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(seq_len - seq_len) / (number - number)", None),
        ("1 / (seq_len - seq_len)", np.inf),
        ("-1 / (seq_len - seq_len)", -np.inf),
        ("1 / (seq_len - seq_len) - 1 / (seq_len - seq_len)", None),
        ("-7 % (number + 2)", 2.0),
        ("7 % -(number + 2)", -2.0),
        ("number % 0", None),
        ("next.p + seq_len * label_none", None),
    ],
)
def test_zeros_infinities_and_signs(text: str, found: float | None, index: Index) -> None:
    if "label_none" in text:
        text = "next.p + len(label.nowhere)"
    assert values(text, index, [1]) == [found]


def test_index_and_opened_traces_give_the_same(odd_index: Index) -> None:
    for text in (
        "resid_post.norm#1[{}] / seq_len > 1",
        "all(resid_post.norm[{}] - resid_pre.norm[{}]) > 0",
        "max(resid_post.norm[{}] / attn_out.norm[{}]) > 2",
        "resid_post.norm#[0-1][{}] > 1.1 * resid_post.norm#[-2--1][{}]",
        "mean(attn.entropy[{}]) * 2 > mean(attn.entropy#0[{}])",
    ):
        last, opened = (text.replace("{}", where) for where in ("-1", "all[-1]"))
        assert parse(last).select(odd_index).tolist() == parse(opened).select(odd_index).tolist() != [], text


def test_sorting_and_numbers(odd_index: Index) -> None:
    text, numbers = "resid_post.norm#1[-1] / seq_len", np.arange(1, 31)
    shown = values(text, odd_index, numbers)
    keys = columns.numbers(text, odd_index, numbers[::-1])[::-1]
    assert [None if np.isnan(key) else key for key in keys] == shown
    order = columns.sort_key(text).order(odd_index, numbers)
    there = [number for number in order.tolist() if shown[number - 1] is not None]
    assert there == sorted(there, key=lambda number: shown[number - 1])
    assert order.tolist()[: len(there)] == there
