"""$field: what a field is in the selected trace, beside every trace."""

import numpy as np
import pytest

from tensorshark.forensics.filter import check, columns, parse, values
from tensorshark.forensics.filter.context import Context
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def matching(text: str, index: Index, selected: int) -> list[int]:
    return parse(text).select(index, context=Context(selected=selected)).tolist()


def test_a_field_of_the_selected_trace(index: Index, demo: Capture) -> None:
    traces = [demo.trace(trace) for trace in demo.ids()]
    lengths = [len(trace.token_ids) for trace in traces]
    longer = [number for number, length in enumerate(lengths, 1) if length > lengths[2]]
    assert matching("seq_len > $seq_len", index, 3) == longer
    assert 3 not in longer and matching("seq_len == $seq_len", index, 3).count(3) == 1
    same = [number for number, trace in enumerate(traces, 1) if trace.labels == traces[2].labels]
    assert matching("label.category == $label.category", index, 3) == same
    norms = [trace.stats["norm.resid_post"].astype(np.float64) for trace in traces]
    ratios = values("resid_post.norm#1 / $resid_post.norm#1[0]", index, [1, 2], context=Context(selected=5))
    assert ratios == [(norm[1] / norms[4][1, 0]).tolist() for norm in norms[:2]]


def test_vectors_of_the_selected_trace(index: Index, demo: Capture) -> None:
    vectors = np.stack(
        [demo.trace(trace).load("blocks.2.hook_resid_post")[-1].astype(np.float64) for trace in demo.ids()]
    )
    lengths = np.linalg.norm(vectors, axis=-1)
    cosines = vectors @ vectors[3] / lengths / lengths[3]
    context = Context(selected=4)
    found = columns.numbers("cos(resid_post#2[-1], $resid_post#2[-1])", index, range(1, 13), context=context)
    np.testing.assert_allclose(found, cosines, rtol=1e-12)
    apart = columns.numbers("dist(resid_post#2[-1], $resid_post#2[-1])", index, range(1, 13), context=context)
    np.testing.assert_allclose(apart, np.linalg.norm(vectors - vectors[3], axis=-1), rtol=1e-12)
    assert matching("dist(resid_post#2[-1], $resid_post#2[-1]) == 0", index, 4) == [4]


def test_another_selection_is_another_answer(index: Index) -> None:
    text = "resid_post.norm#2[-1] >= $resid_post.norm#2[-1]"
    found = [len(matching(text, index, selected)) for selected in range(1, 13)]
    assert sorted(found) == list(range(1, 13)), "as many as lie above it, and itself"


def test_a_variable_runs_over_the_trace_and_not_over_the_selected_one(odd_index: Index) -> None:
    text = "any(l, p: resid_post.norm#l[p] > 0 and $resid_post.norm#l[p] > 0)"
    for selected in (1, 5, 10):
        assert (selected in matching(text, odd_index, selected)) == (selected != 5), "5 is all NaN"


def test_without_a_selected_trace_it_is_refused_where_it_stands(index: Index) -> None:
    filter = parse("bos or seq_len > $seq_len")
    assert filter.references and not parse("bos").references
    for context in (None, Context()):
        with pytest.raises(FilterError, match="no trace is selected") as caught:
            filter.select(index, context=context)
        assert (caught.value.column, caught.value.length) == (17, 8)
    with pytest.raises(FilterError, match="no trace is selected"):
        values("$seq_len", index, [1])
    with pytest.raises(FilterError, match="no trace number 99 among 12"):
        filter.select(index, context=Context(selected=99))
    found = check("bos or seq_len > $seq_len", index)
    assert found.state == "ok" and "no trace is selected" in found.reason


def test_words() -> None:
    assert parse("resid_post.norm#1[-1] > 2 * $resid_post.norm#1[-1]").words() == (
        "traces whose residual norm after layer 1 at the last token exceeds 2 times residual norm after "
        "layer 1 at the last token of the selected trace"
    )
