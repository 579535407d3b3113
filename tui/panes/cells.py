"""What the lens has said so far, and what to ask it next: only what is on the screen, nearest first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from tensorshark.forensics.jobs import LensGrid, LensJob

TOP = 10
"""Tokens asked for in every cell, so that moving the cursor to a cell asks nothing more."""
ROWS = 64
"""Cells of one job: about 50 ms, so that the newest wish never waits long."""
KEPT = 20_000
"""Cells remembered, of any trace."""


@dataclass(frozen=True)
class Cell:
    """What the lens says at one layer and position."""

    tokens: tuple[str, ...]
    """Most likely first; untrusted text. Empty where the state is not finite."""
    probs: tuple[float, ...]
    """Of `tokens`."""
    entropy: float
    """Of the whole distribution, in nats."""
    kl: float
    """KL(layer ‖ final) in nats; NaN where the last layer was not captured."""
    kl_reverse: float
    """KL(final ‖ layer) in nats."""
    rank: int
    """How many tokens are likelier than the one that the last layer puts first; -1 where unknown."""


Place = tuple[str, int, int]
"""Trace id, layer, position."""


class Cells:
    """A memory of cells; the least recently used go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Place, Cell] = OrderedDict()

    def get(self, trace: str, layer: int, position: int) -> Cell | None:
        """What is known of a cell."""
        place = (trace, layer, position)
        if place in self._known:
            self._known.move_to_end(place)
        return self._known.get(place)

    def store(self, grid: LensGrid) -> None:
        """Remember an answer."""
        for row, layer in enumerate(grid.layers):
            for column, position in enumerate(grid.positions):
                finite = bool(grid.token_ids[row, column, 0] >= 0)
                self._known[grid.trace, layer, position] = Cell(
                    tokens=tuple(grid.tokens[row][column]) if finite else (),
                    probs=tuple(grid.probs[row, column].tolist()) if finite else (),
                    entropy=float(grid.entropy[row, column]),
                    kl=float(grid.kl[row, column]),
                    kl_reverse=float(grid.kl_reverse[row, column]),
                    rank=int(grid.rank[row, column]),
                )
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def next_job(
        self,
        capture: str,
        trace: str,
        every: Sequence[int],
        rows: Sequence[int],
        columns: Sequence[int],
        at: int,
    ) -> LensJob | None:
        """What to ask next: every layer at the cursor's position `at`, then the rows and columns shown.

        Columns near the cursor come first. None when all of it is known.
        """
        if layers := self._unknown(trace, every, at):
            return LensJob(capture=capture, trace=trace, layers=layers, positions=[at], top_k=TOP)
        near = sorted(columns, key=lambda column: (abs(column - at), column))
        lacking = [column for column in near if self._unknown(trace, rows, column)]
        if not lacking:
            return None
        layers = sorted({layer for column in lacking for layer in self._unknown(trace, rows, column)})
        positions = sorted(lacking[: max(1, ROWS // len(layers))])
        return LensJob(capture=capture, trace=trace, layers=layers, positions=positions, top_k=TOP)

    def _unknown(self, trace: str, layers: Sequence[int], position: int) -> list[int]:
        return [layer for layer in layers if (trace, layer, position) not in self._known]
