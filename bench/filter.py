"""The display filter at a million traces, beside DuckDB over Parquet and pandas in memory.

All three hold the same numbers and give the same answers, which is checked. `first` is ours with no answer
remembered, though the columns are there, as pandas has all of its frame in memory; `again` asks the same
once more. The ratio is of `first` to the faster peer: below 1 we are ahead. Of the cold open, `first` is a
command, which verifies the index before it answers, and `again` the workbench, which verifies it behind.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import INSTALLED
from bench.peers import THREADS, DuckDB, Pandas, export, installed
from bench.questions import PAGE, questions
from tensorshark.forensics.engine import Engine
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.stats import Asked
from tensorshark.forensics.stats import forget as forget_groups
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index
from tensorshark.traces.index.bulk import fill_synthetic
from tensorshark.traces.store import Capture

ROUNDS = 7
LAYERS = 30
ABSENT = "not installed"

Call = Callable[[], Any]


@dataclass(frozen=True)
class Measured:
    """One call, ROUNDS times."""

    ms: float
    answer: Any
    way: str = ""
    """How it was asked, where there are several ways."""


def main(rows: int = 1_000_000, folder: Path | None = None) -> None:
    """Print the table. With a folder, data made before is used again."""
    with _data(rows, folder) as (capture, parquet):
        print(
            f"## filter: {rows:,} traces x {LAYERS} layers x 5 fields; milliseconds, median of {ROUNDS};"
            f" {THREADS} threads for DuckDB and pandas\n"
        )
        peers: list[DuckDB | Pandas | None] = [None, None]
        verified, unverified = (
            _cold(OURS.replace("WAIT", str(wait)), capture, parquet) for wait in (True, False)
        )
        cold: list[Measured | None] = []
        for at, (make, script, needs) in enumerate(PEERS):
            there = installed(*needs)
            cold.append(_cold(script, capture, parquet) if there else None)
            peers[at] = make(parquet, LAYERS) if there else None
        _header()
        _row("cold open: import, open, count a label", verified, unverified, cold, 150)
        with Engine(capture) as engine:
            _filters(engine, peers)
            _grouped(engine, peers)
            _pages(engine, peers)


OURS = """
from tensorshark.forensics.engine import Engine
engine = Engine({capture!r}, wait=WAIT)
print(len(engine.select('label.category == "injection"')))
"""
DUCKDB = """
import duckdb
db = duckdb.connect()
db.execute("SET threads = {threads}")
print(db.execute("SELECT count(*) FROM read_parquet({parquet!r}) WHERE category = 'injection'").fetchone()[0])
"""
PANDAS = """
import pyarrow, sys
pyarrow.set_cpu_count({threads})
sys.path.insert(0, {here!r})
from pathlib import Path
from bench.peers import Pandas
print((Pandas(Path({parquet!r}), {layers}).frame["category"] == "injection").sum())
"""
PEERS: tuple[tuple[type[DuckDB] | type[Pandas], str, tuple[str, ...]], ...] = (
    (DuckDB, DUCKDB, ("duckdb", "pyarrow")),
    (Pandas, PANDAS, ("pandas", "pyarrow")),
)


@contextmanager
def _data(rows: int, folder: Path | None) -> Iterator[tuple[Path, Path]]:
    """The capture, and the same as Parquet."""
    place = folder or Path(tempfile.mkdtemp(prefix="bench-"))
    capture, parquet = place / f"{rows}.tshark", place / f"{rows}.parquet"
    try:
        start = time.perf_counter()
        with Index.open(Capture.create(capture)) as index:
            if len(index) == 0:  # new, or made again by another version: the rows are in no journal
                fill_synthetic(index, rows, layers=LAYERS)
        if not parquet.exists() and installed("pyarrow"):
            with Index.open(Capture.open(capture)) as index:
                export(index, parquet)
        print(f"(the data was ready after {time.perf_counter() - start:.0f} s)")
        yield capture, parquet
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _cold(script: str, capture: Path, parquet: Path) -> Measured:
    """A fresh process, from its start to its answer."""
    here = str(Path(__file__).resolve().parents[1])
    code = script.format(
        capture=str(capture), parquet=str(parquet), threads=THREADS, here=here, layers=LAYERS
    )
    taken, said = [], ""
    for _ in range(3):
        start = time.perf_counter()
        said = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=INSTALLED
        ).stdout.strip()
        taken.append((time.perf_counter() - start) * 1000)
    return Measured(statistics.median(taken), int(said))


def _filters(engine: Engine, peers: list[DuckDB | Pandas | None]) -> None:
    for question in questions(LAYERS):
        try:
            engine.select(question.filter)
        except FilterError as error:
            print(f"{question.name:<40}{error.reason}")
            continue
        first, again = _ours(engine, lambda text=question.filter: engine.select(text))
        theirs = [peer and _best(peer.ways(question)) for peer in peers]
        for peer in filter(None, theirs):
            same = np.array_equal(peer.answer, first.answer)
            assert same, f"{question.name}: {len(peer.answer):,} traces, ours {len(first.answer):,}"
        _row(question.name, first, again, theirs, question.budget_ms, f"{len(first.answer):,}")


def _grouped(engine: Engine, peers: list[DuckDB | Pandas | None]) -> None:
    asked = Asked(
        by=["label.category"],
        expressions=["resid_post.norm#12[-1]"],
        quantiles=[],
        pairs=False,
        prompts=False,
    )
    first, again = _ours(engine, lambda: engine.stats(asked))
    mine = [(line.group[0], line.values, line.mean, line.std) for line in first.answer.summaries]
    theirs = [peer and _best({"": peer.groups}) for peer in peers]
    for peer in filter(None, theirs):
        for own, other in zip(mine, peer.answer, strict=True):
            assert own[:2] == other[:2] and np.allclose(own[2:], other[2:], rtol=1e-4), (own, other)
    _row("group-by: mean and std of a layer", first, again, theirs, 100, f"{len(mine)} groups")


def _pages(engine: Engine, peers: list[DuckDB | Pandas | None]) -> None:
    sort = f"resid_post.norm#{LAYERS - 1}[-1]"

    def first_page() -> list[Any]:
        return engine.rows(engine.select("", sort, True, limit=PAGE))

    middle = len(engine.index) // 2
    wanted = np.arange(middle, middle + PAGE)
    for name, mine, budget, which in (
        (f"sort by a layer, first {PAGE} rows", first_page, 200, "first_page"),
        (f"{PAGE} rows from the middle", lambda: engine.rows(wanted), 33, "page"),
    ):
        first, again = _ours(engine, mine)
        calls = [
            peer and {"": (lambda peer=peer: peer.page(middle)) if which == "page" else peer.first_page}
            for peer in peers
        ]
        theirs = [call and _best(call) for call in calls]
        numbers = [row.number for row in first.answer]
        for peer in filter(None, theirs):
            assert [row[0] for row in peer.answer] == numbers, name
        _row(name, first, again, theirs, budget, f"{len(numbers)} rows")


def _ours(engine: Engine, call: Call) -> tuple[Measured, Measured]:
    """With nothing remembered, and the same again."""

    def afresh() -> Any:
        forget(engine.index)
        forget_groups(engine.index)

    return _median(call, before=afresh), _median(call)


def _best(ways: dict[str, Call]) -> Measured | None:
    """The fastest of the ways to ask."""
    found = [_median(call, way=way) for way, call in ways.items()]
    return min(found, key=lambda each: each.ms, default=None)


def _median(call: Call, way: str = "", before: Call | None = None) -> Measured:
    """Milliseconds over ROUNDS calls, after one to warm up."""
    answer = call()
    taken = []
    for _ in range(ROUNDS):
        if before:
            before()
        start = time.perf_counter()
        answer = call()
        taken.append((time.perf_counter() - start) * 1000)
    return Measured(statistics.median(taken), answer, way)


def _header() -> None:
    print(f"{'':<40}{'first':>9}{'again':>9}{'DuckDB':>16}{'pandas':>16}{'ratio':>8}{'budget':>9}  answer")


def _row(
    name: str, first: Measured, again: Measured, theirs: list[Any], budget: float, answer: str = ""
) -> None:
    there = [peer.ms for peer in theirs if peer]
    ratio = f"{first.ms / min(there):.2f}x" if there else ""
    cells = [f"{first.ms:.2f}", f"{again.ms:.2f}"]
    others = [f"{peer.ms:.1f} {peer.way[:7]:<7}" if peer else ABSENT for peer in theirs]
    answer = answer or f"{first.answer:,}"
    late = "" if first.ms <= budget else "  over budget"
    print(
        f"{name:<40}{cells[0]:>9}{cells[1]:>9}{others[0]:>16}{others[1]:>16}{ratio:>8}{budget:>6.0f} ms"
        f"  {answer}{late}"
    )
