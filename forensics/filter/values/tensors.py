"""The tensors themselves: whether they are there, and their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Numbers, Selected, Tier
from tensorshark.forensics.filter.values.relations import Bools
from tensorshark.traces.sites import SITES

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.forensics.filter.values.vectors import Held


class Site(Selected, frozen=True):
    """The tensors of one site."""

    @property
    def tier(self) -> Tier:
        return Tier.TRACE

    def there(self, batch: Batch) -> Bools:
        """By the manifest: no tensor is read."""
        assert isinstance(batch, TraceBatch)
        layers, heads, positions = self.indices(batch)
        site = batch.trace.sites.get(self.field.key) if batch.trace is not None else None
        captured = [site is not None and layer in site.layers for layer in layers]
        there = np.array(captured, dtype=bool).reshape(-1, 1, 1, 1)
        return np.broadcast_to(there, (len(layers), len(heads), len(positions), 1))

    def now(self, reader: Reader, numbers: Numbers) -> Tier:
        kept = self._held(reader)
        return Tier.ROWS if kept is not None and kept.ready(numbers) else Tier.TRACE

    def make(self, batch: Batch) -> Array:
        """(layer, 1, pos, trace, d_model), NaN where a layer is not there."""
        if isinstance(batch, IndexBatch):
            kept = self._held(batch.reader)
            assert kept is not None, "now() says so"
            return kept.take(batch.numbers)[None, None, None]
        made = self._read(batch)
        if isinstance(batch, TraceBatch) and batch.row is not None and batch.trace is not None:
            kept = self._held(batch.row.reader)
            if kept is not None:
                self._keep(kept, batch, made)
        return made

    def _held(self, reader: Reader) -> Held | None:
        """The vectors of these cells that are kept beside the index."""
        from tensorshark.forensics.filter.values.vectors import held  # all filters import this file

        return held(reader, self.field.key, self.picks)

    def _keep(self, kept: Held, batch: TraceBatch, made: Array) -> None:
        """Let the next question find what was read of a trace, unless that could not be read."""
        site = batch.trace.sites.get(self.field.key) if batch.trace is not None else None
        layers = set(batch.indices(self.pick(LAYER))) & set(site.layers if site is not None else ())
        if made.size and layers:
            if batch.tensor(SITES[self.field.key].at(layers.pop())) is not None:
                kept.offer(int(batch.numbers[0]), made.reshape(-1))
        else:
            kept.offer(int(batch.numbers[0]), None)

    def _read(self, batch: Batch) -> Array:
        """The same of an opened trace."""
        assert isinstance(batch, TraceBatch) and HEAD not in self.field.axes
        layers, positions = batch.indices(self.pick(LAYER)), batch.indices(self.pick(POS))
        width = batch.trace.model.d_model if batch.trace is not None else 0
        out = np.full((len(layers), 1, len(positions), 1, width), np.nan, np.float32)
        site = batch.trace.sites.get(self.field.key) if batch.trace is not None else None
        for place, layer in enumerate(layers):
            if site is None or layer not in site.layers:
                continue
            tensor = batch.tensor(SITES[self.field.key].at(layer))  # (pos, d_model)
            if tensor is not None and tensor.shape == (batch.sizes[POS], width):
                out[place, 0, :, 0] = tensor[positions]
        return out
