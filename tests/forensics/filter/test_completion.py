"""What is offered while typing: what fits at the caret, with the values that this capture has."""

import time

import pytest

from tensorshark.forensics.filter import check, complete, docs
from tensorshark.traces.index import Index


def offers(text: str, index: Index | None = None) -> list[str]:
    return [offer.text for offer in complete(text, len(text), index)]


def test_fields_at_the_start_and_after_logic() -> None:
    for text in ("", "bos and ", "not ", "(", "has(", "all("):
        assert {"prompt", "resid_post.norm", "seq_len"} <= set(offers(text))
    assert offers("resid_post.") == ["resid_post.norm", "resid_post.absmax"]
    assert "has(" in offers("ha")
    assert "resid_post.norm" in offers("norm"), "a part of a name finds it"


def test_operators_that_fit_the_type() -> None:
    assert {"contains ", "matches ", "== "} <= set(offers("prompt "))
    assert not {"> ", "< "} & set(offers("prompt "))
    assert "contains " not in offers("seq_len ")
    assert offers("prompt co") == ["contains "]
    assert offers("seq_len > 3 a") == ["and "]


def test_values_of_labels_with_counts(index: Index) -> None:
    found = complete('label.category == "in', 21, index)
    offered = [(offer.text, offer.start, offer.stop, offer.kind) for offer in found]
    assert offered == [('"injection"', 18, 21, "value")]
    assert found[0].detail == "2 traces"
    assert len(offers("label.category in {", index)) == 6
    assert "label.category" in offers("label.", index)
    assert offers("expert.severity >= ") == ["note", "warn", "error"]
    assert offers("model == ", index) == ['"synthetic"']


def test_odd_label_values_are_offered_so_that_they_can_be_read(odd_index: Index) -> None:
    for text in ("label.category == ", 'label."odd key" == '):
        for offer in offers(text, odd_index):
            assert check(text + offer, odd_index).state == "ok"
    assert r'"code\x00nul"' in offers("label.category == ", odd_index)
    assert 'label."odd key"' in offers("label.", odd_index)


def test_spans_in_brackets(odd_index: Index) -> None:
    assert offers("resid_post.norm#1[", odd_index) == ["prompt]", "response]"]
    assert offers("resid_post.norm#1[re", odd_index) == ["response]"]


def test_nothing_after_what_is_wrong() -> None:
    assert offers("seq_len > > ") == []
    assert offers('prompt contains "some te') == []
    assert complete("prompt contains", 3)[0].text == "prompt"


@pytest.mark.parametrize("text", docs.examples())
def test_every_offer_leads_on(index: Index, text: str) -> None:
    for stop in range(0, len(text), 3):
        for offer in complete(text[:stop], stop, index)[:12]:
            assert 0 <= offer.start <= offer.stop == stop
            going = text[: offer.start] + offer.text
            found = check(going, index)
            fine = ("needs", "compare", "is a function", "there is no field label.")
            assert found.state != "bad" or any(words in found.reason for words in fine), (going, found.reason)


def test_offers_come_within_five_milliseconds(index: Index) -> None:
    for text in ("", "label.category == ", "resid_post.norm#1[-1] > 3 and pro"):
        best = 1.0
        for _ in range(5):
            before = time.process_time()
            complete(text, len(text), index)
            best = min(best, time.process_time() - before)
        assert best < 0.005
