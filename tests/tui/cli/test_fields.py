"""`tensorshark fields`: the one table of fields, printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorshark.forensics.filter.fields import fields
from tensorshark.traces.case import Case
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


def test_every_field_is_listed(capsys: Output) -> None:
    assert main(["fields"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(fields()) + 1
    assert any(line.startswith("resid_post.norm#layer[pos] ") for line in lines)
    assert any(line.startswith("attn.entropy#layer:head[pos] ") and " nats " in line for line in lines)


def test_as_data(capsys: Output) -> None:
    assert main(["fields", "--json"]) == 0
    found = {field["name"]: field for field in json.loads(capsys.readouterr().out)}
    assert list(found) == [field.name for field in fields()]
    assert found["resid_post.norm"]["axes"] == ["layer", "pos"]
    assert found["seq_len"]["unit"] == "tokens"


def test_a_capture_brings_its_labels(tmp_path: Path, capsys: Output) -> None:
    labels = [{"category": "fact"}, {"category": "prose", "odd \x1b key": "x"}]
    capture = write_synthetic(tmp_path / "x.tshark", traces=4, labels=labels)
    assert main(["fields", str(capture.path)]) == 0
    out = capsys.readouterr().out
    assert "label.category" in out
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert "of 4" in out.splitlines()[0]
    assert lines["label.category"][1:4] == ["text", "4", "index"]
    assert lines["lens.top#layer[pos]"][1:3] == ["text", "logit-lens"]
    assert lines["attn.entropy#layer:head[pos]"][1:4] == ["number", "nats", "4"]
    assert "\x1b" not in out
    assert main(["fields", "--json", str(capture.path)]) == 0
    found = {field["name"]: field for field in json.loads(capsys.readouterr().out)}
    counts = {name: field["traces"] for name, field in found.items()}
    assert counts["resid_post.norm"] == counts["next.token"] == counts["seq_len"] == 4
    lens = found["lens.rank"]
    assert (lens["analyzer"], lens["source"]) == ("logit-lens", "analyzer logit-lens")
    assert lens["needs"] == "--sites resid_post --lens-file embed" and lens["traces"] is None
    assert counts["label.category"] == 4
    assert 2 in counts.values()


def test_a_capture_brings_its_marks_and_macros(tmp_path: Path, capsys: Output) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=4)
    with Case.open(capture, write=True, sync=False) as case:
        case.mark(capture.ids()[:3], "suspect")
        case.define_macro("loud", "resid_post.norm > $1\x1b")
    assert main(["fields", str(capture.path), "--json"]) == 0
    found = {field["name"]: field for field in json.loads(capsys.readouterr().out)}
    assert found["mark.suspect"]["traces"] == 3
    assert "mark.*" not in found
    assert found["${loud}"]["type"] == "macro"
    assert main(["fields", str(capture.path)]) == 0
    out = capsys.readouterr().out
    assert "${loud}" in out
    assert "\x1b" not in out
