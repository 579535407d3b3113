"""Query by example: which traces hold a vector that is like this one's.

Exact, and as fast as the matrix product: all vectors are scored in float32, and those that the rounding of
that score leaves in question once more in float64. What comes out is what float64 alone would give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.closeness import cosine, distance, dots
from tensorshark.traces.errors import IntegrityError, NotFoundError, UsageError
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.index.seal import DamagedError
from tensorshark.traces.index.vector_files import ROUNDED, THERE
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.index import Index
    from tensorshark.traces.index.matrix import Matrix
    from tensorshark.traces.index.vectors import Vectors
    from tensorshark.traces.trace import Trace

Metric = Literal["cos", "l2"]
T = TypeVar("T")
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None] | None
Cancel = Callable[[], bool] | None

DEFAULT_SITE = "resid_post"
_UNIT = 2.0**-24
"""Half the spacing of float32 numbers, relative to them."""
_LENGTHS = 1e-15, 1e15
"""Vectors within are scored in float32; others could overflow there, or lose all their digits."""
_CHUNK = 2048
"""Vectors scored in float64 at once."""
_TOGETHER = 32
"""Queries per pass over the vectors."""
_TRIES = 4
_ID = re.compile(r"[0-9a-f]{1,16}")
"""An id, or how one begins."""


class Hits(msgspec.Struct, frozen=True):
    """The traces closest to a query, closest first; of equal ones, the earlier in capture order."""

    numbers: Numbers
    """(hit,)"""
    scores: Floats
    """(hit,): cosines from -1 to 1, or L2 distances."""
    compared: int
    """Traces that had a vector to compare."""
    absent: int
    """Traces that had none: not captured there, too short, of another width, or damaged."""

    def __len__(self) -> int:
        return len(self.numbers)


def named(index: Index, name: str) -> int:
    """Number of the trace that is called `#NUMBER`, by its id or by a unique beginning of it.

    Raises NotFoundError.
    """
    shown, count = safe_text(name, 40), len(index)
    if name.startswith("#"):
        number = int(name[1:]) if name[1:].isascii() and name[1:].isdecimal() and len(name) < 18 else 0
        if not 1 <= number <= count:
            raise NotFoundError(f"no trace {shown}; the capture has #1 to #{count}")
        return number
    query = "SELECT row FROM traces WHERE id >= ? AND id < ? LIMIT 2"
    found = index.query(query, (name, name + "g")) if _ID.fullmatch(name) else []
    if len(found) == 1:
        return int(found[0][0])
    if found:
        raise NotFoundError(f"several traces start with {shown!r}; type more of the id")
    raise NotFoundError(f"no trace {shown!r} among {count:,}; name one by its id or as #NUMBER")


def cell_of(trace: Trace, site: str = DEFAULT_SITE, layer: int | None = None, position: str = "-1") -> Cell:
    """What to compare other traces with: layer None is the captured one nearest the middle of the model.

    A negative layer counts from the end. Raises UsageError, or NotFoundError for what was not captured.
    """
    depth = trace.model.layers
    wanted = depth // 2 if layer is None else layer + depth * (layer < 0)
    cell = Cell.of(site, max(0, wanted), position, 1)
    stored = trace.sites.get(site)
    if stored is None or not stored.layers:
        raise NotFoundError(
            f"trace {trace.id}: {site} was not captured; capture again with --sites {site}, "
            f"or ask about one of {', '.join(name for name in trace.sites)}"
        )
    if layer is None:
        wanted = min(stored.layers, key=lambda have: (abs(have - wanted), have))
    elif wanted not in stored.layers:
        first, last = stored.layers[0], stored.layers[-1]
        raise NotFoundError(
            f"trace {trace.id}: {site} of layer {layer} was not captured; it has layers {first} to {last}"
        )
    if cell.token(trace) is None:
        raise NotFoundError(
            f"trace {trace.id}: no token {cell.position}; it has {len(trace.token_ids)} tokens"
            f" and the spans {', '.join(safe_text(span, 40) for span in trace.spans)}"
        )
    name = Cell.of(site, wanted, position, 1).tensor
    shapes = {tensor.name: tensor.shape for tensor in trace.manifest.all_tensors}
    return Cell.of(site, wanted, position, shapes[name][-1])


def similar(
    index: Index,
    trace: int,
    cell: Cell,
    k: int = 10,
    metric: Metric = "cos",
    *,
    among: Numbers | None = None,
    itself: bool = False,
    on_progress: OnProgress = None,
    cancelled: Cancel = None,
) -> Hits:
    """The `k` traces whose vector is closest to that of trace number `trace`; see `similar_to_each`."""
    return similar_to_each(
        index,
        [trace],
        cell,
        k,
        metric,
        among=among,
        itself=itself,
        on_progress=on_progress,
        cancelled=cancelled,
    )[0]


def similar_to_each(
    index: Index,
    traces: Sequence[int],
    cell: Cell,
    k: int = 10,
    metric: Metric = "cos",
    *,
    among: Numbers | None = None,
    itself: bool = False,
    on_progress: OnProgress = None,
    cancelled: Cancel = None,
) -> list[Hits]:
    """For each of some traces the `k` closest, all in one pass over the vectors.

    `among` are the numbers that may be found (all), ascending; the trace itself is found only with `itself`.
    Vectors that were not asked for before are read from the traces first, which `on_progress` hears about.
    Raises NotFoundError for a trace without such a vector, Cancelled, StorageError.
    """
    vectors = index.vectors(cell)
    wanted = None if among is None else np.union1d(among, traces).astype(np.int64)

    def ask(matrix: Matrix) -> list[Hits]:
        queries = matrix.at(np.array(traces, np.int64))
        for number, query in zip(traces, queries, strict=True):
            _refuse(index, number, query, cell, metric)
        apart = [0 if itself else number for number in traces]
        return nearest(matrix, queries, k, metric, among=among, apart=apart)

    return reading(vectors, ask, wanted, on_progress, cancelled)


def reading(
    vectors: Vectors,
    ask: Callable[[Matrix], T],
    wanted: Numbers | None = None,
    on_progress: OnProgress = None,
    cancelled: Cancel = None,
) -> T:
    """Ask the matrix of all vectors; what is missing or damaged is read from the traces first."""
    for _ in range(_TRIES):
        if not vectors.extend(on_progress, cancelled, wanted):
            from tensorshark.forensics.filter import Cancelled

            raise Cancelled
        try:
            return ask(vectors.matrix())
        except DamagedError:
            vectors.mend()
        except FileNotFoundError:
            continue  # written anew by another process meanwhile
    raise IntegrityError(f"the vectors of {vectors.cell} are damaged whenever they are read; check the disk")


def nearest(
    matrix: Matrix,
    queries: NDArray[np.generic],
    k: int,
    metric: Metric = "cos",
    *,
    among: Numbers | None = None,
    apart: Sequence[int] = (),
) -> list[Hits]:
    """The closest traces to each query (query, d_model), which is finite, and not zero for cosines.

    `apart` is, per query, the number of a trace that is not to be found; 0 for none.
    Raises DamagedError and FileNotFoundError as `Matrix.values` does.
    """
    numbers = np.arange(1, len(matrix) + 1) if among is None else among[among <= len(matrix)]
    rows = matrix.places[numbers - 1]
    there = (rows >= 0) & np.isin(matrix.kinds, (THERE, ROUNDED))[rows]
    numbers, rows = numbers[there], rows[there]
    found: list[Hits] = []
    for start in range(0, len(queries), _TOGETHER):
        some = np.asarray(queries[start : start + _TOGETHER], np.float64)
        for at, product in enumerate(_products(matrix, some, rows)):
            chosen = numbers != (apart[start + at] if apart else 0)
            part = _Part(matrix, some[at], numbers[chosen], rows[chosen])
            hits, scores = part.closest(product[rows[chosen]], k, metric)
            found.append(Hits(hits, scores, int(chosen.sum()), len(there) - len(numbers)))
    return found


class _Part:
    """Some traces, and one query."""

    def __init__(self, matrix: Matrix, query: Floats, numbers: Numbers, rows: Numbers) -> None:
        self.matrix = matrix
        self.query = query
        self.numbers = numbers
        self.rows = rows

    def closest(self, products: NDArray[np.float32], k: int, metric: Metric) -> tuple[Numbers, Floats]:
        """Numbers and scores of the k closest, by what `_products` gives for these rows."""
        low, high = self._bounds(products.astype(np.float64), metric)
        odd = np.isnan(high)
        limit = np.partition(high[~odd], k - 1)[k - 1] if (~odd).sum() > k else np.inf
        candidates = np.flatnonzero(odd | (low <= limit))
        scores = exact(self.matrix, self.query, self.rows[candidates], metric)
        candidates, scores = candidates[~np.isnan(scores)], scores[~np.isnan(scores)]
        order = np.lexsort((self.numbers[candidates], -scores if metric == "cos" else scores))[:k]
        return self.numbers[candidates[order]], scores[order]

    def _bounds(self, products: Floats, metric: Metric) -> tuple[Floats, Floats]:
        """What each trace's place in the order surely lies between, smaller is closer; NaN where float32
        cannot tell."""
        squares = self.matrix.squares[self.rows]
        lengths = np.sqrt(squares)
        rounding = _rounding(len(self.query))
        with np.errstate(all="ignore"):
            if metric == "cos":
                middle, error = -products / lengths, np.full(len(lengths), rounding)
            else:
                whole = squares + dots(self.query, self.query)
                length = np.sqrt(dots(self.query, self.query))
                middle = whole - 2 * length * products
                error = rounding * (2 * length * lengths) + len(self.query) * 2.0**-50 * whole
        tellable = (lengths >= _LENGTHS[0]) & (lengths <= _LENGTHS[1]) & np.isfinite(middle)
        middle, error = np.where(tellable, middle, np.nan), np.where(tellable, error, np.nan)
        return middle - error, middle + error


def exact(matrix: Matrix, query: Floats, rows: Numbers, metric: Metric) -> Floats:
    """Scores of these rows (row,) in float64; NaN where there is none."""
    score = cosine if metric == "cos" else distance
    parts = [matrix.take(rows[at : at + _CHUNK]) for at in range(0, len(rows), _CHUNK)]
    return np.concatenate([np.empty(0), *(score(part, query) for part in parts)])


def _products(matrix: Matrix, queries: Floats, rows: Numbers) -> NDArray[np.float32]:
    """Products of unit queries (query, d_model) and all vectors (query, row); 0 in blocks without `rows`."""
    with np.errstate(all="ignore"):
        units = (queries / np.sqrt(dots(queries, queries))[:, None]).astype(np.float32)
    starts = matrix.starts
    out = np.zeros((len(queries), int(starts[-1])), np.float32)
    asked = np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist()
    matrix.check(asked)
    for block in asked:
        values, part = matrix.values(block), out[:, starts[block] : starts[block + 1]]
        with np.errstate(all="ignore"):
            if len(units) == 1:  # as fast as memory, where BLAS would wait for threads after each block
                np.einsum("ij,j->i", values, units[0], out=part[0])
            else:
                np.matmul(units, values.T, out=part)
    return out


def _rounding(width: int) -> float:
    """How far a float32 product of unit vectors may be from the true one, however it is summed.

    Higham 2002, section 3.1: n·u / (1 - n·u) for n roundings of u each; some more for the query's own, for
    numbers that are too small for float32, and for what comes after in float64.
    """
    roundings = (width + 8) * _UNIT
    return roundings / (1 - roundings) + 1e-12 if roundings < 0.5 else np.inf


def _refuse(index: Index, number: int, query: NDArray[np.generic], cell: Cell, metric: Metric) -> None:
    """Raise for a query that nothing can be compared with."""
    what = f"trace #{number}"
    if np.isnan(query).all():
        raise NotFoundError(f"{what} has no vector {cell}: not captured there, or damaged")
    if not np.isfinite(query).all():
        raise UsageError(f"{what}: {cell} holds numbers that are not finite; nothing is close to it")
    if metric == "cos" and not query.any():
        raise UsageError(f"{what}: {cell} is zero and has no direction; use the metric l2")
