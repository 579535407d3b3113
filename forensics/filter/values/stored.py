"""Values that the index has in its tables: metadata, labels, findings, prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorshark.forensics.filter.fields import FieldInfo, Type
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arrays import Array, objects
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value
from tensorshark.forensics.filter.values.relations import Bools, Contains, Matches, Order, Present, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.manifest import TraceManifest

_PAGE = 500
"""Values per query."""
_UNIQUE = frozenset(("id",))
"""Columns in which asking for each distinct value once saves nothing."""
_MANIFOLD = frozenset(("id", "captured_at", "next_p", "bytes"))
"""Columns with nearly as many different values as traces."""
_FRACTIONS = frozenset(("next_p",))
"""Columns of numbers that are not whole."""
_JOURNALED = frozenset(("row", "id", "captured_at", "bytes"))
"""Columns that a damaged trace has too: the journal says them."""


class _Sql(Value, frozen=True):
    """A value in one column of a table of the index."""

    field: FieldInfo

    @property
    def tier(self) -> Tier:
        """A number that takes few values is a column like those of the statistics."""
        return Tier.INDEX if self.whole and not self._manifold else Tier.ROWS

    @property
    def _manifold(self) -> bool:
        return self.field.many or self.field.key in _MANIFOLD

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def many(self) -> bool:
        return self.field.many

    @property
    def always(self) -> bool:
        return self.field.always

    @property
    def whole(self) -> bool:
        return self.type == "number" and self.field.key not in _FRACTIONS

    def source(self) -> tuple[str, str, str, list[str]]:
        """Table, column, condition that singles out the field's rows, and its parameters."""
        raise NotImplementedError

    def words(self, quantity: Quantity) -> str:
        return self.field.noun

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX if relation.sql("") or self.field.key not in _UNIQUE else Tier.ROWS

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        found = self._mask(reader, relation, False)
        if self.field.many and quantifier == "all":
            found &= ~self._mask(reader, relation, True)
        return found

    def _mask(self, reader: Reader, relation: Relation, negated: bool) -> Bools:
        """For which traces (trace,) a value satisfies the relation, or with `negated` fails to."""
        table, column, here, parameters = self.source()
        asked = relation.sql(column)
        if asked is not None:
            condition = f"NOT ({asked[0]})" if negated else asked[0]
            return reader.mask(table, f"{here} AND ({condition})", [*parameters, *asked[1]])
        answer = np.zeros(reader.count, dtype=bool)
        distinct = reader.index.query(f"SELECT DISTINCT {column} FROM {table} WHERE {here}", parameters)
        fitting = [value for (value,) in distinct if relation.one(value) != negated]
        for start in range(0, len(fitting), _PAGE):
            page = fitting[start : start + _PAGE]
            condition = f"{here} AND {column} IN ({','.join('?' * len(page))})"
            answer |= reader.mask(table, condition, [*parameters, *page])
        return answer

    def make(self, batch: Batch) -> Array:
        if isinstance(batch, TraceBatch):
            if batch.row is not None:
                return self.cells(batch.row)
            return self._shaped([self.held(batch.manifest) if batch.manifest else []])
        assert isinstance(batch, IndexBatch)
        if batch.wide and not self._manifold:
            return self.coded(batch)
        table, column, here, parameters = self.source()
        found = batch.rows(f"SELECT row, {column} FROM {table} WHERE {here}", parameters)
        if not self.field.many:
            return self._shaped([[] if value is None else [value] for value in batch.spread(found)])
        values: dict[int, list[Any]] = {}
        for row, value in found:
            values.setdefault(row, []).append(value)
        return self._shaped([values.get(number, []) for number in batch.numbers.tolist()])

    def coded(self, batch: IndexBatch) -> Array:
        """The cells of a value that takes few values, each looked up once for all traces."""
        from tensorshark.forensics.filter.codes import coded

        every = np.arange(1, batch.reader.count + 1)
        codes, values = batch.reader.once(("coded", self), lambda: coded(self, batch.reader, every))
        number = self.type == "number"
        known = np.array([*values, np.nan]) if number else objects([*values, None])
        return np.asarray(known[codes[batch.where]].reshape(1, 1, 1, -1))

    def held(self, manifest: TraceManifest) -> list[Any]:
        """Its values in a trace that is in no index."""
        raise NotImplementedError

    def _shaped(self, values: list[list[Any]]) -> Array:
        """(1, 1, value, trace) of each trace's values."""
        if not self.field.many and self.type == "number":
            numbers = [trace[0] if trace else np.nan for trace in values]
            return np.array(numbers, dtype=np.float64).reshape(1, 1, 1, -1)
        if self.type == "truth":
            values = [[bool(value) for value in trace] for trace in values]
        most = max(map(len, values), default=0) if self.field.many else 1
        padded = [value for trace in values for value in [*trace, *[None] * (most - len(trace))]]
        return objects(padded).reshape(len(values), most).T[None, None]

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
        if self.field.many:
            return super().among(reader, relation, quantifier, numbers)
        table, column, here, parameters = self.source()
        one, query = relation.one, f"SELECT row, {column} FROM {table} WHERE {here}"  # of one value each
        return [number for number, value in reader.rows(query, parameters, numbers) if one(value)]

    def ordered(self, reader: Reader, descending: bool) -> Numbers | None:
        table, column, here, parameters = self.source()
        if self.field.many or column == "severity":
            return None
        way = "DESC" if descending else "ASC"
        query = f"SELECT row FROM {table} WHERE {here} AND row <= ? ORDER BY {column} {way}, row"
        found = reader.index.query(query, [*parameters, reader.count])
        return np.fromiter((row for (row,) in found), dtype=np.int64, count=len(found))


class Stored(_Sql, frozen=True):
    """One column of the table of traces."""

    def source(self) -> tuple[str, str, str, list[str]]:
        key = self.field.key
        here = "1" if key in _JOURNALED else "damaged = 0"
        if key in ("next_token", "next_id", "next_p"):
            here = "next_id IS NOT NULL"
        return "traces", key, here, []

    def make(self, batch: Batch) -> Array:
        if self.field.key == "row":
            return batch.numbers.astype(np.float64).reshape(1, 1, 1, -1)
        return super().make(batch)

    def held(self, manifest: TraceManifest) -> list[Any]:
        best = manifest.next_tokens[:1]
        match self.field.key:
            case "id" | "model" | "captured_at":
                return [getattr(manifest, self.field.key)]
            case "seq_len":
                return [len(manifest.token_ids)]
            case "dtype":
                return [manifest.provenance.dtype]
            case "bos":
                return [manifest.provenance.bos_added]
            case "layers":
                return [len({layer for site in manifest.sites for layer in site.layers})]
            case "next_token":
                return [one.token for one in best]
            case "next_id":
                return [one.id for one in best]
            case "next_p":
                return [one.p for one in best]
        raise AssertionError(f"nothing but the index knows {self.field.name}")


class Label(_Sql, frozen=True):
    """One label."""

    def source(self) -> tuple[str, str, str, list[str]]:
        return "labels", "value", "key = ?", [self.field.key]

    def make(self, batch: Batch) -> Array:
        if not isinstance(batch, IndexBatch):
            return super().make(batch)
        if batch.wide:
            return self.coded(batch)
        key = self.field.key
        found = batch.rows("SELECT row, labels FROM traces WHERE damaged = 0")
        known = [json.loads(labels) for labels in batch.spread(found, "{}")]
        return self._shaped([[labels[key]] if key in labels else [] for labels in known])

    def held(self, manifest: TraceManifest) -> list[Any]:
        found = manifest.labels.get(self.field.key)
        return [] if found is None else [found]


class Expert(_Sql, frozen=True):
    """Severity or code of each finding about the evidence."""

    def source(self) -> tuple[str, str, str, list[str]]:
        return "experts", self.field.key, "1", []

    def held(self, manifest: TraceManifest) -> list[Any]:
        found = dict.fromkeys((expert.severity, expert.code) for expert in manifest.experts)
        return [severity if self.field.key == "severity" else code for severity, code in found]

    def words(self, quantity: Quantity) -> str:
        return f"{self.field.noun} of {quantity} finding{'s' if quantity == 'all' else ''}"


class Prompt(Value, frozen=True):
    """The prompt, or the text that was tokenised."""

    field: FieldInfo

    @property
    def type(self) -> Type:
        return "text"

    @property
    def always(self) -> bool:
        return True

    @property
    def tier(self) -> Tier:
        return Tier.ROWS

    def words(self, quantity: Quantity) -> str:
        return self.field.noun

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX if type(relation) in (Contains, Present) else Tier.ROWS

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        if isinstance(relation, Contains):
            return reader.holding(relation.part, self.field.key).copy()
        return reader.mask("traces", "damaged = 0", [])

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int]:
        part = relation.literal if isinstance(relation, Matches) else ""
        if isinstance(relation, Order) and relation.operator == "==":
            part = str(relation.constant)
        if part:
            folded = isinstance(relation, Matches) and relation.folded
            numbers = numbers[reader.holding(part, self.field.key, not folded)[numbers - 1]]
        if isinstance(relation, Matches):
            return reader.matching(relation.pattern, self.field.key, numbers)
        one = relation.one
        return [number for number, text in reader.texts(numbers, self.field.key) if one(text)]

    def make(self, batch: Batch) -> Array:
        if isinstance(batch, TraceBatch):
            if batch.row is not None:
                return self.cells(batch.row)
            return objects([getattr(batch.manifest, self.field.key, None)]).reshape(1, 1, 1, 1)
        assert isinstance(batch, IndexBatch)
        found = list(batch.reader.index.texts(batch.numbers.tolist(), self.field.key))
        return objects(batch.spread(found)).reshape(1, 1, 1, -1)
