"""`Index`: the questions that a list, a filter or a sort asks."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import NotFoundError, StorageError
from tensorshark.traces.files import shown
from tensorshark.traces.index import rows
from tensorshark.traces.index.columns import Column, Floats, Shape, Store, remove
from tensorshark.traces.index.generation import Generation
from tensorshark.traces.index.ingest import entry_of
from tensorshark.traces.index.keeper import LOCK_WAIT_S, Keeper
from tensorshark.traces.index.rows import Indexed
from tensorshark.traces.journal import JournalEntry
from tensorshark.traces.sites import STAT_FIELDS

if TYPE_CHECKING:
    from tensorshark.traces.index.cell import Cell
    from tensorshark.traces.index.place import Place
    from tensorshark.traces.index.vectors import Vectors
    from tensorshark.traces.store import Capture, Trace

_PAGE = 500
"""Numbers per query."""
_ROW = """SELECT row, id, model, captured_at, seq_len, labels, prompt, next_token, next_p, expert, bytes
          FROM traces LEFT JOIN prompts USING (row) WHERE """
_TEXT = {
    field: f"""SELECT row, coalesce(texts.{field}, prompts.prompt)
               FROM prompts LEFT JOIN texts USING (row) WHERE """
    for field in ("prompt", "text")
}
_CONTAINING = {
    field: f"""SELECT group_concat(row) FROM prompts LEFT JOIN texts USING (row)
               WHERE instr(coalesce(texts.{field}, prompts.prompt), CAST(? AS BLOB)) > 0"""
    for field in ("prompt", "text")
}
_TEXTS = "SELECT group_concat(row) FROM prompts WHERE 1"
SEPARATOR = b"\xff"
"""Between texts that are searched together: no byte of UTF-8."""
_JOINED = {
    field: f"""SELECT group_concat(row), CAST(group_concat(text, x'ff') AS BLOB) FROM (
               SELECT row, coalesce(texts.{field}, prompts.prompt) AS text
               FROM prompts LEFT JOIN texts USING (row) WHERE row BETWEEN ? AND ?)"""
    for field in ("prompt", "text")
}
_JOINED_AT_ONCE = """SELECT count(*), CAST(group_concat(prompt, x'ff') AS BLOB),
    EXISTS (SELECT 1 FROM texts WHERE row BETWEEN ?1 AND ?2) FROM prompts WHERE row BETWEEN ?1 AND ?2"""
"""The same where no row is missing and `texts` has none of them: the numbers are known, and it takes half."""
_BETWEEN = "row BETWEEN ? AND ?"
_TRIGRAM = 3
_CELLS = 16
"""Cells whose vectors stay mapped and checked: the last ones that were asked about."""
_PHRASE = 64
"""Characters that are looked up among the trigrams: thousands, of one letter, would take it minutes."""
_LABELS = msgspec.json.Decoder(dict[str, str])


class TraceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the list shows of one trace. Texts are untrusted."""

    number: int
    """From 1, in capture order."""
    id: str
    model: str
    captured_at: str
    """UTC, ISO 8601."""
    seq_len: int
    labels: dict[str, str]
    prompt: str
    """At most 4096 characters; empty when the trace is damaged."""
    next_token: str
    next_p: float | None
    norms: list[float]
    """resid_post at the last token per layer, NaN where there is none; empty when no trace has it."""
    entropy: float
    """Mean attention entropy at the last token over layers and heads, in nats; NaN when not captured."""
    expert: str
    """Highest severity of the trace's expert lines, or empty."""
    bytes: int
    """Of the trace's files."""


class Index:
    """Open with `Index.open`. Any thread may call any method."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._keeper = Keeper(capture)
        self._vectors_lock = threading.Lock()
        self._columns: dict[str, tuple[Generation, Column]] = {}
        self._vectors: OrderedDict[Cell, Vectors] = OrderedDict()

    @classmethod
    def open(cls, capture: Capture, *, refresh: bool = True) -> Index:
        """The index as it is, or verified and brought up to date with `refresh`.

        Without it this takes milliseconds whatever the capture's size; call `refresh` with a budget until
        nothing is `behind`. Raises StorageError when there is nowhere to put an index.
        """
        index = cls(capture)
        if refresh:
            index.refresh()
        return index

    def refresh(self, budget_s: float | None = None) -> int:
        """Verify what is there, ingest what was committed since; returns by how many rows the index grew.

        With a budget, works for about that long and leaves the rest to the next call. Nothing new costs a
        stat per writer. Where another process is ingesting, its work is counted. The number is negative
        when a damaged index has been thrown away. Raises StorageError when a disk fails.
        """
        return self._keeper.refresh(budget_s)

    @property
    def behind(self) -> bool:
        """True when something is left for `refresh` to do. Costs a stat per writer."""
        return self._keeper.behind

    def __len__(self) -> int:
        return int(self.query("SELECT coalesce(max(row), 0) FROM traces")[0][0])

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's read-only connection; the tables are in `database.py`.

        Fetch all rows of a query at once: a cursor left half-read holds a transaction open, and the log
        grows. `query` does that, and makes a damaged index again.
        """
        return self._keeper.generation.database.reader

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a SELECT. An index that turns out to be damaged is made again first."""
        generation = self._keeper.generation
        try:
            return generation.database.reader.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError:
            if not self._keeper.is_damaged(generation):
                raise
        generation = self._keeper.recover(generation)
        return generation.database.reader.execute(sql, parameters).fetchall()

    def column(self, field: str) -> Column:
        """Last token's values of a signal field of `traces.sites.STAT_FIELDS`; heads are averaged.

        The same one as long as no row is added. NotFoundError for any other name.
        """
        if field not in STAT_FIELDS:
            raise NotFoundError(f"no column {field!r}; there are {', '.join(STAT_FIELDS)}")
        count = len(self)
        generation = self._keeper.generation
        known = self._columns.get(field)
        if known is not None and known[0] is generation and known[1].count == count:
            return known[1]

        def recover() -> tuple[Store, Mapping[int, Shape]]:
            now = self._keeper.generation
            if now is generation and _shapes(now, field) == shapes:
                now = self._keeper.recover(generation)
            return now.store, _shapes(now, field)

        shapes = _shapes(generation, field)
        column = Column(field, count, generation.store, shapes, recover)
        self._columns[field] = generation, column
        return column

    def vectors(self, cell: Cell) -> Vectors:
        """One vector per trace, read from the traces when `Vectors.extend` is called."""
        from tensorshark.traces.index.vectors import Vectors

        with self._vectors_lock:
            found = self._vectors.pop(cell, None)
            if found is None:
                found = Vectors(self, cell)
            self._vectors[cell] = found
            while len(self._vectors) > _CELLS:  # who has one keeps it
                self._vectors.popitem(last=False)
        return found

    @property
    def place(self) -> Place:
        """Where this index and what belongs to it lie."""
        return self._keeper.place

    @property
    def generation(self) -> Generation:
        """The one that counts now: another one means that everything was made again."""
        return self._keeper.generation

    def rows(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[TraceRow]:
        """What the list shows of these traces, in the order given; unknown numbers are left out."""
        wanted = [int(number) for number in numbers]
        generation = self._keeper.generation
        try:
            return self._rows(wanted)
        except (ValueError, msgspec.MsgspecError):  # text that is no text: an index not verified yet
            if not self._keeper.is_damaged(generation):
                raise
        self._keeper.recover(generation)
        return self._rows(wanted)

    def labels(self) -> dict[str, dict[str, int]]:
        """Key -> value -> how many traces carry it; keys and values sorted."""
        histogram: dict[str, dict[str, int]] = {}
        for key, value, count in self.query("SELECT key, value, count FROM label_keys ORDER BY key, value"):
            histogram.setdefault(key, {})[value] = count
        return histogram

    def number_of(self, trace_id: str) -> int:
        """Number of a trace by its id; 0 when it is not (yet) in the index."""
        found = self.query("SELECT row FROM traces WHERE id = ?", (trace_id,))
        return int(found[0][0]) if found else 0

    def id_of(self, number: int) -> str:
        """Id of a trace by its number. NotFoundError when there is none."""
        return self.entry(number).id

    def ids(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Ids of these traces, in their order. NotFoundError when there is no such number."""
        wanted = [int(number) for number in numbers]
        found = dict(self._by_number("SELECT row, id FROM traces WHERE", wanted))
        if missing := next((number for number in wanted if number not in found), 0):
            raise NotFoundError(f"no trace number {missing} among {len(self):,}")
        return [found[number] for number in wanted]

    def entry(self, number: int) -> JournalEntry:
        """The journal entry of a trace by its number. NotFoundError when there is none."""
        entry = entry_of(self.db, number)
        if entry is None:
            raise NotFoundError(f"no trace number {number} among {len(self):,}")
        return entry

    def trace(self, number: int) -> Trace:
        """The trace with this number, opened without reading the journal. Raises as `Capture.trace` does."""
        return self.capture.read(self.entry(number), number)

    def texts(self, numbers: Iterable[int] | None = None, field: str = "prompt") -> Iterator[tuple[int, str]]:
        """(number, whole text) of these traces, or of all, ascending; `field` is `prompt` or `text`.

        Damaged traces have no text and are left out.
        """
        if isinstance(numbers, range) and numbers.step == 1:
            ends = (numbers.start, numbers.stop - 1)
            yield from ((row, text.decode()) for row, text in self.query(_TEXT[field] + _BETWEEN, ends))
            return
        if numbers is not None:
            for row, text in self._by_number(_TEXT[field], sorted({int(number) for number in numbers})):
                yield row, text.decode()
            return
        for first in range(1, len(self) + 1, _PAGE):
            last = first + _PAGE - 1
            for row, text in self.query(_TEXT[field] + _BETWEEN, (first, last)):
                yield row, text.decode()

    def joined(self, first: int, last: int, field: str = "prompt") -> tuple[NDArray[np.int64], bytes]:
        """Numbers from `first` to `last` that have a text, and the texts, each followed by SEPARATOR.

        To search many texts at once: they are UTF-8, and the separator is a byte that no text holds.
        """
        count, texts, apart = self.query(_JOINED_AT_ONCE, (first, last))[0]
        if not apart and count == last - first + 1:
            return np.arange(first, last + 1, dtype=np.int64), texts + SEPARATOR
        rows, texts = self.query(_JOINED[field], (first, last))[0]
        return _listed(rows), texts + SEPARATOR if rows else b""

    def containing(self, part: str, field: str = "prompt", exact: bool = True) -> NDArray[np.int64]:
        """Numbers, ascending, of the traces whose `prompt` or `text` contains `part`, exactly as typed.

        Three characters or more are looked up in the trigram index (milliseconds at a million traces),
        fewer are searched for; a NUL in either text changes nothing. Without `exact` these are candidates:
        all that contain it in capitals or small letters are among them, as far as they are known to be.
        """
        sql, parameters = _CONTAINING[field], [part]
        if not exact:
            sql, parameters = _TEXTS, []
        if len(part) >= _TRIGRAM and self._keeper.generation.trigrams:
            phrase = rows.without_nul(part[:_PHRASE]).replace('"', '""')  # the rest is looked at in the rows
            sql += " AND row IN (SELECT rowid FROM trigrams WHERE trigrams MATCH ?)"
            parameters.append(f'"{phrase}"')
        return np.sort(_listed(self.query(sql, parameters)[0][0]))

    def fill(self, new: Sequence[Indexed], values: Mapping[str, Floats] | None = None) -> None:
        """Add rows that no journal names: how a bench gets an index of a million traces in a minute.

        `values` are field -> (layer, trace), by default those of the rows. Call it with some thousand rows at
        a time, on an index of an empty capture.
        """
        with self._keeper.writing(LOCK_WAIT_S) as connection:
            if connection is None:
                raise StorageError(f"{shown(self.capture.path)}: another process is writing this index")
            columns = rows.stack(new) if values is None else values
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                stale = rows.append(connection, self._keeper.generation.store, new, columns)
            remove(stale)

    def close(self) -> None:
        """Close all connections; the index stays on disk unless it was a temporary one."""
        self._keeper.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, wanted: list[int]) -> list[TraceRow]:
        found = {row[0]: row for row in self._by_number(_ROW, wanted)}
        wanted = [number for number in wanted if number in found]
        norms = self.column("resid_post.norm").at(wanted).T.tolist()
        entropies = _means(self.column("attn.entropy").at(wanted))
        return [
            _trace_row(found[number], norm, entropy)
            for number, norm, entropy in zip(wanted, norms, entropies, strict=True)
        ]

    def _by_number(self, sql: str, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start : start + _PAGE]
            yield from self.query(f"{sql} row IN ({','.join('?' * len(page))})", page)


def _shapes(generation: Generation, field: str) -> dict[int, Shape]:
    """Block files of a field."""
    return generation.store.shapes(generation.database.reader, field)


def _listed(rows: str | None) -> NDArray[np.int64]:
    """Numbers that SQL joined with commas: a tuple for each of a million takes five times as long."""
    return np.fromstring(rows or "", dtype=np.int64, sep=",")


def _means(values: Floats) -> list[float]:
    """Mean over layers of values (layer, trace), of those that are there; NaN where none is."""
    there = ~np.isnan(values)
    counts = there.sum(axis=0)
    sums = np.where(there, values, 0).sum(axis=0, dtype=np.float64)
    means: list[float] = np.where(counts, sums / np.maximum(counts, 1), np.nan).tolist()
    return means


def _trace_row(row: tuple[Any, ...], norms: list[float], entropy: float) -> TraceRow:
    number, trace_id, model, captured_at, seq_len, labels, prompt, next_token, next_p, expert, size = row
    return TraceRow(
        number=number,
        id=trace_id,
        model=model,
        captured_at=captured_at,
        seq_len=seq_len,
        labels=_LABELS.decode(labels),
        prompt=prompt.decode() if prompt else "",
        next_token=next_token,
        next_p=next_p,
        norms=norms,
        entropy=entropy,
        expert=expert,
        bytes=size,
    )
