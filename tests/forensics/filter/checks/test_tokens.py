"""Token literals in filters: what they may be compared with, and what they find."""

import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index


@pytest.mark.parametrize(
    ("literal", "plain"),
    [
        ('token == t"Ġthe"', 'token == " the"'),
        ('token[-1] != t"▁of"', 'token[-1] != " of"'),
        ('next.token in {t"Ġthe", "x"}', 'next.token in {" the", "x"}'),
        ('token >= t"Ġthe"', 'token >= " the"'),
        ("token == t:5", "token.id == 5"),
        ("t:5 == token[0]", "token.id[0] == 5"),
        ("t:5 < token[0]", "token.id[0] > 5"),
        ("all(token) != t:5", "all(token.id) != 5"),
        ("all(token != t:5)", "all(token.id != 5)"),
        ("token !== t:5", "token.id !== 5"),
        ("token in {t:5, t:7..9, t:11..t:12}", "token.id in {5, 7..9, 11..12}"),
        ("token not in {t:5}", "token.id not in {5}"),
        ("token.id[0] == t:5", "token.id[0] == 5"),
        ("next.token == t:5", "next.id == 5"),
        ("next.id in {t:5}", "next.id in {5}"),
    ],
)
def test_a_literal_is_the_text_or_the_id(literal: str, plain: str) -> None:
    assert parse(literal).predicate == parse(plain).predicate


@pytest.mark.parametrize(
    ("text", "reason", "pointed"),
    [
        ('token == t"Ã"', "Ã is only part of a character", 't"Ã"'),
        ('label.category == t"x"', 't"…" is a token as its vocabulary spells it', 't"x"'),
        ('lower(token) == t"x"', 't"…" is a token as its vocabulary spells it', 't"x"'),
        ('token contains t"x"', 't"…" is one token; search with a text in quotes', 't"x"'),
        ('token matches t"x"', 't"…" is one token; search with a text in quotes', 't"x"'),
        ("label.category == t:5", "t:5 is a token's id; compare token or next.token with it", "t:5"),
        ("seq_len > t:5", "t:5 is a token's id", "t:5"),
        ("token == t:-1", "a token's id is one whole number", "t:-1"),
        ("token == t:[1-3]", "a token's id is one whole number", "t:[1-3]"),
        ('token in {t:5, "x"}', "a set of tokens is either of ids, t:262, or of texts", '"x"'),
        ("t:5", "t:262 is a token's id", "t"),
        ("t:5 == t:6", "t:5 is a token's id", "t:5"),
        ("token == t:5.5", "5.5 is not an index", "5.5"),
        ("token in {t:9..5}", "this range is empty", "t:9..5"),
    ],
)
def test_where_a_literal_makes_no_sense_it_is_said(text: str, reason: str, pointed: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    error = caught.value
    assert error.reason.startswith(reason)
    assert text[error.column : error.column + error.length].startswith(pointed)


def test_literals_find_what_the_traces_have(index: Index) -> None:
    trace = index.trace(3)
    token = trace.token_ids[1]
    found = parse(f"token[1] == t:{token}").select(index).tolist()
    assert 3 in found
    spelled = trace.tokens[1].replace(" ", "Ġ")
    assert found == parse(f't"{spelled}" == token[1]').select(index).tolist()
    best = trace.manifest.next_tokens[0]
    assert 3 in parse(f"next.token == t:{best.id}").select(index).tolist()
    assert parse(f"next.id == {best.id}").holds(trace)


def test_a_literal_says_itself() -> None:
    assert check('token[-1] == t"Ġthe"').words == 'traces where the last token is " the"'
    assert check("token[-1] == t:262").words == "traces where id of the last token is 262"


def test_the_size_of_a_trace_is_that_of_its_files(index: Index) -> None:
    sizes = {row.number: row.bytes for row in index.rows(list(range(1, 13)))}
    middle = sorted(sizes.values())[6]
    assert parse(f"bytes > {middle}").select(index).tolist() == [
        number for number, size in sizes.items() if size > middle
    ]
    with pytest.raises(FilterError, match="once a trace is on disk"):
        parse("bytes > 1k").holds(index.trace(1))
