"""What is offered while typing: what fits at the caret, with the values that this capture has."""

import time

import pytest

from tensorshark.forensics.filter import check, complete, docs
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import fields
from tensorshark.traces.case import Case
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture


def offers(text: str, index: Index | None = None, context: Context | None = None) -> list[str]:
    return [offer.text for offer in complete(text, len(text), index, context)]


def constants(text: str, index: Index | None = None, context: Context | None = None) -> list[str]:
    return [offer.text for offer in complete(text, len(text), index, context) if offer.kind == "value"]


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
    assert constants("model == ", index) == ['"synthetic"']


def test_odd_label_values_are_offered_so_that_they_can_be_read(odd_index: Index) -> None:
    for text in ("label.category == ", 'label."odd key" == '):
        for offer in constants(text, odd_index):
            assert check(text + offer, odd_index).state == "ok"
    assert r'"code\x00nul"' in offers("label.category == ", odd_index)
    assert 'label."odd key"' in offers("label.", odd_index)


def test_spans_in_brackets(odd_index: Index) -> None:
    assert offers("resid_post.norm#1[", odd_index) == ["-1]", "prompt]", "response]"]
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
            fine = ("needs", "compare", "is a function", "there is no field label.", "z-score")
            assert found.state != "bad" or any(words in found.reason for words in fine), (going, found.reason)


def test_fields_with_their_axes_and_how_many_traces_have_them(odd_index: Index) -> None:
    fields(odd_index, None)
    found = {offer.text: offer.detail for offer in complete("", 0, odd_index)}
    assert found["label.split"] == "text; 12 of 30 traces"
    assert found["attn.entropy"].startswith("number #layer :head [pos]; nats; 16 of 30 traces; ")
    assert found["lens.top"].startswith("text #layer [pos]; analyzer logit-lens; ")
    assert "traces" not in found["seq_len"], "all have it"
    assert found["max("].startswith("max(f): ")


def test_parts_and_letters_of_names() -> None:
    assert "resid_post.norm" in offers("norm")
    assert offers("rpstn")[0] == "resid_post.norm"
    assert "resid_post.norm" in offers("bos and rspn")
    assert offers("zzqq") == []


def test_values_behind_whatever_is_on_the_left(index: Index) -> None:
    for text in (
        "lower(label.category) == ",
        "any(label.category) == ",
        "not label.category in {",
        "(label.category ==",
    ):
        assert '"injection"' in constants(text, index), text
    assert "resid_post.norm" in offers("max(resid_post.norm#2) / 3 > ")
    assert "prompt" not in offers("seq_len % 2 == ")
    assert "prompt" in offers("label.category != ")
    assert offers("max(resid_post.norm#2) / resid_post.norm#2[-1] ")[0] == "> "


def test_operands_of_the_type_that_is_wanted(index: Index) -> None:
    def fields_at(text: str) -> list[str]:
        return [offer.text for offer in complete(text, len(text), index) if offer.kind == "field"]

    assert "resid_post.norm" in fields_at("seq_len > 2 * ") and "prompt" not in fields_at("seq_len > 2 * ")
    assert "resid_post" in fields_at("cos(resid_post#1[-1], ") and "seq_len" not in fields_at("cos(")
    assert fields_at("cos(resid_post#1[-1], $re") == ["$resid_pre", "$resid_post"]
    assert "prompt" in fields_at("len(") and "seq_len" not in fields_at("len(")
    assert "$next.p" in fields_at("seq_len > $") and "$prompt" not in fields_at("seq_len > $")
    found = {offer.text: offer.detail for offer in complete("quan", 4)}
    assert found["quantile("].startswith("quantile(f, share): ")
    assert offers("zscore(next.p, ")[0] == "over=" and "over=" not in offers("zscore(")


def test_macros_and_the_selected_trace() -> None:
    context = Context(macros={"loud": "resid_post.norm > $1", "quiet": "seq_len < 3"})
    assert offers("bos and ${", context=context) == ["${loud(", "${quiet}"]
    assert offers("${q", context=context) == ["${quiet}"]
    found = {offer.text: offer.detail for offer in complete("seq_len > $", 11, None, context)}
    assert "${quiet}" in found and found["$seq_len"].startswith("no trace is selected")
    chosen = {offer.text: offer.detail for offer in complete("seq_len > $se", 13, None, Context(selected=3))}
    assert not chosen["$seq_len"].startswith("no trace")


def test_tokens_in_the_tokenizers_spelling() -> None:
    for field in ("token[-1]", "next.token", "lens.top#3[-1]"):
        assert {'t"', "t:"} <= set(constants(f"{field} == ")), field
    assert 't"' not in constants("prompt == ")


def test_variables_where_they_stand() -> None:
    assert offers("any(l, p: resid_post.norm#")[:2] == ["l", "p"]
    assert offers("any(l, p: resid_post.norm#l[")[:2] == ["l]", "p]"]
    assert offers("any(l, p: bos) and resid_post.norm#") == ["-1"]
    assert offers("any(l: attn.entropy#l:") == ["l"]


def test_units_behind_numbers() -> None:
    assert offers("resid_post.norm#1[-1] > 3s") == ["3sigma"]
    assert offers("resid_post.norm#1[-1] > 1.5") == []
    assert offers("bytes > 8K") == ["8Ki"]
    assert offers("resid_post.norm#1") == []
    assert offers('prompt contains "1.5') == []


def test_history_begins_with_what_is_typed_most_recent_first(index: Index) -> None:
    history = ["seq_len > 30", "bos", "seq_len > 3 and bos", "not bos"]
    assert [offer.text for offer in complete("", 0, index, None, history)][:4] == history
    found = complete("seq_len > 3", 11, index, None, history)
    said = [(offer.text, offer.start, offer.stop) for offer in found if offer.kind == "history"]
    assert said == [("seq_len > 30", 0, 11), ("seq_len > 3 and bos", 0, 11)]
    within = complete("bos", 3, index, None, history)
    assert [offer.text for offer in within if offer.kind == "history"] == ["seq_len > 3 and bos", "not bos"]
    assert not [offer for offer in complete("bos", 1, index, None, history) if offer.kind == "history"]


def test_marks_and_tags_of_the_case(demo: Capture, index: Index) -> None:
    with Case.open(demo, write=True) as case:
        case.mark([index.id_of(1)], "suspect")
        case.tag([index.id_of(2)], "leak")
        context = Context(case=case)
        assert "mark.suspect" in offers("not mar", index, context)
        assert constants("tag == ", index, context) == ['"leak"']


def test_offers_come_within_five_milliseconds(index: Index) -> None:
    for text in ("", "label.category == ", "resid_post.norm#1[-1] > 3 and pro"):
        best = 1.0
        for _ in range(5):
            before = time.process_time()
            complete(text, len(text), index)
            best = min(best, time.process_time() - before)
        assert best < 0.005
