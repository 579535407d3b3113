"""`tensorshark capture` as it is typed: data on stdout, narration on stderr, exit codes, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tensorshark.forensics.capture.tiny import write_tiny_model
from tensorshark.traces.store import Capture
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


def typed(capsys: Output, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    capsys.readouterr()
    code = main(["capture", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of tensorshark, and no network."""
    monkeypatch.setenv("TENSORSHARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def llama(folder: Path, home: Path) -> str:
    """For --model."""
    return str(folder)


@pytest.mark.model
def test_one_prompt(tmp_path: Path, llama: str, capsys: Output) -> None:
    path = str(tmp_path / "c.tshark")
    code, out, err = typed(capsys, "-w", path, "-m", llama, "-p", "Hello", "--label", "k=v")
    assert (code, out) == (0, "")
    assert "1 traces, 5 tokens" in err and "is valid" in err
    [trace] = Capture.open(path).select("")
    assert (trace.prompt, trace.labels) == ("Hello", {"k": "v"})


@pytest.mark.model
def test_the_summary_as_data(tmp_path: Path, llama: str, capsys: Output) -> None:
    path = str(tmp_path / "c.tshark")
    code, out, _ = typed(capsys, "-w", path, "-m", llama, "-p", "Hello", "-p", "", "--json")
    summary: dict[str, Any] = json.loads(out)
    assert code == 1
    assert (summary["path"], summary["captured"], summary["prompts"]) == (path, 1, 2)
    assert summary["failed"] == ["--prompt 2: the prompt has no tokens"]
    assert summary["bytes"] == Capture.open(path).sizes().traces


@pytest.mark.model
def test_all_the_choices(tmp_path: Path, llama: str, capsys: Output) -> None:
    path = str(tmp_path / "c.tshark")
    code, _, err = typed(
        capsys, "-w", path, "-m", llama, "-p", "Hello", "--sites", "resid_post,attn", "--patterns",
        "--layers", "0,-1", "--dtype", "bfloat16", "--bos", "always", "--chat", "--batch-size", "2",
        "--max-tokens", "9", "--top-k", "2", "--lens-file", "none", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    [trace] = Capture.open(path).select("")
    assert {site.name: site.layers for site in trace.manifest.sites} == {
        "resid_post": [0, 2],
        "pattern": [0, 2],
        "attn": [0, 2],
    }
    assert trace.load("blocks.2.hook_resid_post").dtype.name == "bfloat16"
    assert len(trace.token_ids) == 9
    assert {expert.code for expert in trace.manifest.experts} >= {"truncated"}
    assert len(trace.manifest.next_tokens) == 2


@pytest.mark.model
def test_the_command_line_is_kept_without_the_prompts(tmp_path: Path, llama: str, capsys: Output) -> None:
    path = str(tmp_path / "c.tshark")
    typed(capsys, "-w", path, "-m", llama, "-psecret one", "--prompt=secret two", "--patterns")
    for trace in Capture.open(path).select(""):
        argv = trace.manifest.provenance.argv
        assert argv == [
            "tensorshark", "capture", "--write", path, "--model", llama,
            "--prompt", "…", "--prompt", "…", "--patterns",
        ]  # fmt: skip


@pytest.mark.model
def test_files_and_stdin(tmp_path: Path, llama: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.csv").write_text("prompt,kind\nthree,x\n")
    stdin = io.TextIOWrapper(io.BytesIO(b'{"messages": [{"role": "user", "content": "four"}]}\n'))
    monkeypatch.setattr(sys, "stdin", stdin)
    path = str(tmp_path / "c.tshark")
    code, _, err = typed(
        capsys, "-w", path, "-m", llama, "-i", str(tmp_path / "a.txt"), "-i", str(tmp_path / "b.csv"),
        "-i", "-", "--format", "jsonl",
    )  # fmt: skip
    assert code == 0, err
    traces = list(Capture.open(path).select(""))
    assert sorted(trace.prompt for trace in traces) == ["four", "one", "three", "two"]
    assert next(trace.labels for trace in traces if trace.prompt == "three") == {"kind": "x"}


@pytest.mark.model
def test_a_dry_run_prints_the_bytes_and_writes_nothing(tmp_path: Path, llama: str, capsys: Output) -> None:
    path = tmp_path / "c.tshark"
    words = ["-w", str(path), "-m", llama, "-p", "Hello", "-p", "The capital of France"]
    code, out, _ = typed(capsys, *words, "--dry-run")
    assert code == 0 and not path.exists()
    code, data, _ = typed(capsys, *words, "--dry-run", "--json")
    planned = json.loads(data)
    code, done, _ = typed(capsys, *words, "--json")
    assert planned["tensor_bytes"] == json.loads(done)["tensor_bytes"]
    assert f"tensors      {planned['tensor_bytes']:,} bytes" in out
    assert "would write  2 traces, 26 tokens" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to capture: give --prompt TEXT or -i FILE"),
        (("-p", "x", "--sites", "resid_mid"), 2, "no such site: resid_mid"),
        (("-p", "x", "--label", "k"), 2, "write it as key=value"),
        (("-p", "x", "--dtype", "int8"), 2, "int8"),
        (("-p", "x\udcff"), 6, "--prompt 1: character 2 is half of a surrogate pair"),
        (("-i", "nothing.txt"), 3, "nothing.txt: cannot be read: No such file"),
        (("-i", "-"), 2, "say what it holds with --format"),
        (("-i", "prompts.yaml"), 2, "say which with --format"),
        (("-p", "x", "-m", "./nothing"), 3, "./nothing: no such folder or file"),
        (("-p", "x", "-m", "some/model"), 3, "some/model: not on this machine, and HF_HUB_OFFLINE is set"),
        (("-p", "x", "-m", "a/b", "--trust-remote-code"), 2, "needs --revision with a full commit"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    tmp_path: Path, home: Path, capsys: Output, words: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "c.tshark"
    got, out, err = typed(capsys, "-w", str(path), *words)
    assert (got, out) == (code, "")
    assert said in err
    assert not path.exists()


def test_a_bad_line_is_named_before_a_model_is_loaded(tmp_path: Path, home: Path, capsys: Output) -> None:
    (tmp_path / "p.txt").write_bytes(b"fine\nnot \xe9 fine\n")
    code, _, err = typed(capsys, "-w", str(tmp_path / "c.tshark"), "-i", str(tmp_path / "p.txt"))
    assert code == 6
    assert "p.txt:2: byte 5 of the line is not UTF-8 (0xe9)" in err
    assert "loading" not in err


@pytest.mark.model
def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, llama: str, capsys: Output) -> None:
    (tmp_path / "\x1b]0;x\x07.jsonl").write_text('{"prompt": ""}\n')
    code, _, err = typed(
        capsys,
        "-w",
        str(tmp_path / "\x1b[2J.tshark"),
        "-m",
        llama,
        "-i",
        str(tmp_path / "\x1b]0;x\x07.jsonl"),
    )
    assert code == 1
    assert "\x1b" not in err and "\\x1b]0;x" in err and "\\x1b[2J" in err


@pytest.mark.model
def test_ctrl_c_leaves_a_valid_capture_that_goes_on(tmp_path: Path, llama: str) -> None:
    """SIGINT to the real process in the middle of 300 prompts; the same line again completes it."""
    prompts = tmp_path / "p.txt"
    prompts.write_text("".join(f"prompt number {n} of many\n" for n in range(300)))
    path = tmp_path / "c.tshark"
    command = [
        sys.executable,
        "-m",
        "tensorshark.tui",
        "capture",
        "-w",
        str(path),
        "-m",
        llama,
        "-i",
        str(prompts),
    ]
    command += ["--layers", "0", "--sites", "resid_post", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (path.exists() and _count(path) > 20):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    summary = json.loads(out)
    assert summary["interrupted"]
    assert 20 < summary["captured"] == len(Capture.open(path)) < 300
    assert "is valid" in err and "Traceback" not in err
    assert list((path / "staging").iterdir()) == []
    again = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["skipped"] == summary["captured"]
    assert len(Capture.open(path)) == 300


def _count(path: Path) -> int:
    try:
        return len(Capture.open(path))
    except Exception:
        return 0  # it is just being made


def test_help_has_examples(capsys: Output) -> None:
    code, out, _ = typed(capsys, "--help")
    assert code == 0
    for words in ("Examples:", "--prompt", "--dry-run", "Exit codes:", ".jsonl"):
        assert words in out


@pytest.mark.model
def test_keep(tmp_path: Path, llama: str, capsys: Output) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text("Hi\nHello there, you\nGood morning to you all\n")
    words = ("-w", str(tmp_path / "c.tshark"), "-m", llama, "-i", str(prompts), "--keep", "seq_len > 5")
    code, out, _ = typed(capsys, *words, "--dry-run")
    assert code == 0
    assert "at most what follows: traces whose number of tokens exceeds 5" in out
    code, out, err = typed(capsys, *words, "--json")
    assert code == 0 and "kept 2 of 3 traces, " in err
    summary = json.loads(out)
    assert (summary["captured"], summary["dropped"]) == (2, 1)
    [_, trace] = Capture.open(tmp_path / "c.tshark").select("")
    assert trace.manifest.provenance.argv[-3:] == ["--keep", "seq_len > 5", "--json"]
    code, out, err = typed(capsys, *words[:-1], "seq_len > 5 and number < 3")
    assert (code, out) == (2, "")
    shown = err.splitlines()
    assert shown[-3].index("number") == shown[-2].index("^"), err
    assert "is not known before a trace is stored" in shown[-1]
