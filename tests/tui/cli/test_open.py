"""`tensorshark open`: what it says where it cannot; tests/pty opens the workbench itself."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tensorshark.traces.errors import UsageError
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main, open


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on stdin and stderr."""
    monkeypatch.setattr(open.sys, "__stdin__", Screen())
    monkeypatch.setattr(open.sys, "__stderr__", Screen())
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize("name", ["stdin", "stderr"])
def test_no_terminal(name: str, screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    open.need_terminal()
    monkeypatch.setattr(open.sys, f"__{name}__", io.StringIO())
    with pytest.raises(UsageError, match=f"{name} is not one; `tensorshark read`"):
        open.need_terminal()
    monkeypatch.setattr(open.sys, f"__{name}__", None)
    with pytest.raises(UsageError, match=name):
        open.need_terminal()


@pytest.mark.parametrize("term", ["", "dumb"])
def test_a_terminal_that_cannot(term: str, screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    with pytest.raises(UsageError, match="TERM is"):
        open.need_terminal()


def test_a_folder_that_is_no_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", str(tmp_path)]) == 3
    assert "it has no capture.json" in capsys.readouterr().err
    capture = write_synthetic(tmp_path / "x.tshark", traces=1)
    assert main(["open", str(capture.path)]) == 2
