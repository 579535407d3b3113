"""Residual streams as sums of what blocks add to them: what to store, and how to get the rest back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce

import numpy as np

from tensorshark.traces.manifest import DerivedTensor
from tensorshark.traces.sites import SITES, order, parse
from tensorshark.traces.tensors import Array, bits, infinity, magnitudes, type_name


@lru_cache(4096)
def sums(name: str) -> tuple[tuple[str, ...], ...]:
    """What tensor `name` may be the sum of, likeliest first; empty for what is not a residual."""
    site, layer = parse(name)
    if site.name == "resid_pre" and layer > 0:
        return ((SITES["resid_post"].at(layer - 1),),)
    if site.name == "resid_post":
        before, attention, mlp = (SITES[part].at(layer) for part in ("resid_pre", "attn_out", "mlp_out"))
        return (before, attention, mlp), (attention, mlp, before)
    return ()


def split(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], list[DerivedTensor]]:
    """Which tensors to store, and which are, bit for bit, sums of others.

    resid_post[l] = (resid_pre[l] + attn_out[l]) + mlp_out[l] in sequential blocks, the same summed as
    (attn_out + mlp_out) + resid_pre in parallel ones, and resid_pre[l+1] = resid_post[l]. Each is tried
    on the bits; what fails is stored. A derived tensor comes after everything that it is made of.
    """
    exact = keeps_subnormals()
    stored: dict[str, Array] = {}
    derived: list[DerivedTensor] = []
    for name in sorted(tensors, key=order):
        array = tensors[name]
        dtype = type_name(name, array.dtype)
        of = next(
            (
                of
                for of in sums(name)
                if (exact or len(of) == 1) and _is_sum(array, [tensors.get(part) for part in of])
            ),
            None,
        )
        if of is None:
            stored[name] = array
        else:
            derived.append(DerivedTensor(name=name, of=list(of), dtype=dtype, shape=list(array.shape)))
    return stored, derived


def rebuild(parts: Sequence[Array]) -> Array:
    """Left to right in the parts' own type; a single part is itself."""
    with np.errstate(all="ignore"):  # an overflow is a value like any other here
        return np.asarray(reduce(np.add, parts))


def keeps_subnormals() -> bool:
    """True when this thread adds as IEEE 754 says, so that a sum has the same bits everywhere.

    `torch.set_flush_denormal(True)`, and libraries built with -ffast-math, make a thread take the smallest
    numbers for zero.
    """
    smallest = np.ones(1, np.uint32).view(np.float32)
    return int((smallest + smallest).view(np.uint32)[0]) == 2


def _is_sum(array: Array, parts: Sequence[Array | None]) -> bool:
    """True when rebuilding gives the very bits, here and on any machine."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts) or any(
        part.dtype != array.dtype or part.shape != array.shape for part in present
    ):
        return False
    if len(parts) == 1 and array is present[0]:
        return True
    total = rebuild(present)
    if total.dtype != array.dtype or not np.array_equal(bits(total), bits(array)):
        return False
    # Which NaN a sum of NaNs is differs between processors; such a tensor is stored.
    limit = infinity(total.dtype)
    return len(parts) == 1 or limit is None or int(magnitudes(total).max(initial=0)) <= limit
