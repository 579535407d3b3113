"""The command as a whole: which words mean what, and what errors become."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tensorshark.traces import errors
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui import cli
from tensorshark.tui.cli import COMMANDS, main

Output = pytest.CaptureFixture[str]


def test_help_lists_every_command_and_examples(capsys: Output) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert "Examples:" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str, capsys: Output) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"tensorshark {name}" in out or name == "open"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lines_are_not_endless(name: str, capsys: Output) -> None:
    main([name, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


def test_version(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tensorshark 0.")


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["--nope"],
        ["read"],
        ["read", "--nope"],
        ["info"],
        ["read", "a", "-r", "b"],
        ["read", "a", "--limit", "x"],
    ],
    ids=" ".join,
)
def test_usage_errors_are_said_on_stderr_with_code_2(words: list[str], capsys: Output) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "tensorshark: " in err


def test_what_was_typed_comes_back_printable(capsys: Output) -> None:
    assert main(["\x1b]0;x\x07"]) == 2
    assert main(["info", "/nope/\x1b]0;x\x07\n.tshark"]) == 3
    assert "\x1b" not in capsys.readouterr().err


def test_a_capture_alone_opens_the_workbench(tmp_path: Path, capsys: Output) -> None:
    """Here there is no terminal, which is what the workbench then says."""
    capture = write_synthetic(tmp_path / "x.tshark", traces=1).path
    assert main([str(capture)]) == 2
    assert "needs a terminal" in capsys.readouterr().err
    assert main(["missing.tshark"]) == 3
    assert "no such capture" in capsys.readouterr().err


def test_nothing_at_all_opens_the_only_capture_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 3
    assert "tensorshark demo" in capsys.readouterr().err
    write_synthetic(tmp_path / "x.tshark", traces=1)
    assert main([]) == 2
    assert "needs a terminal" in capsys.readouterr().err
    write_synthetic(tmp_path / "y.tshark", traces=1)
    assert main([]) == 2
    assert "x.tshark, y.tshark" in capsys.readouterr().err


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException], int]:
    """Exit code of a command that raises."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def run(error: BaseException) -> int:
        @click.command("info")
        def command() -> None:
            raise error

        monkeypatch.setattr(cli.Commands, "get_command", lambda *_: command)
        return main(["info"])

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.UsageError("a"), 2, "tensorshark: a\n"),
        (errors.NotFoundError("a"), 3, "tensorshark: a\n"),
        (errors.IntegrityError("a"), 4, "tensorshark: a\n"),
        (errors.StorageError("a"), 5, "tensorshark: a\n"),
        (errors.UntrustedError("a"), 6, "tensorshark: a\n"),
        (errors.AnalyzerError("a"), 7, "tensorshark: a\n"),
        (PermissionError(13, "Permission denied", "f\x1b"), 5, "tensorshark: Permission denied: f\\x1b\n"),
        (OSError(28, "No space left on device"), 5, "tensorshark: No space left on device\n"),
        (KeyboardInterrupt(), 130, "tensorshark: interrupted\n"),
    ],
    ids=repr,
)
def test_errors_become_one_line_and_a_code(
    error: BaseException, code: int, said: str, ends: Callable[[BaseException], int], capsys: Output
) -> None:
    assert ends(error) == code
    assert capsys.readouterr() == ("", said)


def test_a_filter_error_points_at_the_column(ends: Callable[[BaseException], int], capsys: Output) -> None:
    assert ends(errors.FilterError("no field seqlen", "a and seqlen > 3", column=6, length=6)) == 2
    assert capsys.readouterr().err.splitlines() == [
        "tensorshark: cannot use this:",
        "  a and seqlen > 3",
        "        ^^^^^^",
        "  no field seqlen",
    ]


def test_a_crash_is_code_70_without_values(ends: Callable[[BaseException], int], capsys: Output) -> None:
    assert ends(ValueError("canary")) == 70
    err = capsys.readouterr().err
    assert "internal error: ValueError" in err
    assert "canary" not in err


def test_a_reader_that_leaves_is_not_worth_a_word(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=3).path
    code = "from tensorshark.tui.cli import main; raise SystemExit(main())"
    read, write = os.pipe()
    os.close(read)
    child = subprocess.Popen(
        [sys.executable, "-c", code, "info", str(capture)], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert child.communicate(timeout=60)[1] == ""
    assert child.returncode == 141
