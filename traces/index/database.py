"""The SQLite side of the index: its tables, and connections that keep no transaction open.

Rows are numbered from 1 in capture order; a row number is the number that people see in the list.
Text that came from prompts is kept as UTF-8 bytes: SQL text functions stop at a NUL, `instr` on a BLOB
does not.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from pathlib import Path

from tensorshark.traces.index.seal import PAGE

CLIP = 4096
"""Characters of a prompt that a row keeps for display; longer ones are whole in `texts`."""

_TABLES = """
CREATE TABLE traces(
    row INTEGER PRIMARY KEY,        -- number in capture order, from 1
    id TEXT NOT NULL UNIQUE,
    manifest_sha256 TEXT NOT NULL,
    committed_at TEXT NOT NULL,     -- with writer and seq: the place in capture order
    writer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    bytes INTEGER NOT NULL,         -- of the trace's files
    damaged INTEGER NOT NULL,       -- 1 when trace.json is missing or is not what was committed
    model TEXT NOT NULL,
    captured_at TEXT NOT NULL,      -- UTC, ISO 8601, so text order is time order
    seq_len INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    bos INTEGER NOT NULL,           -- 1 when a BOS token was put before the text
    layers INTEGER NOT NULL,        -- layers with any captured site
    next_id INTEGER,
    next_token TEXT,
    next_p REAL,
    expert TEXT NOT NULL,           -- highest severity, or empty
    last_id INTEGER,                -- of the last token, as in `tokens`
    labels TEXT NOT NULL            -- JSON object, for display; to search, use the table
);
CREATE INDEX traces_time ON traces(captured_at);
CREATE INDEX traces_length ON traces(seq_len, damaged);  -- with what its condition also asks; `damaged`
CREATE INDEX traces_model ON traces(model, damaged);     -- first would be taken for every query there is
CREATE INDEX traces_next ON traces(next_token, next_id);
CREATE INDEX traces_next_p ON traces(next_p, next_id);
CREATE INDEX traces_last ON traces(last_id);
CREATE INDEX traces_dtype ON traces(dtype, damaged);     -- few values, but a row is wide: this is a tenth
CREATE INDEX traces_bos ON traces(bos, damaged);
CREATE INDEX traces_layers ON traces(layers, damaged);
CREATE TABLE prompts(               -- apart, so that a row is small; none where the trace is damaged
    row INTEGER PRIMARY KEY,
    prompt BLOB NOT NULL            -- UTF-8, at most CLIP characters
);
CREATE TABLE tokens(                -- likewise
    row INTEGER PRIMARY KEY,
    token_ids BLOB NOT NULL         -- int32, little-endian
);
CREATE TABLE texts(                 -- only rows whose prompt is longer, or whose text is not the prompt
    row INTEGER PRIMARY KEY,
    prompt BLOB NOT NULL,
    text BLOB NOT NULL
);
CREATE TABLE labels(
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY(key, value, row)
) WITHOUT ROWID;
CREATE TABLE label_keys(            -- the histogram: SELECT DISTINCT over a million rows takes 80 ms
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY(key, value)
) WITHOUT ROWID;
CREATE TABLE experts(
    row INTEGER NOT NULL,
    severity TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY(severity, code, row)
) WITHOUT ROWID;
CREATE TABLE blocks(                -- the files of `columns.py`
    field TEXT NOT NULL,
    block INTEGER NOT NULL,
    serial TEXT NOT NULL,
    layers INTEGER NOT NULL,
    capacity INTEGER NOT NULL,
    filled INTEGER NOT NULL,
    sums BLOB NOT NULL,             -- CRC-32 of each layer's filled part, uint32
    PRIMARY KEY(field, block)
) WITHOUT ROWID;
CREATE TABLE journals(              -- how far each writer's journal has been read
    name TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    prev TEXT NOT NULL              -- sha256 of the last line before `offset`
) WITHOUT ROWID;
"""

_TRIGRAMS = """
CREATE VIRTUAL TABLE trigrams USING fts5(prompt, text, content='', tokenize='trigram');
"""


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, so that a finished thread's is closed."""


class Database:
    """One connection per thread for reading, and one for the writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()

    @property
    def reader(self) -> sqlite3.Connection:
        """This thread's connection. It cannot write. Fetch all rows of a query at once: a cursor left
        half-read holds the log open, which then grows without bound."""
        connection = getattr(self._local, "reader", None)
        if connection is None:
            connection = self._local.reader = self.connect()
            connection.execute("PRAGMA query_only = ON")
        return connection

    def connect(self) -> Connection:
        """A connection in autocommit; transactions are begun by hand."""
        connection = sqlite3.connect(
            self.path, timeout=10.0, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.executescript(
            f"PRAGMA page_size = {PAGE};"
            "PRAGMA journal_mode = WAL;"
            "PRAGMA wal_autocheckpoint = 0;"  # only `Seal` checkpoints
            "PRAGMA synchronous = OFF;"  # a cache: what a power cut damages is noticed and built again
            "PRAGMA trusted_schema = OFF;"
            "PRAGMA cell_size_check = ON;"
            "PRAGMA temp_store = MEMORY;"
            "PRAGMA cache_size = -16000;"
        )
        self._open.add(connection)
        return connection

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in list(self._open):
            connection.close()


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    connection.executescript(_TABLES)
    if has_trigrams(connection):
        connection.executescript(_TRIGRAMS)


def has_trigrams(connection: sqlite3.Connection) -> bool:
    """True when this SQLite can look up substrings (FTS5 with the trigram tokenizer, 3.34)."""
    fts5 = connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]
    return bool(fts5) and sqlite3.sqlite_version_info >= (3, 34)
