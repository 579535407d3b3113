"""Crash reports: where it happened, never what was being looked at."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tensorshark.traces.errors import IntegrityError, UsageError
from tensorshark.tui import crash


def fails(prompt: str) -> None:
    """Raises with the prompt in its message, its locals and its cause."""
    try:
        raise KeyError(prompt)
    except KeyError as error:
        raise ValueError(f"cannot handle {prompt}") from error


def caught(prompt: str) -> ValueError:
    """That exception."""
    with pytest.raises(ValueError, match="cannot") as info:
        fails(prompt)
    return info.value


def test_a_crash_is_reported_without_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    text = crash.report(caught("canary"), "read")
    (log,) = (tmp_path / "tensorshark").iterdir()
    assert "internal error: ValueError at " in text
    assert "in fails" in text
    assert str(log) in text
    kept = log.read_text()
    assert kept.index("KeyError") < kept.index("ValueError"), "the cause comes first"
    assert "in fails" in kept
    assert "canary" not in text + kept
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_without_a_place_for_a_log_the_frames_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocker))
    text = crash.report(caught("canary"), "read")
    assert "in fails" in text
    assert "no crash log" in text
    assert "canary" not in text


def test_our_own_errors_are_messages() -> None:
    assert crash.report(UsageError("name a capture"), "read") == "tensorshark: name a capture"


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("x"), 2), (IntegrityError("x"), 4), (ValueError("x"), 70)]
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert crash.exit_code(error) == code


def test_a_chain_that_bites_its_tail_ends() -> None:
    error = caught("x")
    assert error.__cause__ is not None
    error.__cause__.__cause__ = error
    assert "ValueError" in crash.report(error, "read")
