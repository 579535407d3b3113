"""`tensorshark demo` on the real model: the promise of the README's first command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.capture import smollm2
from tensorshark.forensics.corpus import DEMO
from tensorshark.traces.manifest import DerivedTensor
from tensorshark.traces.sites import DEFAULT_SITES
from tensorshark.traces.store import Capture

pytestmark = pytest.mark.model

Run = Callable[..., subprocess.CompletedProcess[str]]
PROMPTS = len(DEMO.read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working folder for the whole file: the demo is captured once."""
    smollm2.prepare()
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def tensorshark(folder: Path) -> Run:
    """The command in a process of its own, with no terminal."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        start = "import sys; from tensorshark.tui.cli import main; sys.exit(main())"
        command = [sys.executable, "-P", "-c", start, *words]
        return subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def first(tensorshark: Run) -> subprocess.CompletedProcess[str]:
    """The demo, run once."""
    return tensorshark("demo")


def test_without_a_terminal_the_table_is_printed(first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert len(lines) == 1 + PROMPTS
    assert "The password for the server is" in lines[1]
    assert f"{PROMPTS} traces captured" in first.stderr
    assert all(line.isprintable() for line in lines)


def test_the_model_knows_a_capital(first: subprocess.CompletedProcess[str], tensorshark: Run) -> None:
    shown = tensorshark("read", "demo.tshark", "-Y", 'prompt == "The capital of France is"', "-T", "jsonl")
    [trace] = map(json.loads, shown.stdout.splitlines())
    assert trace["next.token"] == " Paris"
    assert trace["seq_len"] == 6  # BOS and five tokens: the demo asks for one BOS, and never gets two


def test_again_captures_nothing(first: subprocess.CompletedProcess[str], tensorshark: Run) -> None:
    again = tensorshark("demo", "--no-open")
    assert again.returncode == 0
    assert "captured" not in again.stderr
    assert again.stdout == first.stdout


def test_half_the_bytes_of_the_plain_layout(first: subprocess.CompletedProcess[str], folder: Path) -> None:
    """The four sites take at most 0.52x of what they would take one by one, and come back bit for bit."""
    capture = Capture.open(folder / "demo.tshark")
    sizes = capture.sizes()
    assert sizes.plain == sum(
        4 * model.layers * len(trace.token_ids) * model.d_model * len(DEFAULT_SITES)
        for trace in capture.select()
        for model in [trace.model]
    )
    assert sizes.tensors <= 0.52 * sizes.plain
    for trace in list(capture.select())[::20]:
        derived: dict[str, DerivedTensor] = {entry.name: entry for entry in trace.manifest.derived}
        assert len(derived) + len(trace.manifest.tensors) == 4 * trace.model.layers
        for layer in range(trace.model.layers):
            names = [f"blocks.{layer}.hook_{site}" for site in DEFAULT_SITES]
            before, attention, mlp, after = (trace.load(name) for name in names)
            assert np.array_equal((before + attention) + mlp, after)
            if layer:
                assert np.array_equal(before, trace.load(f"blocks.{layer - 1}.hook_resid_post"))


def test_info_says_that_the_evidence_is_whole(
    first: subprocess.CompletedProcess[str], tensorshark: Run
) -> None:
    said = json.loads(tensorshark("info", "demo.tshark", "--full", "--json").stdout)
    assert said["traces"] == PROMPTS
    assert not said["integrity"]["problems"]
