"""Opening files of strangers, and writing our own."""

import gc
import itertools
import os
import stat
from pathlib import Path

import pytest

from tensorshark.traces import files
from tensorshark.traces.errors import IntegrityError, NotFoundError, StorageError, UntrustedError


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.read_file(tmp_path / "a", 3) == b"abc"
    assert files.read_file(tmp_path / "a", 3, tmp_path) == b"abc"


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(UntrustedError, match="cap"):
        files.read_file(tmp_path / "a", 2)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        files.read_file(tmp_path / "nothing", 9)
    with pytest.raises(NotFoundError):
        files.read_file(tmp_path / "no" / "thing", 9, tmp_path)
    assert files.list_dir(tmp_path / "nothing") == []


@pytest.mark.timeout(10)
def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UntrustedError, match="not a regular file"):
        files.read_file(tmp_path / "pipe", 9)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "."])
def test_devices_and_folders_are_refused(target: str) -> None:
    with pytest.raises(UntrustedError, match="not a regular file"):
        files.read_file(Path(target), 9)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("link", "dangling"):
        with pytest.raises(UntrustedError, match="link"):
            files.read_file(tmp_path / name, 9)


def test_a_link_on_the_way_is_refused(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    elsewhere = tmp_path / "elsewhere"
    (capture / "traces").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "a").write_bytes(b"abc")
    (capture / "traces" / "ab").symlink_to(elsewhere)
    with pytest.raises(UntrustedError, match="link"):
        files.read_file(capture / "traces" / "ab" / "a", 9, capture)
    with pytest.raises(UntrustedError, match="link"):
        files.list_dir(capture / "traces" / "ab")
    with pytest.raises(UntrustedError, match="not a folder"):
        files.make_dir(capture / "traces" / "ab")


def test_the_capture_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("real")
    assert files.read_file(tmp_path / "link" / "a", 9, tmp_path / "link") == b"abc"


def test_a_file_that_shrinks_while_it_is_open_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10_000))
    with files.ReadFile(tmp_path / "a") as file:
        os.truncate(tmp_path / "a", 5_000)
        with pytest.raises(IntegrityError, match="ends at byte 5,000"):
            file.read(10_000)


def test_a_size_that_is_not_there_is_not_allocated(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with files.ReadFile(tmp_path / "a") as file, pytest.raises(IntegrityError, match="ends at byte 3"):
        file.read(1 << 60)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    gc.collect()  # what other tests left
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        files.read_file(tmp_path / "a", 9, tmp_path)
        with pytest.raises(UntrustedError):
            files.read_file(tmp_path / "pipe", 9, tmp_path)
        with pytest.raises(NotFoundError):
            files.read_file(tmp_path / "x" / "y", 9, tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_is_written_is_private_and_never_replaces(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        files.make_dir(tmp_path / "folder")
        files.write_file(tmp_path / "folder" / "a", b"ab", memoryview(b"cd"))
        files.replace_file(tmp_path / "folder" / "b", b"1")
        files.replace_file(tmp_path / "folder" / "b", b"2")
    finally:
        os.umask(old)
    assert (tmp_path / "folder" / "a").read_bytes() == b"abcd"
    assert (tmp_path / "folder" / "b").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "folder").iterdir()} == {0o600}
    assert files.list_dir(tmp_path / "folder") == ["a", "b"]
    with pytest.raises(FileExistsError):
        files.write_file(tmp_path / "folder" / "a", b"x")


def test_an_error_while_writing_names_the_place_and_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"nowhere.*committed before is safe"),
        files.writing(tmp_path / "nowhere"),
    ):
        files.write_file(tmp_path / "nowhere" / "a", b"x")
    with pytest.raises(StorageError, match="make room"), files.writing(tmp_path):
        fd = os.open("/dev/full", os.O_WRONLY)
        try:
            files.write_all(fd, b"x")
        finally:
            os.close(fd)


def test_hostile_names_are_safe_in_messages(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        files.read_file(tmp_path / "a\x1b]52;c;eA==\x07", 9)
    assert "\x1b" not in str(caught.value)
    assert r"\x1b" in str(caught.value)


def test_many_parts_are_written_in_order_however_little_the_system_takes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [os.urandom(size) for size in (0, 1, 100_000, 7, 0, 32 << 10, 65, *range(40))]
    files.write_file(tmp_path / "a", *parts)
    assert (tmp_path / "a").read_bytes() == b"".join(parts)
    real = os.writev
    sizes = itertools.cycle((1, 3, 40_000, 70_000))
    monkeypatch.setattr(
        os, "writev", lambda fd, views: real(fd, [memoryview(b"".join(views))[: next(sizes)]])
    )
    files.write_file(tmp_path / "b", *parts)
    assert (tmp_path / "b").read_bytes() == b"".join(parts)
