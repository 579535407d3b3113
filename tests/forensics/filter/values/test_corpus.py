"""z-scores and ranks beside numpy's, of captures in which everything odd happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tensorshark.forensics.filter import parse, values
from tensorshark.forensics.filter.columns import numbers
from tensorshark.forensics.filter.values.corpus import Sums, ranks
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

NORM = "resid_post.norm#1[-1]"


def everything(index: Index) -> np.ndarray:
    return np.arange(1, len(index) + 1)


def of_all(text: str, index: Index) -> np.ndarray:
    return numbers(text, index, everything(index))


@pytest.mark.parametrize(
    "inner", ["seq_len", NORM, "max(resid_post.norm#1)", "next.p", "resid_post.norm#1[0]"]
)
def test_a_z_score_is_the_distance_from_the_mean(odd_index: Index, inner: str) -> None:
    known = of_all(inner, odd_index)
    there = known[~np.isnan(known)]
    with np.errstate(invalid="ignore"):
        expected = (known - there.mean()) / there.std()
    np.testing.assert_allclose(of_all(f"zscore({inner})", odd_index), expected, rtol=1e-12)


def test_over_says_whose_mean_and_spread(odd_index: Index) -> None:
    known = of_all("seq_len", odd_index)
    base = known[parse('label.split == "train"').select(odd_index) - 1]
    text = 'zscore(seq_len, over=label.split == "train")'
    np.testing.assert_allclose(of_all(text, odd_index), (known - base.mean()) / base.std(), rtol=1e-12)
    assert np.isnan(of_all('zscore(seq_len, over=label.split == "nobody")', odd_index)).all()


def test_each_layer_and_head_is_by_itself_in_order_of_selection(index: Index) -> None:
    cells = np.array(values("attn.entropy#[1-3][2]", index, everything(index)))  # (trace, layer, head)
    scores = np.array(values("zscore(attn.entropy#[1-3][2])", index, everything(index)), dtype=float)
    with np.errstate(invalid="ignore"):
        expected = (cells - cells.mean(0)) / np.where(cells.std(0) > 0, cells.std(0), np.nan)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_models_of_different_depth_meet_in_order_of_selection(odd_index: Index) -> None:
    shown = values("resid_post.norm[-1]", odd_index, everything(odd_index))
    nth = [[cells[2] for cells in shown if cells and len(cells) > 2 and cells[2] is not None]]
    third = np.array(nth[0])
    scores = values("zscore(resid_post.norm[-1])", odd_index, everything(odd_index))
    with np.errstate(invalid="ignore"):
        expected = (third - third.mean()) / third.std()
    found = [cells[2] for cells in scores if cells and len(cells) > 2]
    assert [each for each in found if each is not None] == pytest.approx(
        [each for each in expected.tolist() if not np.isnan(each)]
    )


def test_a_constant_has_no_z_score_and_a_sigma_is_one(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=9)
    with Index.open(capture) as index:
        assert np.isnan(of_all("zscore(layers)", index)).all()
        for text in (f"{NORM} > 1sigma", f"{NORM} in {{1sigma..2sigma}}", f"-1sigma > {NORM}"):
            plain = text.replace(NORM, f"zscore({NORM})").replace("sigma", "")
            assert parse(text).select(index).tolist() == parse(plain).select(index).tolist()


@pytest.mark.parametrize("inner", ["seq_len", NORM, "resid_post.norm#1[0]"])
def test_a_rank_counts_those_that_are_larger(odd_index: Index, inner: str) -> None:
    known = of_all(inner, odd_index)
    there = ~np.isnan(known)
    expected = np.full(len(known), np.nan)
    expected[there] = stats.rankdata(-known[there], method="min")
    np.testing.assert_array_equal(of_all(f"rank({inner})", odd_index), expected)
    assert all(isinstance(each, int | None) for each in values(f"rank({inner})", odd_index, [1, 2, 3]))


def test_what_was_worked_out_is_not_kept_when_traces_come(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=6)
    with Index.open(capture) as index:
        before = of_all("rank(seq_len)", index), of_all("zscore(seq_len)", index)
        assert parse("rank(seq_len) <= 2").select(index).tolist()
        append_synthetic(capture, traces=30, seed=5)
        index.refresh()
        known = of_all("seq_len", index)
        np.testing.assert_array_equal(of_all("rank(seq_len)", index), stats.rankdata(-known, method="min"))
        np.testing.assert_allclose(of_all("zscore(seq_len)", index), (known - known.mean()) / known.std())
        assert not np.array_equal(before[1], of_all("zscore(seq_len)", index)[:6])
        top = np.flatnonzero(of_all("rank(seq_len)", index) <= 2) + 1
        assert parse("rank(seq_len) <= 2").select(index).tolist() == top.tolist()


def test_sums_of_batches_are_those_of_all() -> None:
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((3, 2, 1, 500)) * 1e-3 + 1e6  # where a naive sum of squares has no digits
    cells[rng.random(cells.shape) < 0.2] = np.nan
    cells[0, 0, 0, :100] = np.nan
    sums = Sums()
    for start in range(0, 500, 70):
        sums.add(cells[..., start : start + 70])
    found = sums.moments()
    np.testing.assert_allclose(found.mean, np.nanmean(cells, axis=-1), rtol=1e-14)
    np.testing.assert_allclose(found.std, np.nanstd(cells, axis=-1), rtol=1e-6)


def test_ranks_of_nothing() -> None:
    assert ranks(np.array([])).tolist() == []
    assert np.isnan(ranks(np.array([np.nan, np.nan]))).all()
    assert ranks(np.array([-np.inf, np.inf, 0.0, -0.0])).tolist() == [4, 1, 2, 2]
