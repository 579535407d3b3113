"""Reading: start-up, keys and filters, on a small capture and on an index of a million traces."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import INSTALLED
from bench.terminal import Answer, Terminal
from tensorshark.forensics.engine import Engine
from tensorshark.traces.index import Index
from tensorshark.traces.index.bulk import fill_synthetic
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

MILLION = 1_000_000
ROUNDS = 7
START = "import sys; from tensorshark.tui.cli import main; sys.exit(main())"
TENSORSHARK = [sys.executable, "-P", "-c", START]
FILTERS = (
    'label.category == "injection"',
    "resid_post.norm#12[-1] > 10",
    "any(resid_post.norm[-1] > 500)",
    'prompt contains "no 777"',
    'label.category == "fact" and resid_post.norm#12[-1] > 10',
)
KEYS = (
    ("cursor down", "j", 60),
    ("page down", "\x1b[6~", 30),
    ("to the end", "\x1b[F", 1),
)
"""(name, what the terminal sends, how often)"""


def main() -> None:
    """Print start-up times, then the million."""
    temporary = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        small = temporary / "small.tshark"
        write_synthetic(small, traces=98, layers=30, heads=9)
        big = temporary / "million.tshark"
        start = time.perf_counter()
        with Index.open(Capture.create(big)) as index:
            fill_synthetic(index, MILLION)
        taken = time.perf_counter() - start
        print(f"## reading (an index of {MILLION:,} traces was filled in {taken:.0f} s)\n")
        headless(small)
        filters(big)
        workbench("98 traces", small)
        workbench(f"{MILLION:,} traces", big)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def headless(path: Path) -> None:
    """First byte of commands, beside a bare interpreter."""
    print("headless, first byte on stdout, median")
    peers = {
        "python -c print": [sys.executable, "-c", "print(1)"],
        "python -c 'import numpy; print'": [sys.executable, "-c", "import numpy; print(1)"],
        "tensorshark info": [*TENSORSHARK, "info", str(path)],
        "tensorshark read": [*TENSORSHARK, "read", str(path)],
        "tensorshark read -Y label": [*TENSORSHARK, "read", str(path), "-Y", FILTERS[0]],
        "tensorshark read -Y norm": [*TENSORSHARK, "read", str(path), "-Y", "resid_post.norm#12[-1] > 0"],
    }
    for name, command in peers.items():
        milliseconds = statistics.median(first_byte(command) for _ in range(ROUNDS)) * 1000
        print(f"  {name:<36} {milliseconds:7.0f} ms")
    print()


def first_byte(command: list[str]) -> float:
    """Seconds from exec to the first byte of stdout."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=INSTALLED
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken


def filters(path: Path) -> None:
    """Check while typing, and apply, in one process that is open already."""
    with Engine(path) as engine:
        print(f"filter on {MILLION:,} traces, median")
        for text in FILTERS:
            check = median(lambda text=text: engine.check(text))
            found = len(engine.select(text))
            apply = median(lambda text=text: engine.select(text))
            print(f"  {text:<58} check {check:5.2f} ms   apply {apply:7.1f} ms   {found:>9,} traces")
        middle = np.arange(MILLION // 2, MILLION // 2 + 50)
        page = median(lambda: engine.rows(middle))
        print(f"  a page of 50 rows from the middle: {page:.2f} ms\n")


def median(call: Callable[[], object]) -> float:
    """Milliseconds, over ROUNDS calls after one to warm up."""
    call()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def workbench(what: str, path: Path) -> None:
    """First paint, then latency and bytes of keys, at 80x24 on a pseudo-terminal."""
    print(f"workbench on {what}, 80x24")
    paints = [first_paint(path) for _ in range(3)]
    first, last = (
        statistics.median(getattr(paint, which) for paint in paints) * 1000 for which in ("first_s", "last_s")
    )
    size = statistics.median(paint.size for paint in paints)
    print(f"  first byte {first:.0f} ms, all of the first screen {last:.0f} ms, {size:,.0f} bytes")
    terminal = Terminal([*TENSORSHARK, str(path)])
    terminal.answer(20, quiet=2.0)
    for name, key, times in KEYS:
        answers = [terminal.press(key) for _ in range(times)]
        latency = sorted(answer.first_s * 1000 for answer in answers)
        half, most = statistics.median(latency), latency[int(len(latency) * 0.99)]
        sizes = statistics.median(answer.size for answer in answers)
        print(f"  {name:<12} first byte {half:6.1f} ms, p99 {most:6.1f} ms, {sizes:7,.0f} bytes")
    idle = terminal.answer(timeout=3.0)
    print(f"  idle 3 s     {idle.size} bytes;  resident {terminal.resident_mib():.0f} MiB\n")
    terminal.close()


def first_paint(path: Path) -> Answer:
    """Start the workbench and read until the screen stands still."""
    terminal = Terminal([*TENSORSHARK, str(path)])
    answer = terminal.answer(20, since=terminal.started, quiet=1.0, until=b"\x1b[?1049h")
    terminal.close()
    return answer
