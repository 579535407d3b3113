"""Traces that are gone through before those in question, because all have a say: for a mean, or a place.

One for each use of the index, `reader.once(Ahead, Ahead)`, so that whoever waits is told of them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tensorshark.forensics.filter.values.batch import Batch

B = TypeVar("B", bound=Batch)


class Ahead:
    """How many of how many there were so far."""

    def __init__(self) -> None:
        self.done = self.total = 0
        self.tell: Callable[[], None] | None = None
        """Called when there are more."""

    def through(self, batches: Iterable[B], count: int) -> Iterator[B]:
        """These batches, of so many traces together."""
        end = self.done + count
        self.total += count
        for batch in batches:
            yield batch
            self.done += batch.count
            if self.tell is not None:
                self.tell()
        self.done = end
