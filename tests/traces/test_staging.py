"""Staging folders: one per writer, locked while it lives, removed only when it does not."""

import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from tensorshark.traces import staging
from tensorshark.traces.errors import UntrustedError
from tensorshark.traces.staging import Staging


def _names(capture: Path) -> list[str]:
    return sorted(path.name for path in (capture / "staging").iterdir())


def _killed(capture: Path) -> str:
    """The name of a writer that was killed at work."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            mine = Staging(capture)
            (mine.folder / "half").mkdir()
            (mine.folder / "half" / "file").write_text("x")
            os.write(write, mine.name.encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    name = os.read(read, 200).decode()
    os.close(read)
    os.close(write)
    return name


def test_a_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    with Staging(tmp_path) as mine:
        assert mine.folder.is_dir()
        assert _names(tmp_path) == [mine.name, f"{mine.name}.lock"]
        (mine.folder / "x").write_text("x")
    assert _names(tmp_path) == []
    mine.close()


def test_two_in_one_process_do_not_see_each_other_as_dead(tmp_path: Path) -> None:
    with Staging(tmp_path) as one, Staging(tmp_path) as two:
        assert one.name != two.name
        assert one.abandoned() == two.abandoned() == []
        assert not one.alone([])


def test_what_a_killed_writer_left_is_found_once_and_removed(tmp_path: Path) -> None:
    name = _killed(tmp_path)
    with Staging(tmp_path) as mine, Staging(tmp_path) as other:
        (gone,) = mine.abandoned()
        assert gone.name == name
        assert other.abandoned() == []  # we hold it
        assert not mine.alone([gone])
        other.close()
        assert mine.alone([gone])
        assert (tmp_path / "staging" / name / "half" / "file").exists()
        gone.remove()
        assert _names(tmp_path) == [mine.name, f"{mine.name}.lock"]


def test_what_is_released_is_there_for_the_next_one(tmp_path: Path) -> None:
    name = _killed(tmp_path)
    with Staging(tmp_path) as mine:
        for _ in range(2):
            (gone,) = mine.abandoned()
            assert gone.name == name
            gone.release()


def test_an_unsettled_writer_looks_killed_to_the_next(tmp_path: Path) -> None:
    mine = Staging(tmp_path)
    mine.close(settled=False)
    assert _names(tmp_path) == [f"{mine.name}.lock"]
    with Staging(tmp_path) as other:
        (gone,) = other.abandoned()
        gone.remove()
    assert _names(tmp_path) == []


def test_another_hosts_writer_is_not_ours_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "Other Host.example")
        name = _killed(tmp_path)
    assert name.startswith("other-host-example-")
    with Staging(tmp_path) as mine:
        assert mine.abandoned() == []
        assert not mine.alone([])


def test_without_locks_nobody_is_declared_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(staging.fcntl, "flock", refuse)
    with Staging(tmp_path) as mine:
        assert mine.folder.is_dir()
        assert mine.abandoned() == []


def test_links_in_staging_are_not_followed(tmp_path: Path) -> None:
    name = _killed(tmp_path)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (tmp_path / "staging" / name / "link").symlink_to(precious)
    lock = tmp_path / "staging" / f"{name[:-8]}00000000.lock"
    lock.symlink_to(precious / "file")
    with Staging(tmp_path) as mine:
        for gone in mine.abandoned():
            gone.remove()
    assert (precious / "file").read_text() == "x"
    assert lock.is_symlink()


def test_a_staging_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "staging").symlink_to("elsewhere")
    with pytest.raises(UntrustedError):
        Staging(tmp_path)
