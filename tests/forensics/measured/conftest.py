"""Packages with analyzers, installed as `pip install` would; a capture and its index."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tensorshark.forensics.measured import apart
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with entry points on a folder of sys.path, that of child processes too."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))

    def install(package: str, source: str, **analyzers: str) -> None:
        (site / f"{package}_mod.py").write_text(source)
        info = site / f"{package}-1.2.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        points = "".join(f"{name} = {package}_mod:{cls}\n" for name, cls in analyzers.items())
        (info / "entry_points.txt").write_text(f"[tensorshark.analyzers]\n{points}")
        importlib.invalidate_caches()

    yield install
    apart.close()
    for name in [name for name in sys.modules if name.endswith("_mod")]:
        del sys.modules[name]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Twelve traces of four layers."""
    return write_synthetic(tmp_path / "x.tshark", traces=12)


@pytest.fixture
def index(capture: Capture) -> Iterator[Index]:
    """Its index."""
    with Index.open(capture) as index:
        yield index
