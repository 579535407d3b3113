"""`tensorshark models`: list, add, rm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of tensorshark."""
    monkeypatch.setenv("TENSORSHARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "home"


def typed(capsys: Output, *words: str) -> tuple[int, str, str]:
    code = main(["models", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_name_comes_and_goes(tmp_path: Path, home: Path, capsys: Output) -> None:
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"1234")
    code, out, err = typed(capsys, "add", "mine", str(model))
    assert (code, out) == (0, "") and f"mine is {model}" in err
    typed(capsys, "add", "theirs", "Some/Model")
    code, out, _ = typed(capsys, "list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["name", "files", "size", "source"]
    assert lines[1].startswith("smollm2-135m-instruct  fetched when used")
    assert lines[2].split() == ["mine", "here", "6", "B", str(model)]
    assert lines[3].split() == ["theirs", "fetched", "when", "used", "Some/Model"]
    code, out, _ = typed(capsys, "list", "--json")
    assert [json.loads(line)["name"] for line in out.splitlines()] == [
        "smollm2-135m-instruct",
        "mine",
        "theirs",
    ]
    assert typed(capsys, "rm", "mine")[0] == 0
    assert model.is_dir()
    code, _, err = typed(capsys, "rm", "mine")
    assert code == 3 and "no model is called 'mine'" in err


def test_a_model_that_is_gone_says_so(tmp_path: Path, home: Path, capsys: Output) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    typed(capsys, "add", "gone", str(tmp_path / "m.gguf"))
    (tmp_path / "m.gguf").unlink()
    assert "gone                   missing" in typed(capsys, "list")[1]


def test_what_cannot_be_added(home: Path, capsys: Output) -> None:
    assert typed(capsys, "add", "x", "./nothing")[0] == 3
    code, _, err = typed(capsys, "add", "\x1b[2J", "Some/Model")
    assert code == 2 and "\x1b" not in err


def test_listing_imports_no_model_library() -> None:
    """In a fresh interpreter."""
    import subprocess
    import sys

    code = "import sys; from tensorshark.tui.cli import main; main(['models', 'list'])"
    code += "; print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
