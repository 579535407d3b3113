"""Single cells of the lens, of many traces: their states go through the unembedding together.

The weights are read from memory once for each ROWS states and not once for each trace, which is what a
filter over a whole capture needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.lens import ABSENT, ROWS, Floats, distribution, logits, readout, weights_of
from tensorshark.traces.errors import NotFoundError, TensorsharkError, UsageError
from tensorshark.traces.sites import SITES
from tensorshark.traces.trace import Trace

_SITE = SITES["resid_post"]
_MOST = 1 << 28
"""Numbers of the states of one trace that are held at once: 1 GiB."""


class Reading(NamedTuple):
    """What the lens says at each (layer, pos) asked for; NaN or ABSENT where nothing can be said."""

    token_ids: NDArray[np.int64]
    """The most likely next token."""
    p: Floats
    """Its probability."""
    entropy: Floats
    """In nats."""
    kl: Floats
    """KL(layer ‖ last layer), in nats."""
    kl_reverse: Floats
    """KL(last layer ‖ layer), in nats."""
    rank: NDArray[np.int64]
    """Place, from 1, of the token that the last layer puts first."""


class _Part(NamedTuple):
    """The states of one trace that wait for their turn."""

    rows: list[int]
    """Which of the layers asked for were captured."""
    shape: tuple[int, int]
    """(layer, pos) asked for."""
    last: list[int]
    """Row of the last layer among the captured ones, if it is there."""
    states: Floats
    """(layer captured, pos, d_model)"""
    final: Floats | None
    """(pos, d_model) of the last layer, where it is wanted and was captured."""


def readings(
    asked: Iterable[tuple[Trace, Sequence[int], Sequence[int]]], against_last: bool
) -> Iterator[Reading | Exception]:
    """For each (trace, layers, positions), in order, its reading or what keeps it from being read.

    Distances and ranks take the last layer too, and are only there with `against_last`.
    """
    waiting: list[_Part | Exception] = []
    batch: tuple[object, ...] = ()
    source: Trace | None = None
    for trace, layers, positions in asked:
        part = _part(trace, layers, positions, against_last)
        if isinstance(part, _Part):
            key = (trace.manifest.model, len(part.rows), part.final is None)
            if key != batch or _rows(waiting) >= ROWS:
                yield from _read(source, waiting)
                waiting, batch = [], key
            source = trace
        waiting.append(part)
    yield from _read(source, waiting)


def surprisals(asked: Iterable[tuple[Trace, Sequence[int]]]) -> Iterator[Floats | Exception]:
    """For each (trace, positions), in order, -log p(token | what stands before it) (pos,) in nats.

    NaN at position 0, before which nothing stands, and where the state is not finite.
    """
    waiting: list[_Tokens | Exception] = []
    model, source = "", None
    for trace, positions in asked:
        tokens = _tokens(trace, positions)
        held = sum(len(part.ids) for part in waiting if isinstance(part, _Tokens))
        if trace.manifest.model != model or held >= ROWS:
            yield from _surprised(source, waiting)
            waiting, model = [], trace.manifest.model
        source = trace
        waiting.append(tokens)
    yield from _surprised(source, waiting)


class _Tokens(NamedTuple):
    """Tokens of one trace that wait for their turn, with the states before them."""

    size: int
    """Positions asked for."""
    places: list[int]
    """Which of them have a token before them."""
    ids: NDArray[np.int64]
    """(token,)"""
    states: Floats
    """(token, d_model) of the last layer at the position before."""


def _tokens(trace: Trace, positions: Sequence[int]) -> _Tokens | Exception:
    places = [place for place, position in enumerate(positions) if position > 0]
    ids = np.array([trace.token_ids[positions[place]] for place in places], dtype=np.int64)
    try:
        states = _load(trace, trace.model.layers - 1, [positions[place] - 1 for place in places])
    except TensorsharkError as error:
        return error
    return _Tokens(len(positions), places, ids, states)


def _surprised(source: Trace | None, waiting: list[_Tokens | Exception]) -> Iterator[Floats | Exception]:
    """All parts at once; they are of one model."""
    parts = [part for part in waiting if isinstance(part, _Tokens)]
    found: Floats | Exception = np.empty(0, np.float32)
    if source is not None and parts:
        ids, states = (np.concatenate(each) for each in zip(*(part[2:] for part in parts), strict=True))
        try:
            found = _nats(source, ids, states)
        except TensorsharkError as error:  # of the lens file: no trace can be read
            found = error
    start = 0
    for part in waiting:
        if isinstance(part, Exception) or isinstance(found, Exception):
            yield part if isinstance(part, Exception) else found
            continue
        cells = np.full(part.size, np.nan, np.float32)
        cells[part.places] = found[start : start + len(part.ids)]
        start += len(part.ids)
        yield cells


def _nats(source: Trace, ids: NDArray[np.int64], states: Floats) -> Floats:
    """-log p (token,) of tokens after states (token, d_model), ROWS at a time."""
    found = np.full(len(ids), np.nan, np.float32)
    weights = weights_of(source.capture, source.manifest.model)
    vocab = len(weights["unembed.weight"])
    for start in range(0, len(ids), ROWS):
        block, own = states[start : start + ROWS], ids[start : start + ROWS]
        well = np.isfinite(block).all(axis=-1) & (own >= 0) & (own < vocab)
        logp = distribution(logits(np.where(well[:, None], block, 0), weights, source.model.lens)).logp
        nats = -np.take_along_axis(logp, np.where(well, own, 0)[:, None], axis=-1)[:, 0]
        found[start : start + ROWS] = np.where(well, nats, np.nan)
    return found


def _part(
    trace: Trace, layers: Sequence[int], positions: Sequence[int], against_last: bool
) -> _Part | Exception:
    """The states that a reading takes, copied, so that the trace can be let go."""
    try:
        captured = set(trace.sites[_SITE.name].layers) if _SITE.name in trace.sites else set()
        rows = [row for row, layer in enumerate(layers) if layer in captured]
        width, last = trace.model.d_model, trace.model.layers - 1
        if len(rows) * len(positions) * width > _MOST:
            raise UsageError(f"{len(rows) * len(positions):,} cells at once; select layers or tokens")
        states = np.empty((len(rows), len(positions), width), np.float32)
        for place, row in enumerate(rows):
            states[place] = _load(trace, layers[row], positions)
        final = _load(trace, last, positions) if against_last and last in captured else None
        at_last = [place for place, row in enumerate(rows) if layers[row] == last]
        return _Part(rows, (len(layers), len(positions)), at_last, states, final)
    except TensorsharkError as error:
        return error


def _load(trace: Trace, layer: int, positions: Sequence[int]) -> Floats:
    """States (pos, d_model) as float32."""
    stored = trace.sites[_SITE.name].layers if _SITE.name in trace.sites else []
    if layer not in stored:
        raise NotFoundError(f"{_SITE.name} of layer {layer} was not captured")
    return trace.load(_SITE.at(layer))[list(positions)].astype(np.float32)


def _rows(waiting: list[_Part | Exception]) -> int:
    """States that go through the unembedding."""
    return sum(len(part.states) * part.shape[1] for part in waiting if isinstance(part, _Part))


def _read(source: Trace | None, waiting: list[_Part | Exception]) -> Iterator[Reading | Exception]:
    """All parts at once: they are of one model and have as many layers each."""
    parts = [part for part in waiting if isinstance(part, _Part)]
    read: Sequence[Reading] | Exception = []
    if source is not None and parts:
        try:
            read = _together(source, parts)
        except TensorsharkError as error:  # of the lens file: no trace can be read
            read = error
    done = iter(read) if not isinstance(read, Exception) else None
    for part in waiting:
        if isinstance(part, Exception):
            yield part
        else:
            yield next(done) if done is not None else read  # type: ignore[misc]  # an error, then


def _together(source: Trace, parts: list[_Part]) -> list[Reading]:
    """The reading of each part, from one pass through the unembedding."""
    states = np.concatenate([part.states for part in parts], axis=1)  # (layer, pos of all, d_model)
    finals = [part.final for part in parts if part.final is not None]
    final = np.concatenate(finals) if finals else None
    weights = weights_of(source.capture, source.manifest.model)
    layers, positions = (list(range(size)) for size in states.shape[:2])
    seen = readout(states, final, weights, source.model.lens, layers, positions, top_k=1)
    ranks = np.where(seen.rank == ABSENT, ABSENT, seen.rank + 1)
    found, start = [], 0
    for part in parts:
        here = slice(start, start + part.shape[1])
        for divergence in (seen.kl, seen.kl_reverse):  # of a distribution from itself: exactly 0
            own = divergence[part.last, here]
            divergence[part.last, here] = np.where(np.isnan(own), own, 0)
        values = (seen.token_ids[..., 0], seen.probs[..., 0], seen.entropy, seen.kl, seen.kl_reverse, ranks)
        found.append(Reading(*(_placed(part, array[:, here]) for array in values)))
        start = here.stop
    return found


def _placed(part: _Part, read: NDArray[Any]) -> NDArray[Any]:
    """Values (layer captured, pos) at the places of the layers asked for."""
    nothing = ABSENT if read.dtype == np.int64 else np.nan
    out = np.full(part.shape, nothing, dtype=read.dtype)
    out[part.rows] = read
    return out
