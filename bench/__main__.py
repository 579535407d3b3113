"""`python -m bench [capture|reading]`: all benchmarks, or one."""

from __future__ import annotations

import sys

from bench import capture, reading

BENCHES = {"capture": capture.main, "reading": reading.main}

for name in sys.argv[1:] or BENCHES:
    BENCHES[name]()
