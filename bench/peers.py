"""What others would use on the same numbers: DuckDB over Parquet, and pandas.

Both read one Parquet file, which has every signal twice: as a list column per field, and as a column per
field and layer. Nobody reads columns that a question does not name. Both work with THREADS threads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.questions import PAGE, Question, columns

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

THREADS = 2
FIELDS = ("resid_pre.norm", "attn_out.norm", "mlp_out.norm", "resid_post.norm", "attn.entropy")
GROUP = 131072
"""Traces per row group: about what DuckDB advises."""
SHOWN = "row, captured_at, seq_len, category, split, batch, next_token, prompt"
"""What a list shows, beside the norms."""

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def installed(*names: str) -> bool:
    """True when all of them can be imported."""
    return all(importlib.util.find_spec(name) for name in names)


def export(index: Index, path: Path) -> None:
    """The index as Parquet. Texts are compressed; floats, which do not shrink, are plain: faster to read."""
    import pyarrow.parquet as parquet

    writer = None
    for table in _tables(index):
        if writer is None:
            texts = [name for name in table.column_names if name in SHOWN.split(", ")]
            codecs = {name: "snappy" if name in texts else "none" for name in table.column_names}
            writer = parquet.ParquetWriter(path, table.schema, compression=codecs, use_dictionary=texts)
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


def _tables(index: Index) -> Iterator[Any]:
    import pyarrow as arrow

    for start in range(0, len(index), GROUP):
        numbers = np.arange(start + 1, min(start + GROUP, len(index)) + 1)
        rows = index.query(
            "SELECT row, captured_at, seq_len, labels, next_token, next_p, prompt"
            " FROM traces JOIN prompts USING (row) WHERE row BETWEEN ? AND ? ORDER BY row",
            (int(numbers[0]), int(numbers[-1])),
        )
        import json

        labels = [json.loads(row[3]) for row in rows]
        made: dict[str, Any] = {
            "row": numbers,
            "captured_at": [row[1] for row in rows],
            "seq_len": np.array([row[2] for row in rows], np.int32),
            **{
                key: arrow.array([each[key] for each in labels]).dictionary_encode()
                for key in ("category", "split", "batch")
            },
            "next_token": [row[4] for row in rows],
            "next_p": np.array([row[5] for row in rows]),
            "prompt": [row[6].decode() for row in rows],
        }
        for field in FIELDS:
            values = index.column(field).at(numbers)  # (layer, trace)
            name = field.replace(".", "_")
            made |= dict(zip(columns(name, len(values)), values, strict=True))
            flat = arrow.array(np.ascontiguousarray(values.T).ravel())
            offsets = np.arange(0, flat.__len__() + 1, len(values), dtype=np.int32)
            made[name] = arrow.ListArray.from_arrays(arrow.array(offsets), flat)
        yield arrow.table(made)


class DuckDB:
    """SQL over the Parquet file, its metadata cached."""

    name = "DuckDB"

    def __init__(self, path: Path, layers: int) -> None:
        import duckdb

        self.db = duckdb.connect()
        self.db.execute(f"SET threads = {THREADS}")
        self.db.execute("SET parquet_metadata_cache = true")
        self.db.execute("SET enable_progress_bar = false")
        self.db.execute(f"CREATE VIEW traces AS SELECT * FROM read_parquet('{path}')")
        self.layers = layers

    def ways(self, question: Question) -> dict[str, Any]:
        """Way -> a call that gives the numbers of the traces."""
        return {
            way: lambda condition=condition: self.numbers(condition)
            for way, condition in question.where.items()
        }

    def numbers(self, condition: str) -> Numbers:
        """Of the traces that meet it."""
        found: Numbers = self.db.execute(f"SELECT row FROM traces WHERE {condition}").fetchnumpy()["row"]
        return found

    def groups(self) -> list[tuple[Any, ...]]:
        """Category, traces, mean and standard deviation of one layer."""
        return self.db.execute(
            "SELECT category, count(*), avg(resid_post_norm_12), stddev_samp(resid_post_norm_12)"
            " FROM traces GROUP BY category ORDER BY category"
        ).fetchall()

    def first_page(self) -> list[tuple[Any, ...]]:
        """The largest by the last layer, as a list shows them."""
        return self.db.execute(
            f"SELECT {SHOWN}, resid_post_norm FROM traces"
            f" ORDER BY resid_post_norm_{self.layers - 1} DESC, row LIMIT {PAGE}"
        ).fetchall()

    def page(self, first: int) -> list[tuple[Any, ...]]:
        """From a trace on."""
        return self.db.execute(
            f"SELECT {SHOWN}, resid_post_norm FROM traces WHERE row BETWEEN {first} AND {first + PAGE - 1}"
        ).fetchall()


class Pandas:
    """A frame in memory: the wide columns, labels as categories. Loading is not in its answers."""

    name = "pandas"

    def __init__(self, path: Path, layers: int) -> None:
        import pandas
        import pyarrow

        pyarrow.set_cpu_count(THREADS)
        names = [name.replace(".", "_") for name in FIELDS]
        wide = [each for name in names for each in columns(name, layers)]
        self.frame = pandas.read_parquet(path, columns=[*SHOWN.split(", "), "next_p", *wide])
        self.layers = layers

    def ways(self, question: Question) -> dict[str, Any]:
        """Way -> a call that gives the numbers of the traces."""
        return {way: lambda mask=mask: self.numbers(mask) for way, mask in question.pandas.items()}

    def numbers(self, mask: Any) -> Numbers:
        """Of the traces that it says True of."""
        found: Numbers = np.flatnonzero(np.asarray(mask(self.frame, self.layers))) + 1
        return found

    def groups(self) -> list[tuple[Any, ...]]:
        """Category, traces, mean and standard deviation of one layer."""
        grouped = self.frame.groupby("category", observed=True)["resid_post_norm_12"]
        return sorted(grouped.agg(["count", "mean", "std"]).itertuples(name=None))

    def first_page(self) -> list[tuple[Any, ...]]:
        """The largest by the last layer, as a list shows them."""
        key = self.frame[f"resid_post_norm_{self.layers - 1}"]
        return self._rows(self.frame.loc[key.nlargest(PAGE).index])

    def page(self, first: int) -> list[tuple[Any, ...]]:
        """From a trace on."""
        return self._rows(self.frame.iloc[first - 1 : first - 1 + PAGE])

    def _rows(self, some: Any) -> list[tuple[Any, ...]]:
        norms = some[columns("resid_post_norm", self.layers)].to_numpy().tolist()
        shown = some[SHOWN.split(", ")].itertuples(index=False, name=None)
        return [(*row, norm) for row, norm in zip(shown, norms, strict=True)]
