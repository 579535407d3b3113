"""`tensorshark info`: the truth about a capture, damaged ones included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic
from tensorshark.tui.cli import info, main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Eight traces, four layers."""
    return write_synthetic(tmp_path / "x.tshark")


def facts(capture: Capture, capsys: Output, *words: str) -> dict[str, Any]:
    """What --json says."""
    main(["info", str(capture.path), "--json", *words])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_for_people(capture: Capture, capsys: Output) -> None:
    assert main(["info", str(capture.path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        f"capture    x.tshark, {capture.uuid}",
        "traces     8, 20",
        "model      synthetic: Synthetic, 4 layers, 2 heads, d_model 16, vocabulary 64",
        "sites      resid_pre, attn_out, mlp_out, resid_post, attn: 4 layers, float32",
        "label      category: credential 2, injection 2, code 1",
        "of the plain layout's",
        "integrity  ok: journals and 8 manifests; --full reads every byte",
    ):
        assert words in out


def test_as_data(capture: Capture, capsys: Output) -> None:
    found = facts(capture, capsys)
    traces = [capture.trace(each) for each in capture.ids()]
    sizes = capture.sizes()
    assert found["uuid"] == capture.uuid
    assert found["traces"] == 8
    assert found["tokens"] == sum(len(trace.token_ids) for trace in traces)
    assert found["models"][0]["fingerprint"] == capture.model("synthetic").fingerprint
    assert found["models"][0]["traces"] == 8
    assert found["sites"][0] == {"name": "resid_pre", "layers": 4, "dtype": "float32", "traces": 8}
    assert found["labels"]["split"] == {"demo": 8}
    assert found["sizes"]["plain"] == sizes.plain
    assert found["sizes"]["ratio"] == sizes.tensors / sizes.plain
    assert found["integrity"] == {"ok": True, "full": False, "checked": 8, "problems": []}


def test_an_empty_capture(tmp_path: Path, capsys: Output) -> None:
    capture = Capture.create(tmp_path / "empty.tshark")
    assert main(["info", str(capture.path)]) == 0
    assert "traces     0\n" in capsys.readouterr().out
    assert facts(capture, capsys)["sizes"]["ratio"] is None


def test_a_damaged_manifest_is_found_and_named(capture: Capture, capsys: Output) -> None:
    trace = capture.trace(capture.ids()[3])
    path = trace.folder / "trace.json"
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert main(["info", str(capture.path)]) == 4
    out = capsys.readouterr().out
    assert "integrity  1 damaged" in out
    assert trace.id in out.splitlines()[-1]
    assert facts(capture, capsys)["integrity"]["ok"] is False


@pytest.mark.parametrize("name", ["tensors.safetensors", "stats.safetensors"])
def test_damaged_numbers_are_found_by_a_full_check(name: str, capture: Capture, capsys: Output) -> None:
    trace = capture.trace(capture.ids()[5])
    path = trace.folder / name
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["info", str(capture.path), "--full"]) == 4
    out = capsys.readouterr().out
    assert "integrity  1 damaged" in out
    assert trace.id in out.splitlines()[-1]


def test_a_damaged_lens_is_found_by_a_full_check(capture: Capture, capsys: Output) -> None:
    path = capture.path / "models" / "synthetic" / "lens.safetensors"
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert facts(capture, capsys)["integrity"]["ok"] is True
    assert "synthetic" in facts(capture, capsys, "--full")["integrity"]["problems"][0]


def test_a_broken_chain_is_found(capture: Capture, capsys: Output) -> None:
    (journal,) = (capture.path / "journal").iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.chmod(0o600)
    journal.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    assert main(["info", str(capture.path)]) == 4
    assert "damaged" in capsys.readouterr().out


def test_a_large_capture_is_sampled_and_says_so(
    capture: Capture, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_synthetic(capture, traces=12, seed=7)
    monkeypatch.setattr(info, "QUICK", 10)
    assert main(["info", str(capture.path)]) == 0
    out = capsys.readouterr().out
    assert "10 of 20 manifests" in out
    assert "in 10 of them" in out
    assert facts(capture, capsys, "--full")["integrity"]["checked"] == 20


def test_no_capture(tmp_path: Path, capsys: Output) -> None:
    assert main(["info", str(tmp_path / "no.tshark")]) == 3
    assert capsys.readouterr().out == ""
