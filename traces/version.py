"""Which tool wrote something."""

from __future__ import annotations

from functools import cache


@cache
def tool() -> str:
    """`tensorshark 0.1.0`."""
    from importlib import metadata  # 10 ms, and only writers ask

    try:
        return f"tensorshark {metadata.version('tensorshark')}"
    except metadata.PackageNotFoundError:
        return "tensorshark (not installed)"
