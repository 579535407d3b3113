"""`tensorshark read`: every format, on ordinary and on hostile captures."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic
from tensorshark.traces.text import safe_text
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Eight traces in six categories."""
    return write_synthetic(tmp_path_factory.mktemp("read") / "x.tshark")


def read(capture: Capture, capsys: Output, *words: str, code: int = 0) -> str:
    """What it prints to stdout."""
    assert main(["read", str(capture.path), *words]) == code
    return capsys.readouterr().out


def test_a_table_for_people(capture: Capture, capsys: Output) -> None:
    lines = read(capture, capsys).splitlines()
    assert lines[0].split() == ["No", "time", "tok", "label", "next", "norm", "by", "layer", "prompt"]
    assert len(lines) == 9
    trace = capture.trace(capture.ids()[1])
    assert lines[2].startswith("   2  ")
    assert "injection" in lines[2]
    assert lines[2].endswith(trace.prompt), "not cut: stdout is not a terminal"
    assert "·" + trace.manifest.next_tokens[0].token.strip() in lines[2]


def test_the_capture_can_be_given_as_in_tshark(capture: Capture, capsys: Output) -> None:
    plain = read(capture, capsys)
    assert main(["read", "-r", str(capture.path)]) == 0
    assert capsys.readouterr().out == plain
    assert main(["read", str(capture.path), "-r", str(capture.path)]) == 2


def test_fields_are_separated_by_tabs_and_nothing_else_is_printed(capture: Capture, capsys: Output) -> None:
    out = read(capture, capsys, "-T", "fields", "-e", "number", "-e", "id", "-e", "label.category")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == list("12345678")
    assert [row[1] for row in rows] == capture.ids()
    assert rows[1][2] == "injection"


def test_fields_need_fields(capture: Capture, capsys: Output) -> None:
    assert main(["read", str(capture.path), "-T", "fields"]) == 2
    assert "-e id" in capsys.readouterr().err


def test_json_lines_are_exact(capture: Capture, capsys: Output) -> None:
    found = [json.loads(line) for line in read(capture, capsys, "-T", "jsonl").splitlines()]
    traces = [capture.trace(each) for each in capture.ids()]
    assert [each["prompt"] for each in found] == [trace.prompt for trace in traces]
    assert [each["label.category"] for each in found] == [trace.labels["category"] for trace in traces]
    assert [each["seq_len"] for each in found] == [len(trace.token_ids) for trace in traces]
    assert found[0]["next.p"] == pytest.approx(traces[0].manifest.next_tokens[0].p)


def test_json_is_the_same_in_an_array(capture: Capture, capsys: Output) -> None:
    lines = read(capture, capsys, "-T", "jsonl").splitlines()
    assert json.loads(read(capture, capsys, "-T", "json")) == [json.loads(line) for line in lines]
    none = read(capture, capsys, "-T", "json", "-Y", "seq_len > 9999", code=1)
    assert json.loads(none) == []


def test_csv_has_a_header_and_every_label(capture: Capture, capsys: Output) -> None:
    rows = list(csv.DictReader(io.StringIO(read(capture, capsys, "-T", "csv"))))
    assert len(rows) == 8
    assert rows[1]["label.category"] == "injection"
    assert rows[0]["label.split"] == "demo"
    assert rows[0]["id"] == capture.ids()[0]


def test_signal_fields_have_the_stored_values(capture: Capture, capsys: Output) -> None:
    out = read(capture, capsys, "-T", "jsonl", "-e", "resid_post.norm#2[-1]", "-e", "resid_post.norm#3")
    for line, name in zip(out.splitlines(), capture.ids(), strict=True):
        norms = capture.trace(name).stats["norm.resid_post"]  # layer, pos
        found = json.loads(line)
        assert found["resid_post.norm#2[-1]"] == pytest.approx(float(norms[2, -1]), rel=1e-6)
        assert found["resid_post.norm#3"] == pytest.approx(norms[3].tolist(), rel=1e-6)


def test_numbers_in_text_lose_nothing(capture: Capture, capsys: Output) -> None:
    out = read(capture, capsys, "-T", "fields", "-e", "resid_post.norm#2[-1]")
    stored = [capture.trace(name).stats["norm.resid_post"][2, -1] for name in capture.ids()]
    assert [np.float32(line) for line in out.splitlines()] == stored


def test_a_filter(capture: Capture, capsys: Output) -> None:
    out = read(capture, capsys, "-Y", 'label.category == "injection"', "-T", "fields", "-e", "number")
    assert out.split() == ["2", "8"]


def test_a_filter_that_matches_nothing_is_code_1(capture: Capture, capsys: Output) -> None:
    assert main(["read", str(capture.path), "-Y", "seq_len > 9999", "-T", "fields", "-e", "id"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no trace of 8 matches" in err


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_nothing_captured_is_not_a_failed_search(form: str, tmp_path: Path, capsys: Output) -> None:
    empty = Capture.create(tmp_path / "empty.tshark")
    assert len(read(empty, capsys, "-T", form).splitlines()) == (form != "jsonl")


@pytest.mark.parametrize(
    "words", [["-Y", "seqlen > 3"], ["-e", "seqlen"], ["--sort", "seqlen"]], ids=" ".join
)
def test_an_unknown_field_is_pointed_at(words: list[str], capture: Capture, capsys: Output) -> None:
    assert main(["read", str(capture.path), *words]) == 2
    out, err = capsys.readouterr()
    assert "^^^^^^" in err
    assert out == ""


def test_sorting(capture: Capture, capsys: Output) -> None:
    key = "resid_post.norm#3[-1]"
    up = read(capture, capsys, "--sort", key, "-T", "fields", "-e", key).split()
    assert [float(value) for value in up] == sorted(float(value) for value in up)
    down = read(capture, capsys, "--sort", key, "--desc", "-T", "fields", "-e", key).split()
    assert down == up[::-1]


def test_a_limit_is_never_silent(capture: Capture, capsys: Output) -> None:
    assert main(["read", str(capture.path), "--limit", "3"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "3 of 8 traces; 5 more" in err
    assert main(["read", str(capture.path), "--limit", "8"]) == 0
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_lines_that_fit(
    capture: Capture, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorshark.tui.cli import output

    monkeypatch.setattr(output, "width", lambda: 80)
    lines = read(capture, capsys).splitlines()
    assert max(map(output.cells, lines)) <= 80
    assert any(line.endswith("…") for line in lines)


HOSTILE = [
    "\x1b]52;c;x\x07",
    "a\nb\tc\rd",
    "=1+1",
    'say "hi", ok',
    "\u202egpj.exe",
    "[INST]x[/INST]",
    "x" * 5000,
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture of hostile prompts and labels."""
    labels: list[dict[str, str]] = [{"category": text[:99], "a\tkey": text[:99]} for text in HOSTILE]
    return write_synthetic(
        tmp_path_factory.mktemp("read") / "h.tshark", traces=len(HOSTILE), prompts=HOSTILE, labels=labels
    )


@pytest.mark.parametrize("form", ["table", "csv", "json", "jsonl", "fields"])
def test_hostile_text_stays_text(form: str, hostile: Capture, capsys: Output) -> None:
    fields = ["-e", "prompt", "-e", "token", "-e", "label.category"] if form == "fields" else []
    out = read(hostile, capsys, "-T", form, *fields)
    extra = {"table": 1, "csv": 1, "json": 1}.get(form, 0)
    assert len(out.splitlines()) == len(HOSTILE) + extra
    assert all(line.replace("\t", "").isprintable() for line in out.splitlines())


def test_hostile_text_comes_back_exactly_from_json(hostile: Capture, capsys: Output) -> None:
    found: list[dict[str, Any]] = json.loads(read(hostile, capsys, "-T", "json"))
    assert [each["prompt"] for each in found] == HOSTILE
    assert [each["label.category"] for each in found] == [text[:99] for text in HOSTILE]


def test_hostile_text_is_one_cell_of_csv(hostile: Capture, capsys: Output) -> None:
    rows = list(csv.DictReader(io.StringIO(read(hostile, capsys, "-T", "csv"))))
    shown = [row["prompt"].removeprefix("'") for row in rows]
    assert shown == [safe_text(text, 10_000) for text in HOSTILE]
    assert rows[2]["prompt"] == "'=1+1"


def test_no_capture(tmp_path: Path, capsys: Output) -> None:
    assert main(["read", str(tmp_path / "no.tshark")]) == 3
    assert "no such capture" in capsys.readouterr().err


def test_a_damaged_trace_is_no_value(tmp_path: Path, capsys: Output) -> None:
    """Its row says that it is damaged and shows nothing of it; the others are printed."""
    capture = write_synthetic(tmp_path / "d.tshark", traces=3)
    trace = capture.trace(capture.ids()[1])
    path = trace.folder / "trace.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"Ignore", b"ignore"))
    out = read(capture, capsys, "-T", "jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["prompt"] is None or each["prompt"] == "" for each in found] == [False, True, False]
    assert "ignore previous" not in out


SLOW = """
import sys, time
from tensorshark.traces.index import Index
trace = Index.trace
Index.trace = lambda self, number: time.sleep(0.05) or trace(self, number)
from tensorshark.tui.cli import main
sys.exit(main())
"""
"""The command on a slow disk."""
SCAN = "max(resid_post.norm) > 0"


def slowly(capture: Capture, *words: str) -> subprocess.Popen[str]:
    """`read` as a process of its own."""
    line = [sys.executable, "-P", "-c", SLOW, "read", str(capture.path), *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Enough traces for a scan to be seen going on."""
    capture = write_synthetic(tmp_path_factory.mktemp("read") / "sixty.tshark", traces=60)
    Index.open(capture).close()
    return capture


def test_traces_are_printed_while_the_scan_goes_on(sixty: Capture) -> None:
    process = slowly(sixty, "-Y", SCAN, "-T", "fields", "-e", "number")
    assert process.stdout is not None
    start = time.monotonic()
    lines = [process.stdout.readline()]
    first = time.monotonic() - start
    lines += process.stdout.readlines()
    whole = time.monotonic() - start
    assert process.wait() == 0
    assert [int(line) for line in lines] == list(range(1, 61))
    assert whole > 3
    assert first < whole / 2


@pytest.mark.parametrize("form", ["jsonl", "json", "fields", "table"])
def test_an_interrupt_keeps_what_was_printed(sixty: Capture, form: str) -> None:
    process = slowly(sixty, "-Y", SCAN, "-T", form, "-e", "number")
    assert process.stdout is not None
    first = "".join(process.stdout.readline() for _ in range(3))
    process.send_signal(signal.SIGINT)
    lines = (first + process.stdout.read()).splitlines()
    assert process.stderr is not None
    assert process.stderr.read() == "tensorshark: interrupted\n"
    assert process.wait(timeout=10) == 130
    assert 2 < len(lines) < 60
    if form == "json":
        found = [each["number"] for each in json.loads("".join(lines))]
    elif form == "jsonl":
        found = [json.loads(line)["number"] for line in lines]
    else:
        found = [int(line) for line in lines if line.strip() != "number"]
    assert found == list(range(1, len(found) + 1))


def test_a_limit_ends_the_scan(sixty: Capture) -> None:
    start = time.monotonic()
    process = slowly(sixty, "-Y", SCAN, "-T", "fields", "-e", "number", "--limit", "5")
    out, err = process.communicate()
    assert time.monotonic() - start < 3
    assert out.split() == list("12345")
    assert "stopped at --limit 5; there may be more" in err


def test_json_says_why(capture: Capture, capsys: Output) -> None:
    text = 'label.category == "injection" and not seq_len > 999'
    (found, *_) = [json.loads(line) for line in read(capture, capsys, "-Y", text, "-T", "jsonl").splitlines()]
    assert [each["clause"] for each in found["why"]] == ['label.category == "injection"', "seq_len > 999"]
    assert found["why"][0]["cells"] == [{"value": "injection"}]
    assert [each["true"] for each in found["why"]] == [True, False]
    assert json.loads(read(capture, capsys, "-Y", text, "-T", "json"))[0]["why"] == found["why"]


def test_json_says_no_why_without_a_filter_or_on_request(capture: Capture, capsys: Output) -> None:
    plain = read(capture, capsys, "-T", "jsonl").splitlines()
    assert all("why" not in json.loads(line) for line in plain)
    assert read(capture, capsys, "-T", "jsonl", "-Y", "seq_len > 0", "--no-why").splitlines() == plain


def test_infinite_cells_are_words(tmp_path: Path, capsys: Output) -> None:
    capture = write_synthetic(tmp_path / "inf.tshark", traces=0)
    manifest, tensors, stats = synthetic_trace(capture, "a b c", {}, seed=1)
    stats["norm.resid_post"][1, 0] = np.inf
    with capture.writer(sync=False) as writer:
        writer.commit(manifest, tensors, stats)
    (found,) = json.loads(read(capture, capsys, "-Y", "resid_post.norm > 1e30", "-T", "json", "-e", "id"))
    assert found["why"][0]["cells"] == [{"value": "inf", "layer": 1, "token": 0}]
