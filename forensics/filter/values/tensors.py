"""The tensors themselves: whether they are there, and their vectors."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch, TraceBatch
from tensorshark.forensics.filter.values.operands import Selected, Tier
from tensorshark.forensics.filter.values.relations import Bools
from tensorshark.traces.sites import SITES


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

    def make(self, batch: Batch) -> Array:
        """(layer, 1, pos, trace, d_model), NaN where a layer is not there."""
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
