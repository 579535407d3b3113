"""Fields as columns and sort keys: every value that the traces hold, gaps shown as gaps."""

import numpy as np
import pytest

from tensorshark.forensics.filter import columns, parse, sort_key, values
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def test_columns_hold_what_traces_hold(index: Index, demo: Capture) -> None:
    traces = [demo.trace(trace) for trace in demo.ids()]
    numbers = [5, 2, 9]
    chosen = [traces[number - 1] for number in numbers]
    norms = [trace.stats["norm.resid_post"] for trace in chosen]  # (layer, pos)
    entropy = [trace.stats["attn.entropy"] for trace in chosen]  # (layer, head, pos)
    assert values("id", index, numbers) == [trace.id for trace in chosen]
    assert values("number", index, numbers) == numbers
    assert values("seq_len", index, numbers) == [len(trace.token_ids) for trace in chosen]
    assert values("bos", index, numbers) == [False, False, False]
    assert values("label.category", index, numbers) == [trace.labels["category"] for trace in chosen]
    assert values("label.nowhere", index, numbers) == [None, None, None]
    assert values("token", index, numbers) == [trace.tokens for trace in chosen]
    assert values("token.id[-1]", index, numbers) == [trace.token_ids[-1] for trace in chosen]
    assert values("expert.code", index, numbers) == [[], [], []]
    assert values("resid_post.norm#2[-1]", index, numbers) == [float(norm[2, -1]) for norm in norms]
    assert values("resid_post.norm[-1]", index, numbers) == [norm[:, -1].tolist() for norm in norms]
    assert values("resid_post.norm#-1", index, numbers) == [norm[3].tolist() for norm in norms]
    assert values("resid_post.norm#9[-1]", index, numbers) == [None, None, None]
    assert values("resid_post.norm#[1,9][0]", index, numbers) == [[float(norm[1, 0])] for norm in norms]
    assert values("attn.entropy#1[2]", index, numbers) == [array[1, :, 2].tolist() for array in entropy]
    assert values("max(resid_post.norm#2)", index, numbers) == [float(norm[2].max()) for norm in norms]
    means = values("mean(attn.entropy#1[-1])", index, numbers)
    assert means == pytest.approx([array[1, :, -1].mean() for array in entropy], abs=1e-6)
    assert values("id", index, []) == []


def test_columns_of_absent_and_nan_values(odd_index: Index, odd_capture: Capture) -> None:
    assert values("seq_len", odd_index, [7]) == [None]
    assert values("resid_post.norm", odd_index, [7, 13]) == [None, None]
    trace = odd_capture.trace(odd_capture.ids()[1])
    stat = trace.stats["norm.resid_pre"]
    assert np.isnan(stat).any()
    (shown,) = values("resid_pre.norm", odd_index, [2])
    assert isinstance(shown, list)
    assert shown == [[None if np.isnan(x) else float(x) for x in row] for row in stat]


def test_sorting(index: Index) -> None:
    numbers = np.arange(1, 13)
    keys = values("resid_post.norm#2[-1]", index, numbers)
    by_norm = sort_key("resid_post.norm#2[-1]").order(index, numbers)
    assert by_norm.tolist() == sorted(numbers.tolist(), key=lambda number: keys[number - 1])
    assert sort_key("resid_post.norm#2[-1]").order(index, numbers, True).tolist() == by_norm[::-1].tolist()
    by_label = sort_key("label.category").order(index, [12, 3, 9, 1]).tolist()
    assert by_label == sorted([1, 3, 9, 12], key=lambda number: values("label.category", index, [number])[0])


def test_sorting_puts_absent_values_last_either_way_and_keeps_capture_order(odd_index: Index) -> None:
    numbers = np.arange(1, 31)
    absent = parse("not next.p").select(odd_index).tolist()
    for descending in (False, True):
        assert sort_key("next.p").order(odd_index, numbers, descending).tolist()[-len(absent) :] == absent
        by_bos = sort_key("bos").order(odd_index, numbers, descending).tolist()
        groups = [[n for n in by_bos if values("bos", odd_index, [n]) == [bos]] for bos in (False, True)]
        assert all(group == sorted(group) for group in groups)


def test_sorting_many_at_once_gives_the_same_order(odd_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(1, 31)
    keys = (
        "resid_post.norm#1[-1]",
        "mean(attn.entropy#1[-1])",
        "label.category",
        "next.p",
        "time",
        "seq_len",
    )
    for text in keys:
        for descending in (False, True):
            slow = sort_key(text).order(odd_index, numbers, descending).tolist()
            with monkeypatch.context() as patch:
                patch.setattr(columns, "_MANY", 0)
                assert sort_key(text).order(odd_index, numbers, descending).tolist() == slow, text


def test_what_cannot_be_a_column_or_a_key() -> None:
    for text in ("", "seq_len > 3", "has(bos)", "12", "resid_post", "nope", "all(seq_len)"):
        with pytest.raises(FilterError):
            values(text, None, [])  # type: ignore[arg-type]  # it is not reached
    with pytest.raises(FilterError, match="several values"):
        sort_key("resid_post.norm[-1]")
