"""From a trace to its row: what the index keeps, and how it goes into the tables and columns."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tensorshark.traces import sites
from tensorshark.traces.errors import IntegrityError, StorageError, TensorsharkError
from tensorshark.traces.index.columns import Floats, Store
from tensorshark.traces.index.database import CLIP, has_trigrams
from tensorshark.traces.journal import JournalEntry

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture
    from tensorshark.traces.trace import Trace

SEVERITIES = ("", "note", "warn", "error")
"""Ascending."""
INTEGRITY = ("error", "integrity")
"""Severity and code of the expert line of a trace whose bytes are not what was committed."""
MAX_LAYERS = 1024
"""A stored layer index beyond this is a lie, and would make every column block huge."""


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """What the index keeps of one trace. The defaults are those of a trace whose manifest is damaged."""

    entry: JournalEntry
    damaged: bool = False
    model: str = ""
    captured_at: str = ""
    dtype: str = ""
    bos: bool = False
    layers: int = 0
    """Layers with any captured site."""
    labels: dict[str, str] = {}
    prompt: str = ""
    text: str = ""
    token_ids: Sequence[int] = ()
    next_id: int | None = None
    next_token: str = ""
    next_p: float | None = None
    experts: Sequence[tuple[str, str]] = ()
    """(severity, code)"""
    values: Mapping[str, Floats] = {}
    """Field -> last token's value (layer,), means over heads."""


def read(capture: Capture, entry: JournalEntry) -> Indexed:
    """One trace as it is on disk. Damage becomes a row that says so and shows nothing of the trace.

    Raises StorageError when the disk fails: that is not damage of the trace, and passes.
    """
    try:
        trace = capture.read(entry)
    except StorageError:
        raise
    except TensorsharkError:
        return Indexed(entry=entry, damaged=True, captured_at=entry.committed_at, experts=(INTEGRITY,))
    manifest = trace.manifest
    experts = [(expert.severity, expert.code) for expert in manifest.experts]
    try:
        values = last_values(trace)
    except StorageError:
        raise
    except TensorsharkError:
        values, experts = {}, [*experts, INTEGRITY]
    best = manifest.next_tokens[0] if manifest.next_tokens else None
    return Indexed(
        entry=entry,
        model=manifest.model,
        captured_at=manifest.captured_at,
        dtype=manifest.provenance.dtype,
        bos=manifest.provenance.bos_added,
        layers=len({layer for site in manifest.sites for layer in site.layers}),
        labels=manifest.labels,
        prompt=manifest.prompt,
        text=manifest.text,
        token_ids=manifest.token_ids,
        next_id=best.id if best else None,
        next_token=best.token if best else "",
        next_p=best.p if best else None,
        experts=experts,
        values=values,
    )


def last_values(trace: Trace) -> dict[str, Floats]:
    """Field -> the last token's value per model layer (layer,), NaN for layers that were not captured.

    Raises IntegrityError for statistics that are damaged or do not fit the manifest.
    """
    values: dict[str, Floats] = {}
    for field, axes in sites.STAT_FIELDS.items():
        key = sites.stat_key(field)
        if key is None or key not in trace.stats:
            continue
        stat, layers = trace.stats[key], trace.stat_layers(key)  # (layer, [head,] pos)
        if stat.ndim != len(axes) or len(stat) != len(layers):
            raise IntegrityError(f"trace {trace.id}: {key} does not have the layers that were captured")
        if not all(0 <= layer < MAX_LAYERS for layer in layers):
            raise IntegrityError(f"trace {trace.id}: layer {max(layers)} cannot be")
        if stat.size == 0:
            continue
        last = stat[..., -1].astype(np.float32)  # (layer,) or (layer, head)
        row = np.full(max(layers) + 1, np.nan, dtype=np.float32)
        row[layers] = last if last.ndim == 1 else last.mean(axis=1)
        values[field] = row
    return values


def stack(rows: Sequence[Indexed]) -> dict[str, Floats]:
    """Field -> values (layer, trace) of all rows, NaN where a row has none."""
    columns: dict[str, Floats] = {}
    for field in sorted({field for row in rows for field in row.values}):
        layers = max(len(row.values[field]) for row in rows if field in row.values)
        column = columns[field] = np.full((layers, len(rows)), np.nan, dtype=np.float32)
        for at, row in enumerate(rows):
            if field in row.values:
                column[: len(row.values[field]), at] = row.values[field]
    return columns


def append(
    connection: sqlite3.Connection, store: Store, rows: Sequence[Indexed], values: Mapping[str, Floats]
) -> list[Path]:
    """Add rows after the last one, inside a transaction; `values` are (layer, trace).

    Returns column files to remove once it is committed.
    """
    first = count(connection) + 1
    numbered = list(enumerate(rows, first))
    connection.executemany(
        f"INSERT INTO traces VALUES ({','.join('?' * 20)})", (_row(number, row) for number, row in numbered)
    )
    whole = [(number, row) for number, row in numbered if not row.damaged]
    connection.executemany(
        "INSERT INTO prompts VALUES (?, ?)", ((number, row.prompt[:CLIP].encode()) for number, row in whole)
    )
    connection.executemany(
        "INSERT INTO tokens VALUES (?, ?)", ((number, _token_bytes(row.token_ids)) for number, row in whole)
    )
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, ?)",
        (
            (number, row.prompt.encode(), row.text.encode())
            for number, row in whole
            if len(row.prompt) > CLIP or row.text != row.prompt
        ),
    )
    labels = sorted((key, value, number) for number, row in numbered for key, value in row.labels.items())
    connection.executemany("INSERT INTO labels VALUES (?, ?, ?)", labels)
    _count_labels(connection, ((key, value) for key, value, _ in labels), 1)
    connection.executemany(
        "INSERT OR IGNORE INTO experts VALUES (?, ?, ?)",
        ((number, *expert) for number, row in numbered for expert in row.experts),
    )
    if has_trigrams(connection):
        connection.executemany(
            "INSERT INTO trigrams(rowid, prompt, text) VALUES (?, ?, ?)",
            ((number, *_searched(row.prompt, row.text)) for number, row in whole),
        )
    return store.append(connection, first - 1, values, len(rows))


def truncate(connection: sqlite3.Connection, store: Store, keep: int) -> list[Path]:
    """Forget all rows after the first `keep`, inside a transaction; returns column files to remove."""
    if has_trigrams(connection):
        query = """SELECT row, coalesce(texts.prompt, prompts.prompt), coalesce(texts.text, prompts.prompt)
            FROM prompts LEFT JOIN texts USING (row) WHERE row > ?"""
        connection.executemany(
            "INSERT INTO trigrams(trigrams, rowid, prompt, text) VALUES ('delete', ?, ?, ?)",
            (
                (row, *_searched(prompt.decode(), text.decode()))
                for row, prompt, text in connection.execute(query, (keep,)).fetchall()
            ),
        )
    gone = connection.execute("SELECT key, value FROM labels WHERE row > ?", (keep,)).fetchall()
    _count_labels(connection, gone, -1)
    connection.execute("DELETE FROM label_keys WHERE count = 0")
    for table in ("traces", "prompts", "tokens", "texts", "labels", "experts"):
        connection.execute(f"DELETE FROM {table} WHERE row > ?", (keep,))
    return store.truncate(connection, keep)


def count(connection: sqlite3.Connection) -> int:
    """Rows in the index; they are numbered without gaps."""
    return int(connection.execute("SELECT coalesce(max(row), 0) FROM traces").fetchone()[0])


def without_nul(text: str) -> str:
    """Text as the trigram index holds it; also what to look it up with."""
    return text.replace("\0", "\ufffd")


def _row(number: int, row: Indexed) -> tuple[object, ...]:
    entry = row.entry
    severity = max((severity for severity, _ in row.experts), key=_severity, default="")
    return (
        number,
        entry.id,
        entry.manifest_sha256,
        entry.committed_at,
        entry.writer,
        _int64(entry.seq),
        _int64(entry.size),
        row.damaged,
        row.model,
        row.captured_at,
        len(row.token_ids),
        row.dtype,
        row.bos,
        row.layers,
        _int64(row.next_id),
        row.next_token,
        row.next_p,
        severity,
        _last_id(row.token_ids),
        msgspec.json.encode(row.labels).decode(),
    )


def _searched(prompt: str, text: str) -> tuple[str, str]:
    """What the trigram index is given: it would stop at a NUL, and need not know a text twice."""
    return without_nul(prompt), "" if text == prompt else without_nul(text)


def _last_id(ids: Sequence[int]) -> int | None:
    """As `_token_bytes` has it."""
    if len(ids) == 0 or -(1 << 31) <= ids[-1] < 1 << 31:
        return ids[-1] if len(ids) else None
    return -1


def _token_bytes(ids: Sequence[int]) -> bytes:
    try:
        return np.asarray(ids, dtype="<i4").tobytes()
    except OverflowError:  # an id that no vocabulary has
        return np.asarray([token if abs(token) < 1 << 31 else -1 for token in ids], dtype="<i4").tobytes()


def _int64(number: int | None) -> int | None:
    """JSON has larger integers than SQLite."""
    return number if number is None else max(-(1 << 63), min(number, (1 << 63) - 1))


def _severity(name: str) -> int:
    return SEVERITIES.index(name) if name in SEVERITIES else 0


def _count_labels(connection: sqlite3.Connection, labels: Iterable[tuple[str, str]], sign: int) -> None:
    connection.executemany(
        """INSERT INTO label_keys VALUES (?, ?, ?)
           ON CONFLICT (key, value) DO UPDATE SET count = count + excluded.count""",
        ((key, value, sign * n) for (key, value), n in Counter(labels).items()),
    )
