"""Columns of two token sequences, and where two traces part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.compare import align
from tensorshark.traces.sites import SITES
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.panes.aligned import Column, columns, compare, parting, refusal


def test_differing_tokens_stand_side_by_side_and_surplus_ones_alone() -> None:
    assert columns([(0, 0), (2, 2), (3, 4)], 5, 5) == [
        Column(0, 0, 0),
        Column(1, 1, -1),
        Column(2, 2, 1),
        Column(None, 3, -1),
        Column(3, 4, 2),
        Column(4, None, -1),
    ]
    assert columns([], 2, 1) == [Column(0, 0, -1), Column(1, None, -1)]
    assert columns([], 0, 0) == []


@given(st.lists(st.integers(0, 4), max_size=20), st.lists(st.integers(0, 4), max_size=20))
def test_every_token_of_both_has_one_column_in_order(a: list[int], b: list[int]) -> None:
    pairs = align(a, b)
    found = columns(pairs, len(a), len(b))
    assert [column.a for column in found if column.a is not None] == list(range(len(a)))
    assert [column.b for column in found if column.b is not None] == list(range(len(b)))
    assert [(column.a, column.b) for column in found if column.pair >= 0] == pairs
    assert [column.pair for column in found if column.pair >= 0] == list(range(len(pairs)))


def test_distances_are_of_the_aligned_rows(capture: Capture) -> None:
    ids = capture.ids()
    a, b = capture.trace(ids[0]), capture.trace(ids[6])  # both: The password for the ... server is
    found = compare(a, b, "mlp_out")
    assert found.layers == tuple(range(6))
    assert len(found.pairs) >= 4
    for layer in found.layers:
        name = SITES["mlp_out"].at(layer)
        x, y = a.load(name).astype(np.float64), b.load(name).astype(np.float64)
        for index, (i, j) in enumerate(found.pairs):
            np.testing.assert_allclose(found.distances[layer].l2[index], np.linalg.norm(x[i] - y[j]))
            cosine = x[i] @ y[j] / (np.linalg.norm(x[i]) * np.linalg.norm(y[j]) + 1e-8)
            np.testing.assert_allclose(found.distances[layer].cosine[index], cosine)


def test_states_part_at_the_first_aligned_token_and_step_that_differ(capture: Capture) -> None:
    ids = capture.ids()
    a, b = capture.trace(ids[0]), capture.trace(ids[6])
    place = parting(a, b)
    assert place is not None
    assert (place.token, place.layer, place.site) == (0, 0, "resid_pre")
    x, y = (trace.load(SITES["resid_pre"].at(0))[0].astype(np.float64) for trace in (a, b))
    expected = np.linalg.norm(x - y) / max(np.linalg.norm(x), np.linalg.norm(y))
    np.testing.assert_allclose(place.share, expected)
    assert parting(a, a) is None


def test_other_models_and_other_sites_are_refused(capture: Capture, tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "y.tshark", traces=1, layers=6, heads=3, d_model=16, vocab=64, seed=9)
    a, b = capture.trace(capture.ids()[0]), other.trace(other.ids()[0])
    assert "different models" in refusal(a, b)
    same = capture.trace(capture.ids()[1])
    assert refusal(a, same) == ""
    del same.sites["mlp_out"]
    assert "mlp_out was not captured alike" in refusal(a, same)
