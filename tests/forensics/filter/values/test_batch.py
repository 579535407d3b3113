"""One opened trace answers as the index does, also a trace that is in no index."""

import msgspec
import pytest

from tensorshark.forensics.filter import docs, parse
from tensorshark.traces.errors import FilterError, TensorsharkError
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


@pytest.mark.parametrize("text", [text for text in docs.examples() if not parse(text).needs_index])
def test_one_trace_alone_answers_as_the_index_does(text: str, odd_capture: Capture, odd_index: Index) -> None:
    filter, expected = parse(text), set(parse(text).select(odd_index).tolist())
    for number, trace_id in enumerate(odd_capture.ids(), 1):
        try:
            trace = odd_capture.trace(trace_id)
        except TensorsharkError:
            continue
        if number != 13 or not text.startswith(
            "expert"
        ):  # only the index says that its statistics are damaged
            assert filter.holds(trace) == (number in expected), number


def test_what_one_trace_cannot_tell_is_pointed_at(demo: Capture) -> None:
    filter = parse("seq_len > 3 and number <= 100")
    assert [(need.column, need.length) for need in filter.needs_index] == [(16, 6)]
    with pytest.raises(FilterError, match="number, a trace's place in its capture, cannot be told") as caught:
        filter.holds(demo.trace(demo.ids()[0]))
    assert (caught.value.column, caught.value.length) == (16, 6)


def test_an_empty_filter_holds_of_everything(demo: Capture) -> None:
    assert parse(" ").holds(demo.trace(demo.ids()[0]))


def test_statistics_that_do_not_fit_the_manifest_are_absent(demo: Capture) -> None:
    trace = demo.trace(demo.ids()[0])
    assert parse("resid_post.norm#1[0]").holds(trace)
    lying = msgspec.structs.replace(trace.manifest, token_ids=[1], tokens=["x"], attention_mask=[1])
    trace.manifest = lying
    assert not parse("resid_post.norm").holds(trace)
    assert parse("token").holds(trace)
