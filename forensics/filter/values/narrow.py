"""Fewer traces at a time, where the cells of all are filled up to the longest trace among them.

Without it one trace of eight thousand tokens and thirty layers takes gigabytes among thousands of short ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tensorshark.forensics.filter.values.batch import IndexBatch

CELLS = 1 << 22
"""Cells (layer, token) of the traces of a batch, filled up: 32 MB of float64."""
_LENGTHS = "SELECT row, seq_len FROM traces WHERE damaged = 0"


def narrowed(batch: IndexBatch) -> Iterator[IndexBatch]:
    """The traces of a batch in their order, in one batch or more."""
    cells = np.array(batch.spread(batch.rows(_LENGTHS), 0), np.int64) * max(1, batch.layers)
    start = 0
    while start < batch.count:
        longest = np.maximum.accumulate(cells[start : start + CELLS])
        fits = int(np.searchsorted(longest * np.arange(1, len(longest) + 1), CELLS, side="right"))
        stop = start + max(1, fits)
        if start == 0 and stop >= batch.count:
            yield batch
            return
        where = batch.where
        part = (
            slice(where.start + start, min(where.start + stop, where.stop))
            if isinstance(where, slice)
            else where[start:stop]
        )
        yield IndexBatch(batch.reader, part, batch.layers, batch.wide)
        start = stop
