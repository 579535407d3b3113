"""Findings about the numbers: not finite, infinite, massive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tensorshark.traces.sites import SITES

pytestmark = pytest.mark.model

LAYERS = [4, 7]


def row(**changed: Any) -> Any:
    """Two layers of three tokens and eight dimensions; `site_layer_pos_dim=value` changes one value."""
    from tensorshark.forensics.capture.forward import Row

    rng = np.random.default_rng(0)
    tensors = {
        SITES[site].at(layer): rng.uniform(0.01, 0.1, (3, 8)).astype(np.float32)
        for site in ("resid_pre", "resid_post")
        for layer in LAYERS
    }
    for place, value in changed.items():
        site, layer, position, dim = place.rsplit("_", 3)
        tensors[SITES[site].at(int(layer))][int(position), int(dim)] = value
    stats = {
        f"absmax.{site}": np.stack([np.abs(tensors[SITES[site].at(layer)]).max(-1) for layer in LAYERS])
        for site in ("resid_pre", "resid_post")
    }
    return Row(tensors=tensors, stats=stats, next_ids=[], next_p=[])


def found(**changed: Any) -> list[tuple[str, str, str]]:
    from tensorshark.forensics.capture.experts import about

    experts = about(row(**changed), LAYERS, ["a", "\x1b[31m", "c"])
    return [(expert.severity, expert.code, expert.text) for expert in experts]


def test_plain_numbers_need_no_word() -> None:
    assert found() == []


def test_the_first_value_that_is_not_a_number() -> None:
    [(severity, code, text)] = found(resid_post_4_2_0=np.nan, resid_pre_7_1_0=np.nan)
    assert (severity, code) == ("error", "nan")
    assert "first at blocks.4.hook_resid_post, token 2" in text


def test_infinity_is_an_overflow() -> None:
    [(severity, code, text)] = found(resid_pre_7_1_3=-np.inf)
    assert (severity, code) == ("error", "inf")
    assert "first at blocks.7.hook_resid_pre, token 1" in text


def test_a_massive_activation_is_placed() -> None:
    """Token, dimension and signed value; the token's text is quoted, so that it cannot act."""
    [(severity, code, text)] = found(resid_post_7_1_5=-4321.0, resid_post_4_0_0=300.0)
    assert (severity, code) == ("note", "massive")
    assert "blocks.7.hook_resid_post: -4,321 at token 1 '\\x1b[31m', dimension 5" in text


@pytest.mark.parametrize("value", [99.0, 101.0])
def test_massive_means_both_large_and_out_of_line(value: float) -> None:
    """Above 100 and above 1000 times the median (Sun et al. 2024)."""
    assert bool(found(resid_post_7_1_5=value)) == (value > 100)


def test_large_among_the_large_is_not_massive() -> None:
    from tensorshark.forensics.capture.experts import about

    big = row()
    for array in (*big.tensors.values(), *big.stats.values()):
        array *= 10_000
    assert about(big, LAYERS, ["a", "b", "c"]) == []
