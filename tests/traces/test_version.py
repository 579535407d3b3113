"""The tool's name in what it writes."""

from importlib import metadata

import pytest

from tensorshark.traces import version


def test_the_tool_says_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    version.tool.cache_clear()
    assert version.tool() == f"tensorshark {metadata.version('tensorshark')}"
    version.tool.cache_clear()

    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    assert version.tool() == "tensorshark (not installed)"
    version.tool.cache_clear()
