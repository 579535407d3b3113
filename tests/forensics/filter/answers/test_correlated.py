"""any(l, p: …) asks everything in it of the same cell; the index and opened traces give one answer."""

import numpy as np
import pytest

from tensorshark.forensics.filter import parse
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def matching(text: str, index: Index) -> list[int]:
    return parse(text).select(index).tolist()


def test_one_cell_has_to_satisfy_all_of_it(index: Index, demo: Capture) -> None:
    traces = [demo.trace(trace) for trace in demo.ids()]
    norms = [trace.stats["norm.resid_post"] for trace in traces]  # (layer, pos)
    sinks = [trace.stats["attn.sink"] for trace in traces]  # (layer, head, pos)
    high = float(np.median([array[:, 1:].max() for array in norms]))  # the first token is far above
    same = [
        number
        for number, (norm, each) in enumerate(zip(norms, sinks, strict=True), 1)
        if ((norm > high) & (each < 0.2).any(axis=1)).any()
    ]
    apart = matching(f"resid_post.norm > {high} and attn.sink < 0.2", index)
    together = matching(f"any(l, p: resid_post.norm#l[p] > {high} and attn.sink#l[p] < 0.2)", index)
    assert together == same
    assert set(together) < set(apart)


def test_any_and_all_are_each_others_contraries(odd_index: Index) -> None:
    body = "resid_post.norm#l[p] > 4"
    asked = matching("any(l, p: resid_post.norm#l[p])", odd_index)
    fails = matching(f"any(l, p: not {body})", odd_index)
    assert set(matching(f"all(l, p: {body})", odd_index)) == set(asked) - set(fails) != set()


def test_only_cells_where_something_is_there_are_asked(odd_index: Index) -> None:
    # A layer that was not captured satisfies `not …`, and is not asked.
    low = matching("any(l: resid_post.norm#l[-1] <= -1e9)", odd_index)
    assert matching("any(l: not resid_post.norm#l[-1] > -1e9)", odd_index) == low
    assert 7 not in matching("any(l: not resid_post.norm#l[-1] > 1)", odd_index), "it is damaged"
    assert 5 not in matching("all(l: resid_post.norm#l[-1] > 1)", odd_index), "all its values are NaN"


@pytest.mark.parametrize(
    "text",
    [
        "any(l: resid_post.norm#l{} > 4 and mean(attn.entropy#l{}) < 1)",
        "all(l: resid_post.norm#l{} > resid_pre.norm#l{})",
        "any(l: not resid_post.norm#l{} > 4 xor resid_pre.norm#l{} > 3)",
        "any(l: resid_post.norm#l{} > 2 * resid_post.norm#[0-1]{})",
        "all(l: max(resid_post.norm{}) >= resid_post.norm#l{})",
        "any(l: resid_post.norm#l{} / seq_len > 0.5 and seq_len > 3)",
        'any(l: resid_post.norm#l{} > 3 and label.category == "fact")',
        "any(l: resid_pre.norm#l{} > mlp_out.norm{})",
    ],
)
def test_index_and_opened_traces_give_one_answer(text: str, odd_index: Index) -> None:
    last, opened = text.replace("{}", "[-1]"), text.replace("{}", "[all[-1]]")
    assert matching(last, odd_index) == matching(opened, odd_index) != []


def test_each_cell_of_a_variable_meets_all_cells_of_another_field(index: Index) -> None:
    # `>` holds of a layer and some layer unless all are equal; of one and the same layer never.
    everything = list(range(1, 13))
    assert matching("any(l: resid_post.norm#l[-1] > resid_post.norm[-1])", index) == everything
    assert matching("any(l: resid_post.norm#l[-1] > resid_post.norm#l[-1])", index) == []
    assert matching("all(l: all(resid_post.norm#l[-1]) >= resid_post.norm[-1])", index) == []
    assert matching("all(p: max(resid_post.norm#2) >= resid_post.norm#2[p])", index) == everything


def test_a_number_may_stand_first(index: Index) -> None:
    above = matching("resid_post.norm[-1] > 4", index)
    assert matching("any(l: 4 < resid_post.norm#l[-1])", index) == above != []
    assert matching("any(l: -resid_post.norm#l[-1] < -4)", index) == above
