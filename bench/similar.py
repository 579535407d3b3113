"""Query by example at 100,000 traces x 576 dimensions, beside numpy, DuckDB and pandas on the same vectors.

Ours reads what it kept on disk, checks it, and gives the order that float64 gives; numpy holds the matrix in
memory and gives float32's. All find the same ten traces, which is checked.

    python -c "from bench.similar import main; main()"
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers import THREADS, installed
from tensorshark.forensics.similar import similar, similar_to_each
from tensorshark.traces.index import Index
from tensorshark.traces.index.bulk import fill_synthetic, fill_vectors
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.store import Capture

WIDTH = 576
K = 10
ROUNDS = 7
QUERY = 7
"""Number of the trace that is asked about."""
CELL = Cell.of("resid_post", 12, -1, WIDTH)
BUDGET_MS = 1000

Call = Callable[[], list[int]]

PROCESS = """
import time
from tensorshark.forensics.engine import Engine
from tensorshark.traces.index.cell import Cell
with Engine({capture!r}, wait=False) as engine:
    print(engine.similar({query}, Cell.of("resid_post", 12, -1, {width}), {k}).numbers.tolist())
"""


def main(rows: int = 100_000, folder: Path | None = None) -> None:
    """Print the table. With a folder, data made before is used again."""
    with _data(rows, folder) as (capture, parquet):
        print(f"## similar: the {K} closest of {rows:,} traces x {WIDTH}; milliseconds, median of {ROUNDS}\n")
        print("| question | ours | numpy in memory | DuckDB on Parquet | DuckDB in memory | pandas |")
        print("|---|---|---|---|---|---|")
        with Index.open(Capture.open(capture)) as index:
            matrix = index.vectors(CELL).matrix().at(np.arange(1, rows + 1))
            if not parquet.exists() and installed("pyarrow"):
                _export(matrix, parquet)
            _process(capture)
            for metric in ("cos", "l2"):
                calls: dict[str, Call | None] = {
                    "ours": lambda metric=metric: similar(index, QUERY, CELL, K, metric).numbers.tolist(),
                    "numpy in memory": _numpy(matrix, metric),
                    **_duckdb(parquet, metric),
                    "pandas": _pandas(matrix, metric),
                }
                _row(f"second question, {metric}", calls)
            together = list(range(1, 65))
            each = _measured(lambda: [len(similar_to_each(index, together, CELL, K))])[0] / len(together)
            print(f"| one of 64 questions at once, cos | {each:.1f} | | | | |")
    print()


def _process(capture: Path) -> None:
    """A new process: imports, opening, checksums over all vectors, the answer."""
    script = PROCESS.format(capture=str(capture), query=QUERY, width=WIDTH, k=K)

    def run() -> list[int]:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        return [int(number) for number in done.stdout.strip("[]\n").split(",")]

    taken, _ = _measured(run)
    verdict = "within" if taken <= BUDGET_MS else "OVER"
    print(f"| a new process asks (budget {BUDGET_MS:,} ms) | {taken:.0f}, {verdict} | | | | |", flush=True)


def _row(name: str, calls: dict[str, Call | None]) -> None:
    cells, answers = [], []
    for call in calls.values():
        if call is None:
            cells.append("not installed")
            continue
        taken, answer = _measured(call)
        cells.append(f"{taken:.1f}")
        answers.append(answer)
    different = [answer for answer in answers if answer != answers[0]]
    print(f"| {name} | {' | '.join(cells)} |{' THE ANSWERS DIFFER' * bool(different)}", flush=True)


def _measured(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds (median) and the answer; once before, so that all is warm."""
    answer, taken = call(), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken), answer


def _numpy(matrix: Any, metric: str) -> Call:
    """A float32 product with the matrix in memory, norms known, and the best picked out."""
    norms = np.linalg.norm(matrix, axis=1)
    query = matrix[QUERY - 1]

    def call() -> list[int]:
        products = matrix @ query
        cost = -products / norms if metric == "cos" else norms**2 - 2 * products
        cost[QUERY - 1] = np.inf
        best = np.argpartition(cost, K)[:K]
        return [int(number) for number in best[np.argsort(cost[best])] + 1]

    return call


def _pandas(matrix: Any, metric: str) -> Call | None:
    """A column of arrays, as people keep embeddings in a frame."""
    if not installed("pandas"):
        return None
    import pandas

    frame = pandas.DataFrame({"vector": list(matrix)}, index=np.arange(1, len(matrix) + 1))
    query = matrix[QUERY - 1]
    length = np.linalg.norm(query)

    def cosine(vector: Any) -> float:
        return float(-(vector @ query) / (np.linalg.norm(vector) * length))

    def distance(vector: Any) -> float:
        return float(np.linalg.norm(vector - query))

    def call() -> list[int]:
        costs = frame["vector"].map(cosine if metric == "cos" else distance).drop(QUERY)
        return [int(number) for number in costs.nsmallest(K).index]

    return call


def _duckdb(parquet: Path, metric: str) -> dict[str, Call | None]:
    """Over the Parquet file, and over the same vectors in a table in memory."""
    names = ("DuckDB on Parquet", "DuckDB in memory")
    if not installed("duckdb") or not parquet.exists():
        return dict.fromkeys(names)
    import duckdb

    db = duckdb.connect()
    db.execute(f"SET threads = {THREADS}")
    db.execute("SET enable_progress_bar = false")
    db.execute(f"CREATE VIEW stored AS SELECT row, vector::FLOAT[{WIDTH}] AS vector FROM '{parquet}'")
    db.execute("CREATE TABLE held AS SELECT * FROM stored")
    function, way = {"cos": ("array_cosine_similarity", "DESC"), "l2": ("array_distance", "ASC")}[metric]

    def asked(table: str) -> Call:
        example = f"(SELECT vector FROM held WHERE row = {QUERY})"
        query = (
            f"SELECT row FROM {table} WHERE row <> {QUERY}"
            f" ORDER BY {function}(vector, {example}) {way}, row LIMIT {K}"
        )
        return lambda: [int(row) for (row,) in db.execute(query).fetchall()]

    return dict(zip(names, (asked("stored"), asked("held")), strict=True))


def _export(matrix: Any, path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    flat = arrow.array(matrix.reshape(-1))
    vectors = arrow.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
    table = arrow.table({"row": np.arange(1, len(matrix) + 1), "vector": vectors})
    parquet.write_table(table, path, compression="none", use_dictionary=False, row_group_size=16384)


@contextmanager
def _data(rows: int, folder: Path | None) -> Iterator[tuple[Path, Path]]:
    """A capture with so many made-up rows and vectors, and where the same lie as Parquet."""
    made = Path(tempfile.mkdtemp(prefix="bench-")) if folder is None else folder
    made.mkdir(exist_ok=True)
    capture = made / f"similar-{rows}.tshark"
    try:
        if not capture.exists():
            with Index.open(Capture.create(capture)) as index:
                fill_synthetic(index, rows)
                fill_vectors(index, CELL)
        yield capture, made / f"similar-{rows}.parquet"
    finally:
        if folder is None:
            shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main()
