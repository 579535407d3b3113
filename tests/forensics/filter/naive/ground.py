"""One capture, to the engine and to the evaluator."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tensorshark.traces.index import Index
from tests.forensics.filter.naive.facts import Facts

CAPTURES = 12
FILTERS = int(os.environ.get("TENSORSHARK_FILTERS", "6000")) // CAPTURES
"""How many filters each capture is asked."""


@dataclass(frozen=True)
class Ground:
    """One capture, twice."""

    index: Index
    known: list[Facts]
