"""One capture, to the engine and to the evaluator."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tensorshark.forensics.filter.context import Context
from tensorshark.traces.case import Case
from tensorshark.traces.index import Index
from tests.forensics.filter.naive.facts import Facts, World

CAPTURES = 12
FILTERS = int(os.environ.get("TENSORSHARK_FILTERS", "5400")) // CAPTURES
"""How many filters each capture is asked."""


@dataclass(frozen=True)
class Ground:
    """One capture, twice."""

    index: Index
    known: list[Facts]
    selected: Facts
    """The trace that `$field` speaks of."""
    case: Case | None = None
    """What was said about its traces."""

    @property
    def world(self) -> World:
        """For the evaluator."""
        return World(self.known, self.selected)

    @property
    def context(self) -> Context:
        """For the engine."""
        return Context(selected=self.selected.number, case=self.case)
