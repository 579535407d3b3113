"""Tokens, as text and as numbers in the vocabulary."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics.filter.fields import POS
from tensorshark.forensics.filter.syntax.tree import At, Quantifier
from tensorshark.forensics.filter.values.arrays import Array, objects
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Numbers, Selected, Shown, Tier
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader

_BATCH = 16384
"""Traces whose tokens are looked at together."""
_IDS = "SELECT row, token_ids FROM tokens WHERE 1"
_LAST = "last_id IS NOT NULL"


class Token(Selected, frozen=True):
    """Tokens, as text."""

    @property
    def tier(self) -> Tier:
        return Tier.TRACE

    def words(self, quantity: Quantity) -> str:
        return self.pick(POS).words(quantity)

    def make(self, batch: Batch) -> Array:
        assert isinstance(batch, TraceBatch)
        tokens = batch.manifest.tokens if batch.manifest else []
        return objects([tokens[at] for at in batch.indices(self.pick(POS))]).reshape(1, 1, -1, 1)


class TokenId(Selected, frozen=True):
    """Tokens, as numbers in the vocabulary: in the index, which knows no spans."""

    @property
    def tier(self) -> Tier:
        return Tier.TRACE if self.pick(POS).spans else Tier.ROWS

    @property
    def whole(self) -> bool:
        return True

    def words(self, quantity: Quantity) -> str:
        return f"id of {self.pick(POS).words(quantity)}"

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX if self.pick(POS).last and relation.sql("") else self.tier

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        asked = relation.sql("last_id")
        assert asked is not None, "asks says so"
        return reader.mask("traces", f"{_LAST} AND ({asked[0]})", asked[1])

    def make(self, batch: Batch) -> Array:
        """Of several traces: as many positions as the longest has, NaN behind the end of the others."""
        pick = self.pick(POS)
        if isinstance(batch, IndexBatch):
            if pick.last:
                last = batch.spread(batch.rows(f"SELECT row, last_id FROM traces WHERE {_LAST}"), np.nan)
                return np.array(last, np.float64).reshape(1, 1, 1, -1)
            found = [np.frombuffer(ids, "<i4") for ids in batch.spread(batch.rows(_IDS), b"")]
            chosen = [ids[pick.indices(len(ids))] for ids in found]
            out = np.full((1, 1, max(map(len, chosen), default=0), batch.count), np.nan)
            for at, ids in enumerate(chosen):
                out[0, 0, : len(ids), at] = ids
            return out
        assert isinstance(batch, TraceBatch)
        known = batch.manifest.token_ids if batch.manifest else []
        return np.array([known[at] for at in batch.indices(pick)], np.float64).reshape(1, 1, -1, 1)

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
        parts = self.pick(POS).parts
        at = parts[0].index if len(parts) == 1 and isinstance(parts[0], At) else None
        if parts and at is None:
            return super().among(reader, relation, quantifier, numbers)
        rows = reader.rows(_IDS, [], numbers)
        found = [np.empty(0, np.int64)]
        while batch := list(islice(rows, _BATCH)):
            found.append(_with_tokens(batch, at, relation, quantifier))
        return np.concatenate(found)

    def _shown(self, cells: Array) -> Shown:
        if self.axes and self.tier is Tier.ROWS:  # behind its end a shorter trace has nothing, not a gap
            cells = cells[:, :, ~np.isnan(cells[0, 0])]
        return super()._shown(cells)


def _with_tokens(
    batch: list[tuple[int, bytes]], at: int | None, relation: Relation, quantifier: Quantifier
) -> Numbers:
    """Numbers of the traces whose token ids, or that at one index, satisfy the relation, all at once."""
    ids = np.frombuffer(b"".join(data for _, data in batch), "<i4")  # of all traces, one after the other
    sizes = np.array([len(data) // 4 for _, data in batch])
    numbers, starts = np.array([number for number, _ in batch]), np.cumsum(sizes) - sizes
    if at is not None:
        there = (sizes > at) if at >= 0 else (sizes >= -at)
        chosen = (starts + at + sizes * (at < 0))[there]
        return numbers[there][relation.array(ids[chosen])]
    there = sizes > 0
    hits = np.add.reduceat(relation.array(ids), starts[there], dtype=np.int64) if ids.size else sizes[there]
    return numbers[there][hits > 0 if quantifier == "any" else hits == sizes[there]]
