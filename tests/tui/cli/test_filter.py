"""`tensorshark filter`: check and explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight traces in six categories."""
    return str(write_synthetic(tmp_path_factory.mktemp("filter") / "x.tshark").path)


def test_a_good_filter_is_said_in_words(capsys: Output) -> None:
    assert main(["filter", "check", "seq_len > 5 and not bos"]) == 0
    out, err = capsys.readouterr()
    assert out == "ok: traces whose number of tokens exceeds 5 and without a BOS token\n"
    assert err == ""


@pytest.mark.parametrize(
    ("text", "caret", "word"), [("seq_len >", 9, "unfinished"), ("no.such > 5", 0, "no field")]
)
def test_a_bad_filter_is_pointed_at(text: str, caret: int, word: str, capsys: Output) -> None:
    assert main(["filter", "check", text]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[1] == f"  {text}"
    assert lines[2].index("^") == caret + 2
    assert word in lines[3]


def test_a_capture_says_more(capture: str, capsys: Output) -> None:
    assert main(["filter", "check", 'label.nowhere == "x"', capture]) == 0
    assert "no trace here has label.nowhere" in capsys.readouterr().out
    assert main(["filter", "check", "seq_len > 1", f"{capture}.not"]) == 3


def test_the_plan_for_people(capture: str, capsys: Output) -> None:
    text = 'label.category == "injection" and (max(resid_post.norm) > 1 or not token[0] == "x")'
    assert main(["filter", "explain", capture, text, "--count"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("traces labelled injection and (")
    assert lines[1].startswith("8 traces, about ")
    assert lines[3].split() == ["turn", "clause", "asks", "opens", "reads", "about", "true", "of", "by"]
    assert lines[4].strip() == "and"
    assert '├ label.category == "injection"' in lines[5]
    assert lines[5].endswith("index: SQL")
    assert "└ or" in lines[6]
    assert "statistics files" in lines[7]
    assert '└ token[0] == "x"' in lines[9]


def test_the_plan_for_programs(capture: str, capsys: Output) -> None:
    assert main(["filter", "explain", capture, "seq_len > 1 or bos", "--json", "--count"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["total"] == 8
    assert plan["tree"]["kind"] == "or"
    assert [part["clause"] for part in plan["tree"]["parts"]] == ["seq_len > 1", "bos"]
    assert [each["count"] for each in plan["counts"]] == [8, 0]


def test_a_bad_filter_has_no_plan(capture: str, capsys: Output) -> None:
    assert main(["filter", "explain", capture, "seq_len >"]) == 2
    assert "^" in capsys.readouterr().err


def test_what_is_typed_comes_back_harmless(capture: str, capsys: Output) -> None:
    assert main(["filter", "explain", capture, 'prompt contains "\x1b]52;c;aGk=\x07"']) == 0
    assert main(["filter", "check", 'prompt contains "\x1b[2J"']) == 0
    assert main(["filter", "check", "\x1b[2J >"]) == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_help_and_completion_know_it(tmp_path: Path, capsys: Output) -> None:
    assert main(["filter", "--help"]) == 0
    out = capsys.readouterr().out
    assert "check" in out
    assert "explain" in out
