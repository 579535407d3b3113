"""Why a trace matches: the clauses and the cells, checked against the traces themselves."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.answers.why import MOST, Why
from tensorshark.forensics.filter.context import Context
from tensorshark.traces.index import Index


def why(index: Index, text: str, number: int) -> list[Why]:
    """Of one trace, which matches."""
    asked = parse(text)
    assert number in asked.select(index)
    (found,) = asked.why(index, [number])
    return found


def test_a_clause_is_said_as_it_was_typed_and_in_words(index: Index) -> None:
    (found,) = why(index, '  label.category=="injection"', 2)
    assert found.clause == 'label.category=="injection"'
    assert found.words == "labelled injection"
    assert found.true
    assert msgspec.to_builtins(found.cells) == [{"value": "injection"}]
    assert found.count == 1


def test_cells_have_their_layer_head_and_token(index: Index) -> None:
    (found,) = why(index, "attn.entropy#[1-2]:1[-2:] > 0.01", 3)
    trace = index.trace(3)
    last = len(trace.token_ids) - 1
    grid = trace.stats["attn.entropy"]  # (layer, head, pos)
    expected = {
        (layer, 1, token): float(grid[layer, 1, token])
        for layer in (1, 2)
        for token in (last - 1, last)
        if grid[layer, 1, token] > 0.01
    }
    assert {(cell.layer, cell.head, cell.token): cell.value for cell in found.cells} == expected
    assert found.count == len(expected) > 1


def test_a_column_of_the_index_gives_the_same_cells_as_the_trace(index: Index) -> None:
    (stored,) = why(index, "resid_post.norm[-1] > 1", 4)
    (opened,) = why(index, "resid_post.norm[all[-1]] > 1", 4)
    assert stored.cells == opened.cells
    assert stored.count == opened.count
    assert {cell.token for cell in stored.cells} == {len(index.trace(4).token_ids) - 1}


def test_no_more_than_twenty_are_listed(index: Index) -> None:
    (found,) = why(index, "resid_post.norm >= 0", 5)
    trace = index.trace(5)
    assert len(found.cells) == MOST
    assert found.count == trace.stats["norm.resid_post"].size


def test_only_the_true_side_of_or_is_told(index: Index) -> None:
    text = 'label.category == "injection" or seq_len > 1 or token[0] == "nothing of the kind"'
    assert [found.clause for found in why(index, text, 2)] == ['label.category == "injection"', "seq_len > 1"]
    assert [found.clause for found in why(index, text, 1)] == ["seq_len > 1"]


def test_under_not_it_is_the_clause_that_is_not_true(index: Index) -> None:
    (found,) = why(index, 'not (label.category == "injection" and seq_len > 1)', 1)
    assert found.clause == 'label.category == "injection"'
    assert found.words == "not labelled injection"
    assert not found.true
    assert [cell.value for cell in found.cells] == ["credential"], "what it is instead"
    both = why(index, 'not (label.category == "injection" or seq_len > 999)', 1)
    assert [(each.clause, each.true) for each in both] == [
        ('label.category == "injection"', False),
        ("seq_len > 999", False),
    ]
    assert both[1].cells[0].value == len(index.trace(1).token_ids)


def test_of_xor_both_sides_are_told(index: Index) -> None:
    found = why(index, 'label.category == "injection" xor seq_len > 999', 2)
    assert [each.true for each in found] == [True, False]


def test_two_values_of_a_trace_are_told_together(index: Index) -> None:
    (found,) = why(index, "resid_post.norm#1[-1] > attn_out.norm#0[-1]", 6)
    (cell,) = found.cells
    stats = index.trace(6).stats
    assert cell.value == pytest.approx(float(stats["norm.resid_post"][1, -1]))
    assert cell.other == pytest.approx(float(stats["norm.attn_out"][0, -1]))
    assert cell.layer == 1


def test_a_cell_of_a_span_is_told_by_its_position(odd_index: Index) -> None:
    asked = parse("token.id[response[0]] >= 0")
    number = int(asked.select(odd_index)[0])
    (found,) = why(odd_index, asked.text, number)
    trace = odd_index.trace(number)
    assert found.cells[0].token == trace.spans["response"].start
    assert found.cells[0].value == trace.token_ids[trace.spans["response"].start]


def test_tensors_that_are_there_have_no_value(index: Index) -> None:
    (found,) = why(index, "resid_post#1[-1]", 1)
    assert msgspec.to_builtins(found.cells) == [{"layer": 1, "token": len(index.trace(1).token_ids) - 1}]


def test_cells_of_variables_are_told(index: Index) -> None:
    (found,) = why(index, "any(l, p: resid_post.norm#l[p] > 4 and attn.entropy#l:0[p] > 0.1)", 3)
    stats = index.trace(3).stats
    both = (stats["norm.resid_post"] > 4) & (stats["attn.entropy"][:, 0] > 0.1)
    expected = [(int(layer), int(token)) for layer, token in np.argwhere(both)]
    assert [(cell.layer, cell.token) for cell in found.cells] == expected[:MOST] != []
    assert found.count == len(expected)
    (failed,) = why(index, "not all(l: resid_post.norm#l[-1] > 15)", 3)
    assert not failed.true
    low = np.flatnonzero(stats["norm.resid_post"][:, -1] <= 15).tolist()
    assert [cell.layer for cell in failed.cells] == low != []


def test_cells_of_variables_have_the_values_of_the_fields_that_use_them(index: Index) -> None:
    text = "any(l, p: resid_post.norm#l[p] / 2 > 2 and attn.entropy#l[p] > 0.1 and resid_post.norm#1[-1] > 0)"
    (found,) = why(index, text, 3)
    stats = index.trace(3).stats
    for cell in found.cells:
        assert cell.layer is not None and cell.token is not None
        assert cell.values == {
            "resid_post.norm#l[p]": stats["norm.resid_post"][cell.layer, cell.token],
            "attn.entropy#l[p]": stats["attn.entropy"][cell.layer, :, cell.token].tolist(),
        }


def test_absent_fields_and_many_values_of_variables(index: Index) -> None:
    (found,) = why(index, "any(l: resid_post.norm#l[-1] > 1 or lens.top#l[99] == token[0])", 2)
    norms = index.trace(2).stats["norm.resid_post"]
    assert found.cells[0].values["resid_post.norm#l[-1]"] == norms[found.cells[0].layer, -1]
    assert found.cells[0].values["lens.top#l[99]"] is None
    (found,) = why(index, "any(l: resid_post.norm#l > 1)", 2)
    assert found.cells[0].values == {"resid_post.norm#l": norms[found.cells[0].layer, :MOST].tolist()}


def test_a_field_of_the_selected_trace_has_its_own_values(index: Index) -> None:
    asked, context = parse("any(l: resid_post.norm#l[-1] >= $resid_post.norm#l[-1])"), Context(selected=1)
    (number,) = [each for each in asked.select(index, context=context).tolist() if each != 1][:1]
    ((found,),) = asked.why(index, [number], context)
    ours, theirs = (index.trace(each).stats["norm.resid_post"][:, -1] for each in (number, 1))
    for cell in found.cells:
        expected = {"resid_post.norm#l[-1]": ours[cell.layer], "$resid_post.norm#l[-1]": theirs[cell.layer]}
        assert cell.values == expected


def test_many_traces_in_any_order(odd_index: Index) -> None:
    asked = parse('prompt contains "e" and (resid_pre.norm#1 > 4 or not expert.code == "bos")')
    numbers = asked.select(odd_index)[::-1]
    assert len(numbers) > 3
    together = asked.why(odd_index, numbers)
    assert together == [asked.why(odd_index, [number])[0] for number in numbers.tolist()]
    for clauses in together:
        assert clauses[0].clause == 'prompt contains "e"'
        for each in clauses:
            assert each.count >= len(each.cells)
            msgspec.json.encode(each)


def test_why_and_select_agree(odd_index: Index) -> None:
    asked = parse("resid_pre.norm#1 > 4")
    numbers = asked.select(odd_index)
    for number, (found,) in zip(numbers.tolist(), asked.why(odd_index, numbers), strict=True):
        grid = odd_index.trace(number).stats["norm.resid_pre"]
        rows = odd_index.trace(number).stat_layers("norm.resid_pre")
        with np.errstate(invalid="ignore"):
            expected = grid[rows.index(1)] > 4
        assert found.count == int(expected.sum())
        assert [cell.token for cell in found.cells] == np.flatnonzero(expected)[:MOST].tolist()


def test_the_empty_filter_has_no_reason(index: Index) -> None:
    assert parse("").why(index, [1, 2]) == [[], []]


def test_how_many_satisfy_each_clause_alone(index: Index) -> None:
    counts = parse('label.category == "injection" and not (seq_len > 1 or token[0] == "zzz")').counts(index)
    assert [(each.clause, each.count, each.of) for each in counts] == [
        ('label.category == "injection"', 2, 12),
        ("seq_len > 1", 12, 12),
        ('token[0] == "zzz"', 0, 12),
    ]


def test_a_clause_of_a_macro_is_said_as_it_stands_there(index: Index) -> None:
    asked = parse("${long} and seq_len > 1", {"long": "seq_len > 2"})
    assert [found.clause for found in asked.why(index, [1])[0]] == ["seq_len > 2", "seq_len > 1"]
