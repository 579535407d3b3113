"""The order in which comparisons are asked: cheap ones of all traces, dear ones only where needed.

What the index answers is answered for all traces at once. What lies open then is gone through in capture
order, a stretch at a time, so that the first matches can be shown while the rest is still being read. Threads
that read ahead were tried: opening a trace is Python under one lock, and two threads take as long as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tensorshark.forensics.filter.answers.costs import left_to_measure
from tensorshark.forensics.filter.answers.kept import Asked, Kept
from tensorshark.forensics.filter.answers.predicates import Leaf, Predicate
from tensorshark.forensics.filter.values.ahead import Ahead
from tensorshark.forensics.filter.values.operands import AHEAD, Numbers, Tier
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.relations import Bools

OnFound = Callable[[Numbers, int, int], None]
"""Told the numbers that match so far, ascending, and how many of how many traces in question are done."""

EVERY_S = 0.1
"""Seconds between two reports of what was found so far."""
_FEW = 8
"""As many at first where an analyzer has to measure them, some or many milliseconds each; then twice as many
as long as they take less than EVERY_S."""
_STRETCH = 4096
"""Traces in question that are gone through together: some milliseconds of rows of the index."""


def answer(predicate: Predicate, reader: Reader, on_found: OnFound | None = None) -> Bools:
    """For which traces (trace,) it is true. Raises Cancelled; what was learned until then is kept."""
    kept = Kept(reader)
    leaves = in_order(predicate)
    known = {leaf: kept.everywhere(leaf) for leaf in leaves if leaf.tier is Tier.INDEX}
    dear = {leaf: kept.asked(leaf) for leaf in leaves if leaf.tier is not Tier.INDEX}
    if not dear:
        kept.done(predicate)
        return predicate.bounds(known, reader.count)[0]
    surely, open_ = _remembered(predicate, known, dear, reader.count)
    if open_.any():
        scan = _Scan(predicate, reader, dear, surely, on_found)
        try:
            scan.run(known, np.flatnonzero(open_) + 1)
        finally:
            kept.keep(dear)
            reader.finish()
        surely = scan.found
    kept.done(predicate)
    return surely


def _remembered(
    predicate: Predicate, known: Mapping[Leaf, Bools], dear: Mapping[Leaf, Asked], count: int
) -> tuple[Bools, Bools]:
    """Which traces (trace,) surely match, and which are open, given also the answers that are remembered."""
    so_far = dict(known)
    surely, possibly = predicate.bounds(so_far, count)
    for leaf, asked in dear.items():
        if (possibly & ~surely & ~asked.asked).any():
            break
        so_far[leaf] = asked.true
        surely, possibly = predicate.bounds(so_far, count)
    return surely, possibly & ~surely


def in_order(predicate: Predicate) -> list[Leaf]:
    """The comparisons, each once, in the order in which they are asked."""
    return sorted(dict.fromkeys(predicate.leaves()), key=lambda leaf: leaf.tier)


class _Scan:
    """Going through the traces that the index leaves open."""

    def __init__(
        self,
        predicate: Predicate,
        reader: Reader,
        dear: Mapping[Leaf, Asked],
        surely: Bools,
        on_found: OnFound | None,
    ) -> None:
        self.predicate = predicate
        self.reader = reader
        self.dear = dear
        """What has to be asked of one trace after the other, and what is known of it."""
        self.found = surely.copy()
        """True (trace,) where the predicate is."""
        self._on_found = on_found
        self._done = self._total = self._last = 0
        self._ahead = reader.once(Ahead, Ahead)
        self._told = time.monotonic()

    def run(self, known: Mapping[Leaf, Bools], numbers: Numbers) -> None:
        """Decide these traces, which ascend, given what is known of all."""
        self._total = len(numbers)
        if self._on_found is not None:
            self._ahead.tell = self._tell
        remembered = all(asked.asked[numbers - 1].all() for asked in self.dear.values())
        slow = any(left_to_measure(leaf, self.reader.index) for leaf in self.dear)
        size = len(numbers) if remembered else _FEW if slow else _STRETCH
        at = 0
        while at < len(numbers):
            stretch, began = numbers[at : at + size], time.monotonic()
            self._decide(list(self.dear), {leaf: true[stretch - 1] for leaf, true in known.items()}, stretch)
            at += len(stretch)
            if slow and time.monotonic() - began < EVERY_S:
                size = min(2 * size, _STRETCH)

    def _decide(self, leaves: Sequence[Leaf], known: dict[Leaf, Bools], numbers: Numbers) -> None:
        """Ask the leaves in turn, each of the traces that those before it leave open.

        `known` is of `numbers`, one value each.
        """
        for place, leaf in enumerate(leaves):
            self.reader.check()
            surely, possibly = self.predicate.bounds(known, len(numbers))
            open_ = possibly & ~surely
            if not open_.any():
                break
            asked = self.dear[leaf]
            new = numbers[open_ & ~asked.asked[numbers - 1]]
            if len(new) > AHEAD and leaf.now(self.reader, new) is Tier.TRACE:
                # Trace by trace from here on: each file is read once for all leaves, and matches show early.
                for at in range(0, len(numbers), AHEAD):
                    few = slice(at, at + AHEAD)
                    of_few = {leaf: true[few] for leaf, true in known.items()}
                    self._decide(leaves[place:], of_few, numbers[few])
                return
            if len(new):
                asked.ask(leaf, self.reader, new)
            known[leaf] = asked.true[numbers - 1]
        self.found[numbers - 1] = self.predicate.bounds(known, len(numbers))[0]
        self._done += len(numbers)
        self._last = int(numbers[-1])
        self._tell()

    def _tell(self) -> None:
        """Report what was found up to the last trace that was decided, if it is time to."""
        if self._on_found is None or self._done == self._total:
            return
        if time.monotonic() - self._told >= EVERY_S:
            found, ahead = np.flatnonzero(self.found[: self._last]) + 1, self._ahead
            self._on_found(found, self._done + ahead.done, self._total + ahead.total)
            self._told = time.monotonic()
