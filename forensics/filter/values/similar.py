"""How much a trace is like one that is named: `similar_to("#12", resid_post, 12, -1)`."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.closeness import cosine
from tensorshark.forensics.filter.fields import Type
from tensorshark.forensics.filter.values.arrays import Array
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Tier, Value
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.selection import Quantity
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.forensics.filter.values.vectors import held
from tensorshark.traces.text import safe_text


class SimilarTo(Value, frozen=True):
    """Cosine of the angle between a trace's vector and that of a named trace, from -1 to 1."""

    name: str
    """`#NUMBER`, an id or how one begins; as typed."""
    site: Site
    """One vector per trace."""

    @property
    def type(self) -> Type:
        return "number"

    @property
    def tier(self) -> Tier:
        return Tier.TRACE

    @property
    def parts(self) -> tuple[Value, ...]:
        return (self.site,)

    def words(self, quantity: Quantity) -> str:
        return f"likeness to trace {safe_text(self.name, 40)} of {self.site.words(quantity)}"

    def make(self, batch: Batch) -> Array:
        row = batch if isinstance(batch, IndexBatch) else batch.row if isinstance(batch, TraceBatch) else None
        vectors = self.site.cells(batch)  # (layer, 1, pos, trace, d_model)
        absent = np.full(vectors.shape[:-1], np.nan)
        if row is None:  # a trace that is in no index
            return absent
        example = row.reader.once(("example", self), lambda: self._example(row.reader))
        if vectors.shape[-1] != len(example):  # of another width, or none
            return absent
        kept = held(row.reader, self.site.field.key, self.site.picks) if row is batch else None
        return cosine(vectors, example, None if kept is None else kept.squares(row.numbers))

    def _example(self, reader: Reader) -> Array:
        """The vector (d_model,) of the named trace, NaN where it has none. Raises NotFoundError for a name
        that is no trace's."""
        from tensorshark.forensics.similar import named

        number = np.array([named(reader.index, self.name)])
        if number[0] > reader.count:
            return np.empty(0, np.float32)
        ready = self.site.now(reader, number) is not Tier.TRACE
        batch = next(reader.batches(number)) if ready else reader.opened(int(number[0]))
        return self.site.cells(batch).reshape(-1)
