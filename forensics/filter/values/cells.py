"""Numbers per layer, head and position: the statistics of captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Selected, Tier
from tensorshark.forensics.filter.values.relations import Bools, Present, Relation
from tensorshark.forensics.filter.values.scan import scan

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader


class Signal(Selected, frozen=True):
    """One statistic."""

    @property
    def indexed(self) -> bool:
        """True when the index holds all that is selected: the last token of a field without heads."""
        return self.pick(POS).last and HEAD not in self.field.axes

    @property
    def tier(self) -> Tier:
        return Tier.INDEX if self.indexed else Tier.TRACE

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        layers = reader.plan(self.pick(LAYER), reader.depths[0]) if len(reader.depths) == 1 else ()
        if not layers or type(relation) is Present:
            return super().mask(reader, relation, quantifier)
        column = reader.column(self.field.name)
        answer = scan(column, layers, relation, quantifier, reader.check)
        if len(answer) < reader.count:  # the index was made again meanwhile, of fewer traces
            answer = np.pad(answer, (0, reader.count - len(answer)))
        return answer[: reader.count]

    def make(self, batch: Batch) -> Array:
        if isinstance(batch, IndexBatch):
            return batch.column(self.field.name, self.pick(LAYER))[:, None, None, :]
        assert isinstance(batch, TraceBatch)
        return self.grid(batch)[..., None]

    def grid(self, batch: TraceBatch) -> Array:
        """The selected cells (layer, head, pos) of one trace, NaN where they were not captured; positions
        that are not there are left out."""
        layers, heads, positions = self.indices(batch)
        out = np.full((len(layers), len(heads), len(positions)), np.nan, np.float32)
        found = batch.stat(self.field.key)
        if found is None:
            return out
        stat, captured = found  # (layer, head, pos)
        rows = {layer: row for row, layer in enumerate(captured)}
        there = [place for place, layer in enumerate(layers) if layer in rows]
        chosen = stat[[rows[layers[place]] for place in there]]
        out[there] = chosen[:, heads][:, :, positions]
        return out


class HeadMeans(Signal, frozen=True):
    """The mean over heads of an attention field, per layer and position: what the index holds of it.

    Absent where one head's value is.
    """

    @property
    def indexed(self) -> bool:
        return self.pick(POS).last

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(axis for axis in super().axes if axis != HEAD)

    def grid(self, batch: TraceBatch) -> Array:
        grid = super().grid(batch)
        layers, heads, positions = grid.shape
        if heads == 0:
            return np.full((layers, 1, positions), np.nan, np.float32)
        means: Array = np.ascontiguousarray(np.moveaxis(grid, 1, -1)).mean(-1)  # (layer, pos)
        return means[:, None, :]
