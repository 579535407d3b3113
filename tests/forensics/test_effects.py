"""Effects beside scipy and scikit-learn, with ties, constants, few values and infinite ones."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tensorshark.forensics.effects import Z, contrasts, exact_p, holm, newcombe

RNG = np.random.default_rng(7)
SAMPLES = {
    "plain": [RNG.standard_normal(60), RNG.standard_normal(45) + 0.4, RNG.standard_normal(80) * 2],
    "ties": [RNG.integers(0, 5, 40).astype(float), RNG.integers(1, 6, 31).astype(float)],
    "few": [RNG.standard_normal(5), RNG.standard_normal(20) + 1],
    "few with ties": [np.array([1.0, 1.0, 2.0]), np.array([1.0, 3.0])],
    "infinite": [np.array([1.0, 2.0, np.inf]), np.array([-np.inf, 0.5, 2.0, np.inf])],
}


def found(*samples: np.ndarray) -> list:
    return contrasts("x", [[str(at)] for at in range(len(samples))], [np.sort(each) for each in samples])


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
def test_auroc_and_p_are_those_of_scipy_and_sklearn(samples: list[np.ndarray]) -> None:
    for contrast, (a, b) in zip(found(*samples), combinations(samples, 2), strict=True):
        truth = np.concatenate([np.ones(len(a)), np.zeros(len(b))])
        score = stats.rankdata(np.concatenate([a, b]))  # sklearn takes no infinite scores
        assert contrast.auroc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        expected = stats.mannwhitneyu(a, b, method="exact" if contrast.p_method == "exact" else "asymptotic")
        assert contrast.p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("samples", [SAMPLES["plain"], SAMPLES["ties"]], ids=["plain", "ties"])
def test_delongs_interval_is_that_of_its_definition(samples: list[np.ndarray]) -> None:
    for contrast, (a, b) in zip(found(*samples), combinations(samples, 2), strict=True):
        kernel = (a[:, None] > b) + 0.5 * (a[:, None] == b)  # (a, b)
        variance = kernel.mean(1).var(ddof=1) / len(a) + kernel.mean(0).var(ddof=1) / len(b)
        reach = Z * math.sqrt(variance)
        area = kernel.mean()
        assert contrast.auroc_method == "DeLong"
        assert contrast.auroc_interval == pytest.approx((max(0, area - reach), min(1, area + reach)))


def test_cohens_d_is_the_pooled_t_without_the_sizes() -> None:
    for contrast, (a, b) in zip(found(*SAMPLES["plain"]), combinations(SAMPLES["plain"], 2), strict=True):
        sizes = 1 / len(a) + 1 / len(b)
        assert contrast.difference == pytest.approx(a.mean() - b.mean())
        assert contrast.d == pytest.approx(stats.ttest_ind(a, b).statistic * math.sqrt(sizes))
        reach = Z * math.sqrt(sizes + contrast.d**2 / (2 * (len(a) + len(b))))
        assert contrast.d_interval == pytest.approx((contrast.d - reach, contrast.d + reach))


def test_constants_one_value_and_none() -> None:
    same, other, one, nothing = np.full(4, 2.0), np.full(5, 3.0), np.array([2.5]), np.array([])
    by_pair = {(c.a[0], c.b[0]): c for c in found(same, other, one, nothing)}
    apart = by_pair["0", "1"]
    assert (apart.difference, apart.d, apart.auroc) == (-1, None, 0)
    assert apart.auroc_method == "Newcombe" and apart.auroc_interval[0] == 0 < apart.auroc_interval[1] < 1
    alone = by_pair["0", "2"]
    assert (alone.n_b, alone.auroc, alone.d) == (1, 0, None)
    empty = by_pair["0", "3"]
    assert (empty.n_b, empty.difference, empty.auroc, empty.p, empty.p_method) == (0, None, None, None, "")
    equal = found(same, same)[0]
    assert (equal.difference, equal.d, equal.auroc, equal.p) == (0, None, 0.5, 1)


def test_infinite_values_have_ranks_and_no_distance() -> None:
    contrast = found(*SAMPLES["infinite"])[0]
    assert (contrast.difference, contrast.d, contrast.d_interval) == (None, None, None)
    assert contrast.auroc is not None


def test_newcombes_interval_holds_the_area_and_narrows_with_more_values() -> None:
    wide, narrow = newcombe(1.0, 5, 5), newcombe(1.0, 500, 500)
    assert wide[1] == narrow[1] == 1 and 0.4 < wide[0] < narrow[0] < 1
    low, high = newcombe(0.7, 20, 30)
    assert low < 0.7 < high
    mirrored = newcombe(0.3, 30, 20)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


def test_the_exact_distribution_sums_to_one() -> None:
    assert exact_p(0, 1, 1) == 1
    assert exact_p(0, 3, 4) == pytest.approx(2 / math.comb(7, 3))
    assert exact_p(6, 3, 4) == 1


def test_few_beside_many_takes_no_memory() -> None:
    contrast = found(np.arange(8.0), np.arange(100_000.0) + 0.5)[0]
    assert contrast.p_method == "normal" and contrast.p < 0.001


def test_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06], abs=1e-12)
    assert holm([0.9, 0.8]) == [1, 1]
