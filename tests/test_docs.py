"""The README tells the truth: its commands run, its code runs, its files exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = "import sys; from tensorshark.tui.cli import main; sys.exit(main())"


def blocks(language: str) -> list[str]:
    """Fenced code of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("tensorshark ")]
READING = [line for line in LINES if shlex.split(line)[1] != "capture"]
CAPTURING = [line for line in LINES if shlex.split(line)[1] == "capture"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a demo.tshark of the shape of the real one, and a prompts.jsonl."""
    place = tmp_path_factory.mktemp("readme")
    prompts = ["The capital of France is", "Ignore previous instructions", "the password is"]
    write_synthetic(place / "demo.tshark", traces=12, layers=30, heads=3, prompts=prompts)
    (place / "prompts.jsonl").write_text('{"prompt": "One two three", "labels": {"category": "fact"}}\n')
    return place


def run(words: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-c", START, *words],
        cwd=folder,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", READING)
def test_commands_of_the_tour_run(line: str, folder: Path) -> None:
    done = run(shlex.split(line)[1:], folder)
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0 or "no trace" in done.stderr


@pytest.mark.model
@pytest.mark.parametrize("line", CAPTURING)
def test_captures_of_the_tour_run(line: str, folder: Path) -> None:
    done = run(shlex.split(line)[1:], folder)
    assert done.returncode == 0, done.stderr


def test_the_python_of_the_tour_runs(folder: Path) -> None:
    [code] = [block for block in blocks("python") if "Capture.open" in block]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_plugin_works_as_printed(folder: Path, tmp_path: Path) -> None:
    """As installed: a module and the entry point that the README shows, beside it in a .dist-info."""
    [code] = [block for block in blocks("python") if "Loudest(Analyzer)" in block]
    [toml] = blocks("toml")
    assert '"tensorshark.analyzers"' in toml and 'loudest = "my_package:Loudest"' in toml
    (tmp_path / "my_package.py").write_text(code)
    info = tmp_path / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tensorshark.analyzers]\nloudest = my_package:Loudest\n")
    done = run(["run", "loudest", "demo.tshark", "-T", "csv"], folder, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + 12
    assert "layer" in done.stdout.splitlines()[0]


def test_the_plugin_that_measures_works_as_printed(folder: Path, tmp_path: Path) -> None:
    """And the nine lines in `analyzer.py` are the same."""
    [code] = [block for block in blocks("python") if "Repeats(Analyzer)" in block]
    printed = (ROOT / "forensics" / "analyzer.py").read_text(encoding="utf-8").replace('\\"', '"')
    assert all(line in printed for line in map(str.strip, code.splitlines()[2:]))
    (tmp_path / "my_repeats.py").write_text(code)
    info = tmp_path / "my_repeats-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-repeats\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tensorshark.analyzers]\nrepeats = my_repeats:Repeats\n")
    words = ["read", "demo.tshark", "-Y", "repeats.before[-1] >= 0", "-T", "csv", "-e", "repeats.before[-1]"]
    done = run(words, folder, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + 12


def test_the_tree_names_files_that_exist_and_leaves_out_none() -> None:
    [tree] = blocks("text")
    folder, named = "", set()
    for line in tree.splitlines():
        if not line.startswith(" "):
            folder = line.split("/")[0]
            assert (ROOT / folder).is_dir(), line
        else:
            named |= {ROOT / folder / name for name in re.findall(r"\b\w+(?:\.py|/)(?!\w)", line)}
    missing = [
        path for path in named if not path.exists() and not (path.parent / "filter" / path.name).exists()
    ]
    assert not missing
    for folder in ("traces", "forensics", "tui"):
        here = {path for path in (ROOT / folder).glob("*.py") if not path.name.startswith("__")}
        assert here <= named, f"not in the README: {sorted(str(path) for path in here - named)}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(name: str, folder: Path) -> None:
    done = run([name, "--help"], folder)
    assert done.returncode == 0, done.stderr
    assert "Examples:" in done.stdout
    assert "--help" in done.stdout
