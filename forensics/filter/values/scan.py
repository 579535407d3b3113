"""A comparison of a whole column with a constant, block by block.

Each block knows between which numbers the values of a layer lie: a layer that cannot match, or matches for
every trace, is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress

import numpy as np

from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arrays import quantified, satisfied
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.traces.index.columns import BLOCK, Column


def scan(
    column: Column,
    layers: Sequence[int],
    relation: Relation,
    quantifier: Quantifier,
    check: Callable[[], None],
) -> Bools:
    """For which traces (trace,) any, or all, of the values of these layers satisfy the relation.

    Layers ascend; there is at least one. `check` is called for every block, and may raise.
    """
    lo, hi = layers[0], layers[-1] + 1
    rows = np.array(layers) - lo
    extents = column.extents(lo, hi, check)
    full = extents.full[:, rows]  # (block, layer), as are these:
    may, must = relation.between(extents.low[:, rows], extents.high[:, rows])
    must &= full
    every = quantifier == "all" and len(layers) > 1  # of one value any is all
    decisive = full & ~may if every else must  # one such layer decides for all traces of a block
    decided = np.asarray(decisive.any(axis=1))
    open_ = ~must if every else may
    unread = decided | ~open_.any(axis=1)
    asked, some_there = open_.tolist(), np.asarray(full.any(axis=1))
    test, fits = relation.tester(), np.empty(BLOCK, dtype=bool)
    join = np.logical_and if every else np.logical_or
    answer = np.zeros(column.count, dtype=bool)
    for block, start in enumerate(range(0, column.count, BLOCK)):
        check()
        found = answer[start : start + BLOCK]
        if unread[block]:
            found[:] = decided[block] != every
            continue
        if every and not some_there[block]:  # perhaps a trace without any value, of which nothing is true
            values = column.block(block, lo, hi)[rows][:, None, None]
            found[:] = quantified(satisfied(values, relation), ~np.isnan(values), quantifier).reshape(-1)
            continue
        values = column.block(block, lo, hi)
        into = found  # the first layer's truths; those of the others go beside it, and are joined
        for layer in compress(range(len(layers)), asked[block]):
            cells = values[rows[layer]]
            test(cells, into)
            if every and not full[block, layer]:
                into |= np.isnan(cells)
            if into is not found:
                join(found, into, out=found)
            into = fits[: len(found)]
    return answer
