"""The logit lens: what the model would say if it stopped at this layer.

A residual state goes through the model's own final norm and unembedding, and the logits are read as a
distribution over the next token (nostalgebraist 2020; Belrose et al. 2023, arXiv 2303.08112, name its
bias). Both weights come from the capture's lens file: no model is loaded and no torch imported.

    norm(x)   = x / sqrt(mean(x²) + eps) * (weight + offset)                       "rms"
    norm(x)   = (x - mean(x)) / sqrt(var(x) + eps) * (weight + offset) + bias       "layer"
    logits(x) = softcap * tanh(scale * (norm(x) @ unembed.T + bias) / softcap)      softcap 0: no tanh
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import IntegrityError, UsageError
from tensorshark.traces.manifest import Lens
from tensorshark.traces.sites import SITES

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture, Trace

Floats = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.generic]]

ROWS = 64
"""Rows that go through the unembedding at once: 13 MB of logits at a vocabulary of 49,152. More rows are
no faster (measured from 32 to 1024) and cost memory."""
_LARGE = 4096
"""Tokens from which on two rows take the same path through BLAS as many."""
GROUP = 64
"""Tokens in a group, when the largest logits are looked for group by group."""
ABSENT = -1
"""The token id and the rank where there is nothing to say: a state that is not finite, no final layer."""
_KEPT = 2
"""Float32 lens weights kept in memory: the two models of a comparison."""

_prepared: dict[str, dict[str, Floats]] = {}
"""sha256 of a lens file -> its weights as float32. Keyed by content, so it can never be stale."""


@dataclass(frozen=True)
class Readout:
    """What the lens says at every (layer, position) asked for. Distances are in nats."""

    layers: list[int]
    """Model layer of each row; the state read is `resid_post` of that layer."""
    positions: list[int]
    """0-based token position of each column."""
    token_ids: NDArray[np.int64]
    """(layer, pos, k) most likely first; ABSENT where the state is not finite."""
    probs: Floats
    """(layer, pos, k)"""
    entropy: Floats
    """(layer, pos) of the distribution over the whole vocabulary."""
    kl: Floats
    """(layer, pos) KL(layer ‖ final): NaN where the last layer was not captured."""
    kl_reverse: Floats
    """(layer, pos) KL(final ‖ layer)."""
    rank: NDArray[np.int64]
    """(layer, pos) how many tokens are likelier than the tracked one, or than the final layer's first."""
    tracked: NDArray[np.int64]
    """(pos,) the token that `rank` is about."""


class Distribution(NamedTuple):
    """Next-token distributions over the last axis."""

    logp: Floats
    """(..., vocab) natural log of the probabilities."""
    p: Floats
    """(..., vocab)"""


def norm(resid: NDArray[np.generic], weights: Weights, lens: Lens) -> Floats:
    """The model's final norm of residual states (row, d_model), in float32."""
    x = resid.astype(np.float32)
    if lens.norm.kind == "layer":
        x -= x.mean(axis=-1, keepdims=True)
    elif lens.norm.kind != "rms":
        raise UsageError(f"the capture's final norm is of kind {lens.norm.kind!r}; known: rms, layer")
    x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(lens.norm.eps))
    x *= weights["norm.weight"].astype(np.float32, copy=False) + np.float32(lens.norm.offset)
    if "norm.bias" in weights:
        x += weights["norm.bias"].astype(np.float32, copy=False)
    return x


def logits(resid: NDArray[np.generic], weights: Weights, lens: Lens) -> Floats:
    """Logits (row, vocab) of residual states (row, d_model), in float32.

    For the last layer's `resid_post` these are the model's own logits, within 1e-4 for a float32 model.
    Weights are used in place when they are float32; see `weights_of` for weights that are kept.
    """
    unembed = weights["unembed.weight"].astype(np.float32, copy=False)  # (vocab, d_model)
    if resid.ndim != 2 or resid.shape[1] != unembed.shape[1]:
        raise UsageError(f"a lens of width {unembed.shape[1]} cannot read states of shape {resid.shape}")
    scores = _product(norm(resid, weights, lens), unembed)  # (row, vocab)
    if "unembed.bias" in weights:
        scores += weights["unembed.bias"].astype(np.float32, copy=False)
    if lens.scale != 1.0:
        scores *= np.float32(lens.scale)
    if lens.softcap:
        cap = np.float32(lens.softcap)
        scores /= cap
        np.tanh(scores, out=scores)
        scores *= cap
    return scores


def _product(rows: Floats, unembed: Floats) -> Floats:
    """rows @ unembed.T, with the same bits for a row whatever stands beside it, as far as BLAS allows.

    It has other kernels for one row and for small products; so few rows are made more.
    """
    count = len(rows)
    least = 2 if len(unembed) > _LARGE else ROWS
    if 0 < count < least:
        rows = np.concatenate([rows, np.zeros((least - count, rows.shape[1]), rows.dtype)])
    return np.asarray((rows @ unembed.T)[:count])


def distribution(scores: Floats) -> Distribution:
    """Softmax and log-softmax of logits (..., vocab)."""
    logp = scores - scores.max(axis=-1, keepdims=True)
    p = np.exp(logp)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    logp -= np.log(total)
    return Distribution(logp, p)


def entropy(rows: Distribution) -> Floats:
    """Shannon entropy (...) in nats."""
    # A probability that underflowed to 0 contributes 0: its log stays finite, so no special case.
    return np.asarray(-np.einsum("...v,...v->...", rows.p, rows.logp), dtype=np.float32)


def kl(rows: Distribution, other: Distribution) -> Floats:
    """KL(rows ‖ other) (...) in nats; leading axes broadcast."""
    # The differences are summed, not the two entropies: near the last layer KL is the small rest of both.
    divergence = np.einsum("...v,...v->...", rows.p, rows.logp - other.logp)
    return np.asarray(np.maximum(divergence, 0.0), dtype=np.float32)


def top(scores: Floats, k: int) -> NDArray[np.int64]:
    """Ids (..., k) of the k largest scores, largest first, the lower id first among equals."""
    k = min(k, scores.shape[-1])
    if k == 1:
        return np.asarray(scores.argmax(axis=-1)[..., None], dtype=np.int64)
    ids = _contenders(scores, k)
    best = np.argpartition(np.take_along_axis(scores, ids, axis=-1), -k, axis=-1)[..., -k:]
    candidates = np.sort(np.take_along_axis(ids, best, axis=-1), axis=-1)  # (..., k) ascending ids
    ordered = np.argsort(-np.take_along_axis(scores, candidates, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(candidates, ordered, axis=-1)


def rank(scores: Floats, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens score higher (...) than `tokens` (...), which broadcasts: 0 is the most likely."""
    tokens = np.broadcast_to(tokens, scores.shape[:-1])
    own = np.take_along_axis(scores, tokens[..., None], axis=-1)
    return np.asarray(np.count_nonzero(scores > own, axis=-1), dtype=np.int64)


def _contenders(scores: Floats, k: int) -> NDArray[np.int64]:
    """Ids (..., n) that hold the k largest: a group is every n-th id, and only k groups can matter.

    Eight times faster than partitioning a vocabulary of 49,152.
    """
    *rows, vocab = scores.shape
    groups = vocab // GROUP
    whole = groups * GROUP
    if groups <= k:
        return np.broadcast_to(np.arange(vocab), scores.shape)
    largest = scores[..., :whole].reshape(*rows, GROUP, groups).max(axis=-2)  # (..., group)
    chosen = np.argpartition(largest, -k, axis=-1)[..., -k:]  # (..., k)
    members = chosen[..., None, :] + groups * np.arange(GROUP)[:, None]  # (..., member, k)
    rest = np.broadcast_to(np.arange(whole, vocab), (*rows, vocab - whole))
    return np.concatenate([members.reshape(*rows, -1), rest], axis=-1)


def weights_of(capture: Capture, model: str) -> dict[str, Floats]:
    """The model's lens weights as float32, read from the capture once and kept (the last two models).

    Raises NotFoundError where the capture holds no lens file, IntegrityError where it does not fit.
    """
    key = capture.model(model).lens.sha256
    if key not in _prepared:
        stored = capture.lens(model)
        if missing := {"norm.weight", "unembed.weight"} - set(stored):
            raise IntegrityError(f"the lens file of model {model} lacks {', '.join(sorted(missing))}")
        while len(_prepared) >= _KEPT:
            del _prepared[next(iter(_prepared))]
        # float16 and bfloat16 are widened once: numpy has no fast product for them.
        _prepared[key] = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in stored.items()}
    return _prepared[key]


def read(
    trace: Trace, layers: Sequence[int], positions: Sequence[int], top_k: int = 5, track: int | None = None
) -> Readout:
    """Read `resid_post` of a stored trace through the lens at every (layer, position).

    `rank` follows the token `track`, or at each position the token that the last layer puts first.
    Raises NotFoundError where the lens or a layer was not captured.
    """
    site = SITES["resid_post"]
    columns = list(positions)
    last = trace.model.layers - 1
    captured = trace.sites[site.name].layers if site.name in trace.sites else []
    states = np.stack([trace.load(site.at(layer))[columns] for layer in layers])  # (layer, pos, d_model)
    final = trace.load(site.at(last))[columns] if last in captured else None  # (pos, d_model)
    weights = weights_of(trace.capture, trace.manifest.model)
    out = readout(states, final, weights, trace.model.lens, list(layers), columns, top_k, track)
    for row in (row for row, layer in enumerate(layers) if layer == last):
        for divergence in (out.kl, out.kl_reverse):  # a distribution from itself: exactly 0, not rounding
            divergence[row] = np.where(np.isnan(divergence[row]), np.nan, 0)
    return out


def readout(
    states: NDArray[np.generic],
    final: NDArray[np.generic] | None,
    weights: Weights,
    lens: Lens,
    layers: list[int],
    positions: list[int],
    top_k: int,
    track: int | None = None,
) -> Readout:
    """The lens of states (layer, pos, d_model) against the final states (pos, d_model), block by block."""
    vocab = weights["unembed.weight"].shape[0]
    if track is not None and not 0 <= track < vocab:
        raise UsageError(f"token id {track} is outside the vocabulary of {vocab:,}")
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}; it must be at least 1")
    shape = (len(layers), len(positions))
    out = Readout(
        layers,
        positions,
        token_ids=np.full((*shape, min(top_k, vocab)), ABSENT, dtype=np.int64),
        probs=np.full((*shape, min(top_k, vocab)), np.nan, dtype=np.float32),
        entropy=np.full(shape, np.nan, dtype=np.float32),
        kl=np.full(shape, np.nan, dtype=np.float32),
        kl_reverse=np.full(shape, np.nan, dtype=np.float32),
        rank=np.full(shape, ABSENT, dtype=np.int64),
        tracked=np.full(len(positions), ABSENT if track is None else track, dtype=np.int64),
    )
    step = max(1, ROWS // (len(layers) + 1))
    for start in range(0, len(positions), step):
        columns = slice(start, start + step)
        _fill(
            out, columns, states[:, columns], None if final is None else final[columns], weights, lens, track
        )
    return out


def token_strings(ids: NDArray[np.int64], vocab: Sequence[str]) -> list[list[list[str]]]:
    """Token ids (layer, pos, k) as strings; an id that is ABSENT or outside the vocabulary is empty."""
    size = len(vocab)
    return [[[vocab[i] if 0 <= i < size else "" for i in row] for row in layer] for layer in ids.tolist()]


def _fill(
    out: Readout,
    columns: slice,
    states: NDArray[np.generic],
    final: NDArray[np.generic] | None,
    weights: Weights,
    lens: Lens,
    track: int | None,
) -> None:
    """Read one block of states (layer, pos, d_model) and final states (pos, d_model) into `out`."""
    count = len(states)
    if final is not None:  # in the same product: the weights go through memory once
        states = np.concatenate([states, final[None]])
    finite = np.asarray(np.isfinite(states.astype(np.float32, copy=False)).all(axis=-1))  # (layer, pos)
    flat = np.where(finite[..., None], states, 0).reshape(-1, states.shape[-1])  # (layer and pos, d_model)
    scores = logits(flat, weights, lens).reshape(*finite.shape, -1)  # (layer, pos, vocab)
    read = distribution(scores)
    here, well = Distribution(read.logp[:count], read.p[:count]), finite[:count]

    ids = top(scores[:count], out.token_ids.shape[-1])  # (layer, pos, k)
    probs = np.take_along_axis(here.p, ids, axis=-1)
    out.token_ids[:, columns] = np.where(well[..., None], ids, ABSENT)
    out.probs[:, columns] = np.where(well[..., None], probs, np.nan)
    out.entropy[:, columns] = np.where(well, entropy(here), np.nan)
    if final is not None:
        last, known = Distribution(read.logp[count], read.p[count]), finite[count]  # (pos, vocab), (pos,)
        out.kl[:, columns] = np.where(well & known, kl(here, last), np.nan)
        out.kl_reverse[:, columns] = np.where(well & known, kl(last, here), np.nan)
        if track is None:
            out.tracked[columns] = np.where(known, scores[count].argmax(axis=-1), ABSENT)
    tracked = out.tracked[columns]  # (pos,)
    ranks = rank(scores[:count], np.maximum(tracked, 0))
    out.rank[:, columns] = np.where(well & (tracked != ABSENT), ranks, ABSENT)
