"""Values that the index has in its tables: metadata, labels, findings, prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorshark.forensics.filter.fields import FieldInfo, Type
from tensorshark.forensics.filter.operands import Numbers, Tier, Value
from tensorshark.forensics.filter.relations import Bools, Contains, Matches, Order, Present, Relation
from tensorshark.forensics.filter.selection import Quantity
from tensorshark.forensics.filter.tree import Quantifier

if TYPE_CHECKING:
    from tensorshark.forensics.filter.reader import Reader

_MANY = 2000
"""Traces from which on it is cheaper to read all values of a label than each trace's labels."""
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
        return Tier.ROWS if relation.sql("") is None else Tier.INDEX

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        table, column, here, parameters = self.source()
        condition, asked = relation.sql(column) or ("1", [])
        query = f"SELECT row FROM {table} WHERE {here}"
        found = reader.mask(f"{query} AND ({condition})", [*parameters, *asked])
        if self.field.many and quantifier == "all":
            found &= ~reader.mask(f"{query} AND NOT ({condition})", [*parameters, *asked])
        return found

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        table, column, here, parameters = self.source()
        truth = self.type == "truth"
        values: dict[int, list[Any]] = {}
        for row, value in reader.rows(f"SELECT row, {column} FROM {table} WHERE {here}", parameters, numbers):
            values.setdefault(row, []).append(bool(value) if truth else value)
        yield from sorted(values.items())

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
        return reader.mask("SELECT row FROM traces WHERE damaged = 0", [])

    def candidates(self, reader: Reader, relation: Relation, numbers: Numbers) -> Numbers:
        part = relation.literal if isinstance(relation, Matches) else ""
        if isinstance(relation, Order) and relation.operator == "==":
            part = str(relation.constant)
        if not part:
            return numbers
        return np.intersect1d(numbers, reader.index.containing(part, self.field.key), assume_unique=True)

    def read(self, reader: Reader, numbers: Numbers) -> Iterator[tuple[int, Any]]:
        for number, text in reader.texts(numbers, self.field.key):
            yield number, [text]
