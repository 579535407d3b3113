"""What filters say in words, what they mean where it surprises people, and that dear questions come last."""

from collections.abc import Callable

import pytest

from tensorshark.forensics.filter import Cancelled, parse
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.traces.index import Index

Select = Callable[[str], list[int]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'label.category == "injection" and resid_post.norm#12[-1] > 90',
            "labelled injection whose residual norm after layer 12 at the last token exceeds 90",
        ),
        ('not label.split == "test"', "not labelled test (split)"),
        ('label.category != "a b"', 'whose label category differs from "a b"'),
        ("seq_len in {5..40, 128}", "whose number of tokens is from 5 to 40 or 128"),
        ("seq_len not in {5}", "whose number of tokens is not 5"),
        ("not seq_len > 1.5k", "whose number of tokens does not exceed 1,500"),
        ("attn.entropy#3:1 > 1", "whose attention entropy in layer 3 of head 1 at some token exceeds 1"),
        (
            "not attn.entropy#3:1 > 1",
            "whose attention entropy in layer 3 of head 1 at any token does not exceed 1 or is not there",
        ),
        (
            "all(mlp_out.norm#[1-3][prompt]) < 2",
            "whose MLP output norm in every layer of 1 to 3 at every token of the prompt is below 2",
        ),
        (
            "min(attn_out.absmax#-1[user.2[0]]) >= 2",
            "whose smallest largest attention output magnitude in the last layer at the first token of the "
            "user.2 is at least 2",
        ),
        ("bos", "with a BOS token"),
        ("bos == false", "without a BOS token"),
        ("not has(label.x)", "without a label x"),
        ("resid_post.norm#3[-1]", "with a residual norm after layer 3 at the last token"),
        ("has(resid_post#3)", "with resid_post in layer 3 at some token"),
        ("expert.severity >= warn", "with a finding whose severity is at least warn"),
        ('not expert.code == "nan"', "without a finding whose code is nan"),
        ('token[-1] == " Paris"', 'where the last token is " Paris"'),
        ("not token.id[0] == 1", "where id of the first token is not 1 or is not there"),
        ('prompt matches r"\\bx"', "whose prompt matches /\\bx/"),
        ("time < 2026-08-01 or bos", "whose capture time is before 2026-08-01 or with a BOS token"),
        ("time in {2026-08-01..2026-08-02}", "whose capture time is from 2026-08-01 to 2026-08-02"),
        (
            'label.a == "x" and (bos or not label.b == "y")',
            "labelled x (a) and (with a BOS token or not labelled y (b))",
        ),
        ("not (bos and seq_len > 3)", "not (with a BOS token and whose number of tokens exceeds 3)"),
        (
            "resid_post.norm#3[-1] > resid_post.norm#0[-1]",
            "whose residual norm after layer 3 at the last token exceeds its residual norm after layer 0 at "
            "the last token",
        ),
        (
            "not max(resid_post.norm#20) / -resid_post.norm#20[-1] > 50",
            "whose largest residual norm after layer 20 at all tokens divided by minus residual norm after "
            "layer 20 at the last token does not exceed 50 or is not there",
        ),
        ("2 * (seq_len - 1) % 3 == 1", "whose (2 times (number of tokens minus 1)) modulo 3 is 1"),
        ("seq_len in {2*3..1k - 1}", "whose number of tokens is from 6 to 999"),
        (
            "all(resid_post.norm[-1] > attn_out.norm[-1])",
            "whose residual norm after every layer at the last token exceeds its attention output norm in "
            "every layer at the last token",
        ),
        (
            "any(l, p: resid_post.norm#l[p] > 900 && not attn.entropy#l[p] < 0.2)",
            "with a layer l and a token p where the residual norm after layer l at token p exceeds 900 and "
            "the attention entropy in layer l of any head at token p is not below 0.2 or is not there",
        ),
        (
            'any(l: resid_post.norm#l[0] > 3 and prompt contains "is whose it")',
            "with a layer l where the residual norm after layer l at the first token exceeds 3 and the "
            'prompt contains "is whose it"',
        ),
        (
            "not all(h: attn.entropy#3:h[-1] > 1 or (bos and seq_len > 3))",
            "where not at every head h the attention entropy in layer 3 of head h at the last token "
            "exceeds 1 or (with a BOS token and the number of tokens exceeds 3)",
        ),
    ],
)  # fmt: skip
def test_words(text: str, words: str) -> None:
    assert parse(text).words() == f"traces {words}"
    assert str(parse(text)) == f"traces {words}"


@pytest.fixture
def select(odd_index: Index) -> Select:
    return lambda text: parse(text).select(odd_index).tolist()


EVERY = list(range(1, 31))


def test_nothing_typed_is_everything(select: Select) -> None:
    assert select("") == select("  ") == EVERY


def test_unequal_means_that_none_is_equal(select: Select) -> None:
    # Wireshark before 3.6 answered `!=` with "any is unequal", which is nearly always true.
    equal, unequal = select('expert.code == "bos"'), select('expert.code != "bos"')
    assert equal and unequal
    assert not set(equal) & set(unequal)
    differs = select('expert.code !== "bos"')
    assert set(differs) & set(equal), "a trace with several findings has one that is bos and one that differs"
    assert select('any(expert.code) != "bos"') == differs


def test_not_equal_is_true_of_the_absent_and_unequal_is_not(select: Select) -> None:
    # Every comparison implies existence, so `not a == b` is more than `a != b`.
    has = set(select("has(label.category)"))
    assert has < set(EVERY)
    assert set(select('label.category != "fact"')) == has - set(select('label.category == "fact"'))
    assert set(select('not label.category == "fact"')) == set(EVERY) - set(select('label.category == "fact"'))


def test_an_empty_label_is_there(select: Select) -> None:
    empty = select('label.category == ""')
    assert empty
    assert set(empty) <= set(select("label.category"))


def test_two_bounds_may_be_met_by_two_cells_and_a_range_by_one_only(select: Select) -> None:
    # Wireshark's classic pitfall with fields that occur several times.
    apart = set(select("seq_len > 5 and token.id > 10 and token.id < 20"))
    together = set(select("seq_len > 5 and token.id in {11..19}"))
    assert together < apart


def test_all_asks_of_the_values_that_are_there_and_wants_one(select: Select) -> None:
    assert set(select("all(resid_post.norm[-1]) > 0")) <= set(select("resid_post.norm[-1]"))
    assert 5 not in select("all(resid_post.norm) > 0"), "all values of this one are NaN"
    assert 5 not in select("resid_post.norm") and 5 in select("not resid_post.norm")
    assert 5 in select("resid_pre.norm")


def test_a_quantifier_may_stand_around_the_whole_comparison(select: Select) -> None:
    for quantifier in ("any", "all"):
        for asked in ("> 4", "!= 4", "in {3..5}"):
            inside = select(f"{quantifier}(resid_pre.norm#1 {asked})")
            assert inside == select(f"{quantifier}(resid_pre.norm#1) {asked}") != []


def test_infinity_is_a_number_and_nan_is_none(select: Select) -> None:
    above, below = set(select("resid_pre.norm > 1e30")), set(select("resid_pre.norm < -1e30"))
    assert above and below
    assert not set(select("not (resid_pre.norm >= 0 or resid_pre.norm < 0)")) & set(select("resid_pre.norm"))


def test_a_nul_hides_nothing(select: Select) -> None:
    assert (
        select('prompt contains "after the NUL"') == select(r'prompt contains "before\0after"') == [3, 13, 23]
    )
    assert select(r'prompt matches r"\x00after"') == [3, 13, 23]
    assert select(r'label.category == "code\0nul"') == select('label.category contains "nul"') != []


def test_capitals_count_unless_asked(select: Select) -> None:
    assert select('prompt contains "IGNORE"') == []
    assert select('lower(prompt) contains "ignore"') == select('prompt matches "(?i)ignore"') != []


def test_sql_wildcards_are_plain_text(select: Select) -> None:
    assert select('prompt contains "100%"') == [10, 20, 30]
    assert select('prompt contains "%sure%"') == select('prompt contains "_s_re"') == []


def test_what_is_typed_is_never_sql(select: Select) -> None:
    assert select("""label.category == "' OR 1=1 --" """) == []
    assert select("""label."') OR 1=1 --" == "x" """) == []


def test_damaged_traces_match_what_the_journal_says_of_them_and_what_is_wrong(select: Select) -> None:
    assert select('expert.code == "integrity"') == [7, 13]
    assert 7 in select("number in {7}") and 7 in select("time > 2020-01-01") and 7 in select("id")
    assert 7 not in select("seq_len") and 7 not in select("prompt") and 7 in select("not token")
    assert (
        13 in select("token")
        and 13 not in select("resid_post.norm")
        and 13 not in select("resid_post.norm[-1]")
    )


def test_layers_count_from_the_end_of_each_traces_model(select: Select) -> None:
    shallow = set(select('model != "synthetic"'))
    assert shallow
    assert shallow & set(select("resid_pre.norm#-2[-1]")) == shallow & set(select("resid_pre.norm#0[-1]"))
    assert not shallow & set(select("resid_pre.norm#2[-1]"))


def test_the_index_and_the_traces_agree_about_the_last_token(select: Select) -> None:
    for text in ("resid_post.norm#{}{} > 5", "all(resid_pre.norm{}) < 9", "max(mlp_out.absmax#{}{}) > 1"):
        text = text.replace("#{}", "#1")
        assert select(text.format("[-1]")) == select(text.format("[all[-1]]")), text


def test_only_traces_in_question_are_opened(odd_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    trace = Index.trace
    monkeypatch.setattr(Index, "trace", lambda self, number: opened.append(number) or trace(self, number))
    asked = {
        'label.category == "fact" and resid_post.norm#1 > 1': parse('label.category == "fact"'),
        'resid_post.norm#1 > 1 and token[0] == "x" and number <= 4': parse("number <= 4"),
        "number <= 4 or resid_post.norm#1 > 1": parse("number > 4"),
        "not (number <= 4 and resid_post.norm#1 > 1)": parse("number <= 4"),
        "number <= 4 and resid_post.norm#1[-1] > 1": parse("number < 0"),
        'prompt matches "Ignore" and resid_post.norm#1 > 1': parse('prompt contains "Ignore"'),
    }
    for text, worth in asked.items():
        forget(odd_index)
        opened.clear()
        parse(text).select(odd_index)
        assert opened == worth.select(odd_index).tolist(), text


def test_a_scan_stops_when_nobody_wants_it_any_more(odd_index: Index) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    for text in ("resid_post.norm#1 > 1", 'prompt matches "x" or token == "y"'):
        asked = 0
        with pytest.raises(Cancelled):
            parse(text).select(odd_index, cancelled)
