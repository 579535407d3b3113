"""`tensorshark similar`: what is closest to a trace, and why not where there is nothing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorshark.forensics.closeness import cosine, distance
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.traces.text import safe_text
from tensorshark.tui.cli import main, similar

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "x.tshark", traces=12, prompts=["a b c", "d \x1b[2J e", "=f g"])


def ask(capture: Capture, capsys: Output, *words: str, code: int = 0) -> tuple[str, str]:
    """What it prints to stdout and stderr."""
    assert main(["similar", str(capture.path), *words]) == code
    printed = capsys.readouterr()
    return printed.out, printed.err


def data(capture: Capture, capsys: Output, *words: str) -> Any:
    return json.loads(ask(capture, capsys, *words, "-T", "json")[0])


def _vectors(capture: Capture, layer: int, at: int = -1) -> list[Any]:
    return [capture.trace(name).load(f"blocks.{layer}.hook_resid_post")[at] for name in capture.ids()]


def test_the_closest_come_first(capture: Capture, capsys: Output) -> None:
    vectors = _vectors(capture, 2)
    scores = {number: float(cosine(vector, vectors[6])) for number, vector in enumerate(vectors, 1)}
    del scores[7]
    ranked = sorted(scores, key=lambda number: -scores[number])
    found = data(capture, capsys, "#7", "-k", "4")
    assert [hit["number"] for hit in found["hits"]] == ranked[:4]
    assert [hit["score"] for hit in found["hits"]] == [scores[number] for number in ranked[:4]]
    assert found["trace"] == {"number": 7, "id": capture.ids()[6]}
    assert (found["site"], found["layer"], found["position"], found["metric"]) == (
        "resid_post",
        2,
        "-1",
        "cos",
    )
    assert (found["compared"], found["absent"]) == (11, 0)
    assert [hit["prompt"] for hit in found["hits"]] == [
        capture.trace(capture.ids()[number - 1]).prompt for number in ranked[:4]
    ]


def test_by_id_and_by_distance(capture: Capture, capsys: Output) -> None:
    vectors = np.array(_vectors(capture, 3, 0))
    far = distance(vectors, vectors[6])
    name = capture.ids()[6][:9]
    found = data(capture, capsys, name, "--layer", "-1", "--pos", "prompt[0]", "--metric", "l2", "-k", "99")
    assert [hit["number"] for hit in found["hits"]] == [at + 1 for at in np.argsort(far).tolist() if at != 6]
    assert (found["layer"], found["position"]) == (3, "prompt[0]")


def test_a_table_says_which_layer(capture: Capture, capsys: Output) -> None:
    out, err = ask(capture, capsys, "#2", "-k", "3")
    lines = out.splitlines()
    assert lines[0].split() == ["score", "No", "id", "label", "prompt"] and len(lines) == 4
    assert "compared resid_post#2[-1] of trace #2 with 11 traces" in err and "--layer" in err
    assert "\x1b" not in out
    assert "--layer" not in ask(capture, capsys, "#2", "--layer", "2")[1]
    assert ask(capture, capsys, "#2", "-k", "3")[0] == out, "the second time, from the cache"


def test_csv_is_safe_to_open(capture: Capture, capsys: Output) -> None:
    rows = list(csv.reader(io.StringIO(ask(capture, capsys, "#1", "-T", "csv", "-k", "99")[0])))
    assert rows[0] == ["score", "number", "id", "label", "prompt"] and len(rows) == 12
    prompts = {row[4] for row in rows[1:]}
    assert prompts == {"a b c", safe_text("d \x1b[2J e"), "'=f g"}


def test_only_what_the_filter_matches(capture: Capture, capsys: Output) -> None:
    found = data(capture, capsys, "#1", "-Y", "number in {2..4}")
    assert sorted(hit["number"] for hit in found["hits"]) == [2, 3, 4]
    with Index.open(capture) as index:
        vectors = index.vectors(similar_cell(index))
        assert len(vectors.missing()) == 8, "the others were not opened"
    assert data(capture, capsys, "#1", "-Y", "number == 1 or number == 4")["compared"] == 1
    out, _ = ask(capture, capsys, "#1", "-Y", "number == 99", code=1)
    assert len(out.splitlines()) == 1
    ask(capture, capsys, "#1", "-Y", "number ==", code=2)


def similar_cell(index: Index) -> Any:
    from tensorshark.forensics.similar import cell_of

    return cell_of(index.trace(1))


def test_rebuild_reads_anew(capture: Capture, capsys: Output) -> None:
    first = data(capture, capsys, "#1")
    (block,) = capture.path.rglob("*.block")
    assert data(capture, capsys, "#1", "--rebuild") == first
    assert block not in list(capture.path.rglob("*.block"))


def test_long_work_is_announced(capture: Capture, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "LONG_S", 0.0)
    err = ask(capture, capsys, "#1")[1]
    assert "of 12 traces for the first time: about" in err and " s, " in err and " kB are kept" in err
    assert "first time" not in ask(capture, capsys, "#1")[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["#1", "--layer", "4"], 3, "resid_post of layer 4 was not captured; it has layers 0 to 3"),
        (["#1", "--site", "pattern"], 2, "sites that have: resid_pre, attn_out"),
        (["#1", "--pos", "response[-1]"], 3, "no token response[-1]"),
        (["#1", "--pos", "prompt"], 2, "expected e.g. -1, 0 or prompt[-1]"),
        (["#13"], 3, "#1 to #12"),
        (["xyz"], 3, "no trace 'xyz'"),
        (["#1", "-k", "0"], 2, "-k"),
        (["#1", "--metric", "dot"], 2, "--metric"),
    ],
)
def test_refusals_say_what_there_is(
    capture: Capture, capsys: Output, words: list[str], code: int, said: str
) -> None:
    out, err = ask(capture, capsys, *words, code=code)
    assert not out and said in err


def test_the_shell_completes_sites(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    words = "tensorshark similar x.tshark '#1' --site resid"
    monkeypatch.setenv("_TENSORSHARK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", "5")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["plain,resid_pre", "plain,resid_post"]


def test_no_capture(tmp_path: Path, capsys: Output) -> None:
    assert main(["similar", str(tmp_path / "none.tshark"), "#1"]) == 3


def test_damage_is_absent_and_said(capture: Capture, capsys: Output) -> None:
    for number in (3, 5):
        path = capture.trace(capture.ids()[number - 1]).folder / "tensors.safetensors"
        path.write_bytes(path.read_bytes()[:-40])
    found = data(capture, capsys, "#1", "-k", "99")
    assert (found["compared"], found["absent"]) == (9, 2)
    assert "2 have no such vector" in ask(capture, capsys, "#1")[1]
    assert "has no vector" in ask(capture, capsys, "#3", code=3)[1]
