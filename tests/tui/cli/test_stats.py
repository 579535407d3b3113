"""`tensorshark stats`: tables for people, data for programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

LABELS = [{"kind": "=1+\x1b[31m"}, {"kind": "b"}, {}]
NORM = "mean(resid_post.norm#2)"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("cli") / "x.tshark"
    write_synthetic(path, traces=30, labels=LABELS)
    return str(path)


def test_a_table_has_groups_and_pairs_and_says_what_was_tested(
    capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", capture, "--by", "label.kind", "-e", NORM]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["expression", "label.kind", "traces", "values"]
    assert [line.split()[2] for line in lines[1:4]] == ["10", "10", "10"] and "(none)" in lines[3]
    assert "b – (none)" in out and "3 comparisons" in out
    assert "\x1b" not in out


def test_csv_is_one_table_groups_or_pairs(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", capture, "--by", "label.kind", "-e", NORM, "-T", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label.kind"][:3] for row in rows] == ["'=1", "b", ""]
    assert {"mean", "std", "q0.05", "q0.5", "q0.95"} <= set(rows[0])
    assert main(["stats", capture, "--by", "label.kind", "-e", NORM, "-T", "csv", "--pairs"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 and float(rows[0]["auroc_low"]) <= float(rows[0]["auroc"])


def test_json_and_jsonl_are_exact(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["stats", capture, "--by", "label.kind", "-e", NORM, "--quantiles", "0.5"]
    assert main([*command, "-T", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [group["group"] for group in found["groups"]] == [["=1+\x1b[31m"], ["b"], [None]]
    assert found["tests"] == 3 and len(found["summaries"][0]["quantiles"]) == 1
    assert main([*command, "-T", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["group"] * 3 + ["summary"] * 3 + ["contrast"] * 3
    assert lines[3]["mean"] == found["summaries"][0]["mean"]


def test_without_anything_to_measure_groups_are_counted(
    capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", capture, "--by", "number <= 3"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["false", "27", "90.0%", "27"], ["true", "3", "10.0%", "3"]
    ]  # fmt: skip


def test_what_is_left_out_is_said_on_stderr(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", capture, "--by", "number", "-e", NORM, "-T", "csv"]) == 0
    assert "--pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "what to measure"),
        (["-e", "resid_post.norm"], 2, "several values"),
        (["-e", "seq_len", "--quantiles", "half"], 2, "0.05,0.5,0.95"),
        (["-e", "seq_len", "-Y", "number > 99"], 1, "no trace matches"),
    ],
)
def test_errors_name_the_remedy(
    capture: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", capture, *words]) == code
    assert said in capsys.readouterr().err
