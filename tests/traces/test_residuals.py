"""Residuals: what adds up is not stored and comes back bit for bit, what does not add up is stored."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.traces import residuals
from tensorshark.traces.sites import SITES
from tensorshark.traces.tensors import Array

_TYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def _bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _chain(dtype: np.dtype[Any], layers: int, seed: int, *, parallel: bool = False) -> dict[str, Array]:
    """All four sites of a stack of blocks, summed as blocks do."""
    rng = np.random.default_rng(seed)
    stream = rng.standard_normal((3, 4)).astype(dtype)
    made: dict[str, Array] = {}
    for layer in range(layers):
        attention, mlp = rng.standard_normal((2, 3, 4)).astype(dtype)
        made[SITES["resid_pre"].at(layer)] = stream
        made[SITES["attn_out"].at(layer)] = attention
        made[SITES["mlp_out"].at(layer)] = mlp
        stream = (mlp + attention) + stream if parallel else (stream + attention) + mlp
        made[SITES["resid_post"].at(layer)] = stream
    return made


def _rebuilt(stored: dict[str, Array], derived: list[Any]) -> dict[str, Array]:
    made = dict(stored)
    for step in derived:
        made[step.name] = residuals.rebuild([made[part] for part in step.of])
        assert (made[step.name].dtype.name, list(made[step.name].shape)) == (step.dtype, step.shape)
    return made


@given(
    dtype=st.sampled_from(_TYPES),
    layers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    parallel=st.booleans(),
    left_out=st.sets(st.integers(0, 19), max_size=3),
    cast=st.sets(st.integers(0, 19), max_size=3),
)
def test_residuals_come_back_bit_for_bit_whatever_is_missing_or_does_not_add_up(
    dtype: np.dtype[Any], layers: int, seed: int, parallel: bool, left_out: set[int], cast: set[int]
) -> None:
    given_tensors = _chain(dtype, layers, seed, parallel=parallel)
    names = list(given_tensors)
    for index in cast & set(range(len(names))):
        given_tensors[names[index]] = given_tensors[names[index]] * given_tensors[names[index]].dtype.type(
            1.01
        )
    for index in left_out & set(range(len(names))):
        del given_tensors[names[index]]
    stored, derived = residuals.split(given_tensors)
    back = _rebuilt(stored, derived)
    assert {name: _bits(array) for name, array in back.items()} == {
        name: _bits(array) for name, array in given_tensors.items()
    }


@pytest.mark.parametrize("dtype", _TYPES)
@pytest.mark.parametrize("parallel", [False, True])
def test_61_of_120_tensors_stand_for_all(dtype: np.dtype[Any], parallel: bool) -> None:
    stored, derived = residuals.split(_chain(dtype, 30, 0, parallel=parallel))
    assert len(stored) == 61
    assert len(derived) == 59
    assert not any("resid" in name for name in stored if name != "blocks.0.hook_resid_pre")


def test_a_residual_that_does_not_add_up_is_stored_and_the_next_one_is_still_an_alias() -> None:
    chain = _chain(np.dtype(np.float32), 3, 0)
    odd = chain["blocks.1.hook_resid_post"].copy()
    odd[0, 0] = np.nextafter(odd[0, 0], np.float32(np.inf))
    chain["blocks.1.hook_resid_post"] = chain["blocks.2.hook_resid_pre"] = odd
    chain["blocks.2.hook_resid_post"] = (odd + chain["blocks.2.hook_attn_out"]) + chain[
        "blocks.2.hook_mlp_out"
    ]
    stored, derived = residuals.split(chain)
    assert "blocks.1.hook_resid_post" in stored
    assert {step.name: step.of for step in derived}["blocks.2.hook_resid_pre"] == ["blocks.1.hook_resid_post"]
    assert "blocks.2.hook_resid_post" not in stored


def test_minus_zero_is_not_zero() -> None:
    zero = np.zeros((1, 1), np.float32)
    stored, _ = residuals.split({"blocks.0.hook_resid_post": zero, "blocks.1.hook_resid_pre": -zero})
    assert len(stored) == 2


def test_a_sum_with_a_nan_is_stored_because_processors_differ_in_which() -> None:
    chain = _chain(np.dtype(np.float32), 1, 0)
    chain["blocks.0.hook_attn_out"][0, 0] = np.nan
    chain["blocks.0.hook_resid_post"] = residuals.rebuild(
        [chain[SITES[name].at(0)] for name in ("resid_pre", "attn_out", "mlp_out")]
    )
    stored, derived = residuals.split(chain)
    assert len(stored) == 4
    assert derived == []


def test_an_overflow_to_infinity_is_rebuilt_without_a_warning() -> None:
    half = np.full((1, 1), 60_000, np.float16)
    names = [SITES[name].at(0) for name in ("resid_pre", "attn_out", "mlp_out")]
    chain: dict[str, Array] = dict.fromkeys(names, half)
    chain["blocks.0.hook_resid_post"] = np.full((1, 1), np.inf, np.float16)
    stored, derived = residuals.split(chain)
    assert [step.name for step in derived] == ["blocks.0.hook_resid_post"]
    assert np.isinf(_rebuilt(stored, derived)["blocks.0.hook_resid_post"]).all()


def test_patterns_are_stored_as_they_are() -> None:
    pattern = np.ones((2, 3, 3), np.float32)
    stored, derived = residuals.split({"blocks.0.attn.hook_pattern": pattern})
    assert list(stored) == ["blocks.0.attn.hook_pattern"]
    assert derived == []


def test_a_thread_that_takes_small_numbers_for_zero_derives_only_what_is_the_same(
    flushing_subnormals: Callable[[], AbstractContextManager[None]],
) -> None:
    """Its sums have other bits than those of a thread that follows IEEE 754."""
    chain = _chain(np.dtype(np.float32), 2, 0)
    tiny = np.full((3, 4), 1e-39, np.float32)
    for site in ("resid_pre", "attn_out", "mlp_out"):
        chain[SITES[site].at(0)] = tiny
    with flushing_subnormals():
        flushed = residuals.rebuild([tiny, tiny, tiny])
        assert not residuals.keeps_subnormals()
        chain["blocks.0.hook_resid_post"] = chain["blocks.1.hook_resid_pre"] = flushed
        stored, derived = residuals.split(chain)
    assert residuals.keeps_subnormals()
    assert _bits(flushed) == bytes(flushed.nbytes)
    assert _bits(residuals.rebuild([tiny, tiny, tiny])) != _bits(flushed)
    assert [step.name for step in derived] == ["blocks.1.hook_resid_pre"]
    assert len(stored) == 7


def test_the_other_byte_order_is_not_taken_for_a_sum() -> None:
    """Values whose swapped bytes are those of the sum."""
    names = [SITES[site].at(0) for site in ("resid_pre", "attn_out", "mlp_out")]
    parts = dict(zip(names, np.arange(3, dtype=">f4").reshape(3, 1, 1), strict=True))
    total = residuals.rebuild(list(parts.values()))
    stored, derived = residuals.split(parts | {"blocks.0.hook_resid_post": total.view(">f4")})
    assert derived == []
    assert len(stored) == 4
