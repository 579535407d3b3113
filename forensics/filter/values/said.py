"""What people said about traces: marks, tags and notes of the case, as fields.

Read from the case when a question is asked, and kept only while it says the same: a mark that was set a
moment ago counts. Without a case nothing is marked, and there are no tags and no notes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from tensorshark.forensics.filter.fields import FieldInfo, Type
from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arrays import Array, objects
from tensorshark.forensics.filter.values.batch import Batch, IndexBatch, TraceBatch
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value
from tensorshark.forensics.filter.values.relations import Bools, Relation
from tensorshark.forensics.filter.values.selection import Quantity

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.case import Case

_PAGE = 500
"""Ids per query."""
_WHOLE = 4
"""One trace in so many is asked for: then all ids are read."""
_KEPT = 16
"""Answers kept of a case."""

T = TypeVar("T")
_seen: WeakKeyDictionary[Case, dict[_Said, tuple[Any, Any]]] = WeakKeyDictionary()
_lock = threading.Lock()


class _Said(Value, frozen=True):
    """Answered for all traces at once, out of the case."""

    depends: ClassVar[frozenset[str]] = frozenset({"case"})
    field: FieldInfo

    @property
    def type(self) -> Type:
        return self.field.type

    @property
    def tier(self) -> Tier:
        return Tier.ROWS

    def asks(self, relation: Relation) -> Tier:
        return Tier.INDEX

    def make(self, batch: Batch) -> Array:
        if isinstance(batch, TraceBatch):
            assert batch.row is not None, "a trace in no index is in no case; the checks said so"
            return self.cells(batch.row)
        assert isinstance(batch, IndexBatch)
        return self.rows(batch)

    def rows(self, batch: IndexBatch) -> Array:
        """(1, 1, value, trace)."""
        raise NotImplementedError


class Marked(_Said, frozen=True):
    """Whether a trace, or a token or cell in it, has a mark: that of the field's key, or any."""

    @property
    def always(self) -> bool:
        return True

    def words(self, quantity: Quantity) -> str:
        return f"marked {self.field.key}".rstrip()

    def marked(self, reader: Reader) -> Bools:
        """Which traces (trace,) are."""
        case = reader.context.case
        if case is None:
            return np.zeros(reader.count, dtype=bool)
        found = seen(reader, self, lambda: numbers_of(reader, case.marked(self.field.key)))
        return reader.once(self, lambda: reader.marked(found))

    def rows(self, batch: IndexBatch) -> Array:
        marked = self.marked(batch.reader)[batch.where]
        return objects(marked.tolist()).reshape(1, 1, 1, -1)

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        return np.where(self.marked(reader), relation.one(True), relation.one(False))

    def among(self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers) -> Numbers:
        return numbers[self.mask(reader, relation, quantifier)[numbers - 1]]


class Texts(_Said, frozen=True):
    """Tags or notes: as many as there are, of the trace itself and of what is in it."""

    @property
    def many(self) -> bool:
        return True

    def words(self, quantity: Quantity) -> str:
        return f"every {self.field.noun}" if quantity in ("every", "all") else self.field.noun

    def texts(self, reader: Reader) -> dict[int, list[str]]:
        """Number of a trace -> its texts, each once."""
        if reader.context.case is None:
            return {}
        return seen(reader, self, lambda: self._texts(reader))

    def rows(self, batch: IndexBatch) -> Array:
        known = self.texts(batch.reader)
        values = [known.get(number, []) for number in batch.numbers.tolist()]
        most = max(map(len, values), default=0)
        padded = [text for texts in values for text in [*texts, *[None] * (most - len(texts))]]
        return objects(padded).reshape(len(values), most).T[None, None]

    def mask(self, reader: Reader, relation: Relation, quantifier: Quantifier) -> Bools:
        decide, one = (any if quantifier == "any" else all), relation.one
        found = [
            number for number, texts in self.texts(reader).items() if decide(one(text) for text in texts)
        ]
        return reader.marked(found)

    def among(self, reader: Reader, relation: Relation, quantifier: Quantifier, numbers: Numbers) -> Numbers:
        return numbers[self.mask(reader, relation, quantifier)[numbers - 1]]

    def _texts(self, reader: Reader) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for text, ids in reader.context.case.texts(self.field.key).items():
            for number in numbers_of(reader, ids).tolist():
                if number <= reader.count:
                    found.setdefault(number, []).append(text)
        return found


def seen(reader: Reader, value: _Said, make: Callable[[], T]) -> T:
    """What `make` gives, made once for a state of the case and of the index: a million marks take a second
    to find, and are asked for at every key."""
    case, index = reader.context.case, reader.index
    with _lock:
        known = _seen.setdefault(case, {})
        state = (case.seen, index.generation, reader.count)
        if value not in known or known[value][0] != state:
            if len(known) >= _KEPT:
                known.clear()
            known[value] = (state, make())
        found: T = known[value][1]
        return found


def numbers_of(reader: Reader, ids: Iterable[str]) -> Numbers:
    """Numbers of the traces with these ids; those that the capture does not have are left out."""
    wanted = set(ids)
    found: list[int] = []
    if len(wanted) * _WHOLE > reader.count:
        rows = reader.index.query("SELECT row, id FROM traces")
        found = [row for row, id in rows if id in wanted]
        return np.array(found, dtype=np.int64)
    listed = sorted(wanted)
    for start in range(0, len(listed), _PAGE):
        reader.check()
        page = listed[start : start + _PAGE]
        rows = reader.index.query(f"SELECT row FROM traces WHERE id IN ({','.join('?' * len(page))})", page)
        found += [row for (row,) in rows]
    return np.array(found, dtype=np.int64)
