"""The order in which comparisons are asked: cheap ones of all traces, dear ones only where needed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tensorshark.forensics.filter.answers.predicates import Leaf, Predicate
from tensorshark.forensics.filter.values.operands import Numbers, Tier
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.relations import Bools


def answer(predicate: Predicate, reader: Reader) -> Bools:
    """For which traces (trace,) it is true; the cheapest questions first, the dear ones only where needed."""
    known: dict[Leaf, Bools] = {}
    leaves = sorted(dict.fromkeys(predicate.leaves()), key=lambda leaf: leaf.tier)
    for leaf in leaves:
        if leaf.tier is Tier.INDEX:
            known[leaf] = leaf.everywhere(reader)
        elif leaf.tier is Tier.ROWS:
            known[leaf] = reader.marked(leaf.among(reader, _open(predicate, known, reader.count)))
    scanned = [leaf for leaf in leaves if leaf.tier is Tier.TRACE]
    if scanned:
        open_ = _open(predicate, known, reader.count)
        found: dict[Leaf, list[int]] = {leaf: [] for leaf in scanned}
        for at in range(len(open_)):
            reader.check()
            for leaf in scanned:
                found[leaf].extend(leaf.among(reader, open_[at : at + 1]))
        known |= {leaf: reader.marked(numbers) for leaf, numbers in found.items()}
    return predicate.bounds(known, reader.count)[0]


def _open(predicate: Predicate, known: Mapping[Leaf, Bools], count: int) -> Numbers:
    """Numbers of the traces that the answers so far do not decide."""
    surely, possibly = predicate.bounds(known, count)
    return np.flatnonzero(possibly & ~surely) + 1
