"""`python -m bench [capture|filter|reading …]`: all benchmarks, or some; `filter` takes sizes of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import capture, filter, reading, similar

MILLION = 1_000_000


def main() -> None:
    """Run the benchmarks that are named."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Every claim beside its peer.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="capture, filter, reading, similar; none: all"
    )
    parser.add_argument("--rows", type=int, default=MILLION, help="traces of the filter benchmark")
    parser.add_argument("--data", type=Path, help="keep its data in this folder, and use it again")
    given = parser.parse_args()
    benches = {
        "capture": capture.main,
        "filter": lambda: filter.main(given.rows, given.data),
        "reading": reading.main,
        "similar": similar.main,
    }
    for name in given.names or benches:
        if name not in benches:
            parser.error(f"no benchmark {name}; there are {', '.join(benches)}")
        benches[name]()


main()
