"""Values that the index has in its tables: metadata, labels, findings, prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorshark.forensics.filter.fields import FieldInfo, Type
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value
from tensorshark.forensics.filter.values.relations import Bools, Contains, Matches, Order, Present, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader

_MANY = 2000
"""Traces from which on it is cheaper to read all values of a label than each trace's labels."""
_PAGE = 500
"""Values per query."""
_UNIQUE = frozenset(("id",))
"""Columns in which asking for each distinct value once saves nothing."""
_JOURNALED = frozenset(("row", "id", "captured_at"))
"""Columns that a damaged trace has too: the journal says them."""


class _Sql(Value, frozen=True):
    """A value in one column of a table of the index."""

    field: FieldInfo

    @property
    def tier(self) -> Tier:
        return Tier.ROWS

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def single(self) -> bool:
        return not self.field.many

    @property
    def always(self) -> bool:
        return self.field.always

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

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        table, column, here, parameters = self.source()
        truth = self.type == "truth"
        values: dict[int, list[Any]] = {}
        for row, value in reader.rows(f"SELECT row, {column} FROM {table} WHERE {here}", parameters, numbers):
            values.setdefault(row, []).append(bool(value) if truth else value)
        yield from sorted(values.items())

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int] | Numbers:
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
        if key in ("next_token", "next_p"):
            here = "next_id IS NOT NULL"
        return "traces", key, here, []


class Label(_Sql, frozen=True):
    """One label."""

    def source(self) -> tuple[str, str, str, list[str]]:
        return "labels", "value", "key = ?", [self.field.key]

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        if len(numbers) > _MANY:
            yield from super().read(reader, numbers)
            return
        key = self.field.key
        for number, labels in reader.rows("SELECT row, labels FROM traces WHERE damaged = 0", [], numbers):
            found = json.loads(labels)
            if key in found:
                yield number, [found[key]]


class Expert(_Sql, frozen=True):
    """Severity or code of each finding about the evidence."""

    def source(self) -> tuple[str, str, str, list[str]]:
        return "experts", self.field.key, "1", []

    def words(self, quantity: Quantity) -> str:
        return f"{self.field.noun} of {quantity} finding{'s' if quantity == 'all' else ''}"


class Prompt(Value, frozen=True):
    """The prompt, or the text that was tokenised."""

    field: FieldInfo

    @property
    def type(self) -> Type:
        return "text"

    @property
    def single(self) -> bool:
        return True

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
            return reader.marked(reader.index.containing(relation.part, self.field.key))
        return reader.mask("traces", "damaged = 0", [])

    def among(
        self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers
    ) -> list[int]:
        part = relation.literal if isinstance(relation, Matches) else ""
        if isinstance(relation, Order) and relation.operator == "==":
            part = str(relation.constant)
        if part:
            worth = reader.index.containing(part, self.field.key)
            numbers = np.intersect1d(numbers, worth, assume_unique=True)
        one = relation.one
        return [number for number, text in reader.texts(numbers, self.field.key) if one(text)]

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        for number, text in reader.texts(numbers, self.field.key):
            yield number, [text]
