"""Reading: start-up, keys and filters, on the demo capture and on an index of a million traces."""

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

from bench.terminal import Terminal
from tensorshark.forensics.engine import Engine
from tensorshark.traces.index import Index
from tensorshark.traces.index.rows import Indexed
from tensorshark.traces.journal import JournalEntry
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

MILLION = 1_000_000
STEP = 20_000
LAYERS = 30
ROUNDS = 7
CATEGORIES = ("credential", "injection", "code", "refusal", "fact", "prose")
WORDS = ("password", "instructions", "server", "capital", "function", "morning", "river", "token")
TENSORSHARK = [
    sys.executable,
    "-P",
    "-c",
    "import sys; from tensorshark.tui.cli import main; sys.exit(main())",
]
KEYS = (("cursor down", "j", 60), ("page down", "\x1b[6~", 30), ("to the end", "\x1b[F", 1))
"""(name, what the terminal sends, how often)"""
FILTERS = (
    'label.category == "injection"',
    "resid_post.norm#12[-1] > 120",
    "any(resid_post.norm[-1] > 400)",
    'prompt contains "password 77"',
    'label.category == "fact" and resid_post.norm#12[-1] > 120',
)


def main() -> None:
    """Print start-up times, then the million."""
    temporary = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        small = temporary / "small.tshark"
        write_synthetic(small, traces=98, layers=LAYERS, heads=9)
        big = temporary / "million.tshark"
        start = time.perf_counter()
        million(big)
        print(
            f"## reading (an index of {MILLION:,} traces was filled in {time.perf_counter() - start:.0f} s)\n"
        )
        headless(small)
        filters(big)
        workbench("98 traces", small)
        workbench(f"{MILLION:,} traces", big)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def million(path: Path) -> None:
    """An index of a million traces; no traces, which is all that list and filter look at."""
    rng = np.random.default_rng(0)
    with Index.open(Capture.create(path)) as index:
        for first in range(0, MILLION, STEP):
            growth = np.linspace(20, 300, LAYERS, dtype=np.float32)[:, None]  # (layer, 1)
            norms = growth * rng.lognormal(0, 0.2, (LAYERS, STEP)).astype(np.float32)
            entropy = rng.uniform(0.2, 2.5, (LAYERS, STEP)).astype(np.float32)
            rows = [_row(number) for number in range(first, first + STEP)]
            index.fill(rows, {"resid_post.norm": norms, "attn.entropy": entropy})


def _row(number: int) -> Indexed:
    identity = f"{number:016x}"
    moment = f"2026-01-01T{number // 60_000 % 24:02d}:{number // 1000 % 60:02d}:{number % 60:02d}.000000Z"
    words = " ".join(WORDS[(number >> shift) % 8] for shift in (0, 3, 6, 9))
    prompt = f"{words} {number}"
    entry = JournalEntry(
        id=identity, manifest_sha256="0" * 64, committed_at=moment, writer="bench", seq=number, size=140_000
    )
    return Indexed(
        entry=entry,
        model="synthetic",
        captured_at=moment,
        dtype="float32",
        layers=LAYERS,
        labels={"category": CATEGORIES[number % 6], "family": WORDS[number % 8]},
        prompt=prompt,
        text=prompt,
        token_ids=tuple(range(8)),
        next_id=1,
        next_token=" the",
        next_p=0.25,
    )


def headless(path: Path) -> None:
    """First byte of commands, beside a bare interpreter."""
    print("headless, first byte on stdout, median")
    peers = {
        "python -c print": [sys.executable, "-c", "print(1)"],
        "python -c 'import numpy; print'": [sys.executable, "-c", "import numpy; print(1)"],
        "tensorshark info": [*TENSORSHARK, "info", str(path)],
        "tensorshark read": [*TENSORSHARK, "read", str(path)],
        "tensorshark read -Y …": [*TENSORSHARK, "read", str(path), "-Y", FILTERS[0]],
        "tensorshark read -Y …norm…": [*TENSORSHARK, "read", str(path), "-Y", "resid_post.norm#12[-1] > 0"],
    }
    for name, command in peers.items():
        print(f"  {name:<36} {statistics.median(first_byte(command) for _ in range(ROUNDS)) * 1000:7.0f} ms")
    print()


def first_byte(command: list[str]) -> float:
    """Seconds from exec to the first byte of stdout."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
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
            print(f"  {text:<60} check {check:5.2f} ms   apply {apply:7.1f} ms   {found:>9,} traces")
        middle = np.arange(MILLION // 2, MILLION // 2 + 50)
        print(f"  a page of 50 rows from the middle {'':<33} {median(lambda: engine.rows(middle)):7.2f} ms\n")


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
    paints = []
    for _ in range(3):
        terminal = Terminal([*TENSORSHARK, str(path)])
        paints.append(terminal.answer(20, since=terminal.started, quiet=1.0, until=b"\x1b[?1049h"))
        terminal.close()
    first, last, size = (
        statistics.median(value)
        for value in zip(*((p.first_s, p.last_s, p.size) for p in paints), strict=True)
    )
    print(
        f"  first byte {first * 1000:.0f} ms, first screen complete {last * 1000:.0f} ms, {size:,.0f} bytes"
    )
    terminal = Terminal([*TENSORSHARK, str(path)])
    terminal.answer(20, quiet=2.0)
    for name, key, times in (
        ("cursor down", "j", 60),
        ("page down", "\x1b[6~", 30),
        ("end, home", "\x1b[F", 1),
    ):
        answers = [terminal.press(key) for _ in range(times)]
        latency = sorted(answer.first_s * 1000 for answer in answers)
        sizes = statistics.median(answer.size for answer in answers)
        slow = latency[min(len(latency) - 1, int(len(latency) * 0.99))]
        print(
            f"  {name:<12} first byte {statistics.median(latency):6.1f} ms, p99 {slow:6.1f} ms, {sizes:7,.0f} bytes"
        )
    idle = terminal.answer(timeout=3.0)
    print(f"  idle 3 s     {idle.size} bytes;  resident {terminal.resident_mib():.0f} MiB\n")
    terminal.close()
