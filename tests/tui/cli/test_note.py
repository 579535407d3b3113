"""`tensorshark note`: what people say about traces, and what is listed of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.case import Case, Spot
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "a.tshark", traces=6)


def _listed(capture: Capture, capsys: Output, *more: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["note", str(capture.path), "--json", *more]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_mark_is_set_by_number_and_by_id_and_found_by_a_filter(capture: Capture, capsys: Output) -> None:
    third = capture.ids()[2]
    assert main(["note", str(capture.path), "#2", third[:6], "--mark"]) == 0
    assert capsys.readouterr().err == "tensorshark: 2 traces marked mark\n"
    assert main(["note", str(capture.path), "#2", "--mark", "suspect"]) == 0
    assert main(["read", str(capture.path), "-Y", "mark", "-T", "fields", "-e", "number"]) == 0
    assert capsys.readouterr().out.split() == ["2", "3"]
    assert main(["read", str(capture.path), "-Y", "mark.suspect", "-T", "fields", "-e", "mark.suspect"]) == 0
    assert capsys.readouterr().out.split() == ["true"]
    assert main(["note", str(capture.path), "#2", "#3", "--unmark"]) == 0
    assert [said["text"] for said in _listed(capture, capsys)] == ["suspect"]


def test_all_that_a_command_says_is_one_action(capture: Capture, capsys: Output) -> None:
    line = ["note", str(capture.path), "#1", "#2", "--mark", "--tag", "a", "--tag", "b c", "--text", "why"]
    assert main(line) == 0
    assert len(_listed(capture, capsys)) == 8
    assert main(["note", str(capture.path), "--undo"]) == 0
    assert "taken back: 4 events" in capsys.readouterr().err
    assert _listed(capture, capsys) == []
    assert main(["note", str(capture.path), "--redo"]) == 0
    assert len(_listed(capture, capsys)) == 8
    assert main(["note", str(capture.path), "--redo"]) == 1


def test_tokens_and_layers_count_from_either_end(capture: Capture, capsys: Output) -> None:
    tokens = len(capture.trace(capture.ids()[0]).token_ids)
    line = ["note", str(capture.path), "#1", "--mark", "odd", "--token", "-1", "--layer", "-1"]
    assert main(line) == 0
    assert Case.open(capture).marks(capture.ids()[0])[0].spot == Spot(tokens - 1, 3)
    (said,) = _listed(capture, capsys, "#1")
    assert (said["token"], said["layer"], said["number"]) == (tokens - 1, 3, 1)
    assert main(["note", str(capture.path)]) == 0
    assert f"[{tokens - 1}]#3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["--mark"], 2, "name the traces"),
        (["#1", "-Y", "bos", "--mark"], 2, "not both"),
        (["#1", "--undo"], 2, "stand alone"),
        (["--undo", "--redo"], 2, "stand alone"),
        (["#1", "--token", "1"], 2, "name one"),
        (["#1", "--mark", "--layer", "1"], 2, "--layer needs --token"),
        (["#1", "--mark", "a-b"], 2, "letters a-z"),
        (["#1", "--text", " "], 2, "empty"),
        (["#1", "--tag", "\udcff"], 2, "UTF-8"),
        (["#1", "--mark", "--token", "99"], 3, "there is no token 99"),
        (["#1", "--mark", "--token", "0", "--layer", "4"], 3, "trace #1 has 4 layers; there is no layer 4"),
        (["#99", "--mark"], 3, "99"),
        (["zzz", "--mark"], 3, "zzz"),
        (["-Y", "seq_len >> 3", "--mark"], 2, "unexpected"),
        (["-Y", "seq_len > 999", "--mark"], 1, "no trace of 6 matches"),
        (["#1", "--unmark"], 1, "nothing changed"),
        (["#1", "--strike", "1"], 3, "trace #1 has 0 notes"),
        (["#1", "#2", "--strike", "1"], 2, "one trace"),
        (["--undo"], 1, "nothing of yours"),
    ],
)
def test_what_cannot_be_said(capture: Capture, capsys: Output, line: list[str], code: int, says: str) -> None:
    assert main(["note", str(capture.path), *line]) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (capture.path.parent / "a.case").exists()


def test_a_filter_says_it_of_many(capture: Capture, capsys: Output) -> None:
    line = ["note", str(capture.path), "-Y", "seq_len > 0", "--tag", "all of them", "--token", "-1"]
    assert main(line) == 0
    assert len(_listed(capture, capsys)) == 6
    assert len(_listed(capture, capsys, "-Y", 'tag == "all of them" and number < 3')) == 2
    assert main(["note", str(capture.path), "--undo"]) == 0
    assert _listed(capture, capsys) == []


def test_a_note_is_struck_by_its_number(capture: Capture, capsys: Output) -> None:
    for text in ("first", "second"):
        main(["note", str(capture.path), "#4", "--text", text])
    assert [said["note"] for said in _listed(capture, capsys)] == [1, 2]
    assert main(["note", str(capture.path), "#4", "--strike", "1"]) == 0
    assert "struck: first" in capsys.readouterr().err
    assert [said["text"] for said in _listed(capture, capsys)] == ["second"]


def test_nothing_said_is_an_empty_list_and_makes_no_file(capture: Capture, capsys: Output) -> None:
    assert main(["note", str(capture.path)]) == 0
    assert capsys.readouterr().out.split() == ["trace", "at", "what", "by", "time", "text"]
    assert _listed(capture, capsys, "#1") == []
    assert not (capture.path.parent / "a.case").exists()


def test_hostile_text_is_shown_as_escapes(capture: Capture, capsys: Output) -> None:
    text = "\x1b]52;c;aGk=\x07 \u202e [b]x[/b]"
    assert main(["note", str(capture.path), "#1", "--text", text, "--tag", text]) == 0
    shown = capsys.readouterr()
    assert main(["note", str(capture.path)]) == 0
    listed = capsys.readouterr().out
    for output in (shown.err, shown.out, listed):
        assert not {"\x1b", "\x07", "\u202e"} & set(output)
    assert {said["text"] for said in _listed(capture, capsys)} == {text}


def test_what_is_said_of_a_trace_that_is_not_here_is_listed_by_its_id(
    capture: Capture, tmp_path: Path, capsys: Output
) -> None:
    main(["note", str(capture.path), "#1", "#6", "--mark"])
    smaller = write_synthetic(tmp_path / "b.tshark", traces=1)
    shutil.copytree(tmp_path / "a.case", tmp_path / "b.case")
    assert [said["number"] for said in _listed(smaller, capsys)] == [1, 0]
    assert main(["note", str(smaller.path)]) == 0
    assert capture.ids()[5] in capsys.readouterr().out
