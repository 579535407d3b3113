"""`tensorshark macro`: texts and filters kept by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorshark.forensics import config
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "a.tshark", traces=6)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('[macros]\nlong = "seq_len > $1"\nmine = { text = "bos", description = "x" }\n')
    monkeypatch.setenv(config.VARIABLE, str(path))
    return path


def test_a_macro_is_kept_printed_used_listed_and_removed(capture: Capture, capsys: Output) -> None:
    path = str(capture.path)
    assert main(["macro", path, "loud", "resid_post.norm#$1[-1] > $2", "--describe", "above a norm"]) == 0
    assert main(["macro", path, "loud"]) == 0
    assert capsys.readouterr().out == "resid_post.norm#$1[-1] > $2\n"
    assert main(["read", path, "-Y", "${loud(0, 0)}", "-T", "fields", "-e", "number"]) == 0
    assert capsys.readouterr().out.split() == list("123456")
    assert main(["macro", path]) == 0
    assert "${loud}" in (out := capsys.readouterr().out)
    assert "above a norm" in out
    assert main(["macro", path, "loud", "--remove"]) == 0
    assert main(["macro", path, "loud"]) == 3
    assert main(["note", path, "--undo"]) == 0
    assert main(["macro", path, "loud"]) == 0


def test_a_saved_filter_has_to_be_readable(capture: Capture, settings: Path, capsys: Output) -> None:
    path = str(capture.path)
    assert main(["macro", path, "--filter", "the long ones", "${long(3)}"]) == 0
    assert main(["macro", path, "--filter", "the long ones", "${long(3)}"]) == 1
    assert main(["macro", path, "--filter", "broken", "seq_len >> 3"]) == 2
    assert main(["macro", path, "--filter", "broken", "${short(3)}"]) == 2
    assert "there is no macro ${short}" in capsys.readouterr().err
    assert main(["macro", path, "--filter", "the long ones"]) == 0
    assert capsys.readouterr().out == "${long(3)}\n"


def test_the_users_own_are_listed_unless_the_case_has_that_name(
    capture: Capture, settings: Path, capsys: Output
) -> None:
    path = str(capture.path)
    main(["macro", path, "long", "seq_len > 100"])
    main(["macro", path, "--filter", "f", "bos"])
    capsys.readouterr()
    assert main(["macro", path, "--json"]) == 0
    found = [(kept["kind"], kept["name"], kept["source"]) for kept in json.loads(capsys.readouterr().out)]
    assert found == [("macro", "long", "case"), ("macro", "mine", "config"), ("filter", "f", "case")]
    assert main(["macro", path, "--filter", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["--remove"], 2, "NAME"),
        (["loud", "bos", "--remove"], 2, "no TEXT"),
        (["loud", "--json"], 2, "leave NAME away"),
        (["loud", "--describe", "x"], 2, "goes with NAME and TEXT"),
        (["a-b", "bos"], 2, "letters a-z"),
        (["loud", ""], 2, "empty"),
        (["loud", "x" * 9000], 2, "8,192"),
        (["loud", "--remove"], 3, "no macro 'loud'; it has none"),
        (["loud"], 3, "no macro 'loud'"),
        (["--filter", "x"], 3, "no saved filter 'x'"),
    ],
)
def test_what_cannot_be_kept(capture: Capture, capsys: Output, line: list[str], code: int, says: str) -> None:
    assert main(["macro", str(capture.path), *line]) == code
    assert says in capsys.readouterr().err
    assert not (capture.path.parent / "a.case").exists()


def test_settings_that_are_broken_are_one_line(capture: Capture, settings: Path, capsys: Output) -> None:
    settings.write_text("[macros")
    assert main(["macro", str(capture.path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["read", str(capture.path), "-Y", "seq_len > 0"]) == 0


def test_a_filter_is_checked_with_the_users_macros(settings: Path, capsys: Output) -> None:
    assert main(["filter", "check", "${long(3)} and ${mine}"]) == 0
    assert "whose number of tokens exceeds 3" in capsys.readouterr().out
