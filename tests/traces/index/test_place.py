"""Where an index may live, and that nobody else's is believed."""

import os
from pathlib import Path

import pytest

from tensorshark.traces.index import place

UUID = "0b7e7d0e-7c62-4a35-9c0e-2f9f2f0f8a11"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    folder = tmp_path / "c.tshark"
    folder.mkdir()
    return folder


def test_inside_the_capture_when_it_can_be_written(capture: Path) -> None:
    found = place.find(capture, UUID)
    assert (found.folder, found.temporary) == (capture / ".index", False)
    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert found.generation() is None


def test_in_the_cache_when_something_else_is_in_the_way(capture: Path, cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (capture / ".index").symlink_to(elsewhere)
    found = place.find(capture, UUID)
    assert found.folder.parent == cache / "tensorshark" / "index"
    assert not list(elsewhere.iterdir())
    assert place.find(capture, "../../x").folder.parent == found.folder.parent  # no path comes from a file


def test_in_a_temporary_folder_when_nothing_can_be_kept(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    found = place.find(capture, UUID)
    assert found.temporary and found.folder.is_dir()
    found.discard()
    assert not found.folder.exists()


def test_on_a_disk_of_this_host(capture: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"proc /proc proc rw 0 0\ndisk / ext4 rw 0 0\nserver:/x {capture} nfs4 rw 0 0\n"
    real = Path.read_text

    def read(self: Path, *args: str) -> str:
        return mounts if str(self) == "/proc/self/mounts" else real(self, *args)

    monkeypatch.setattr(Path, "read_text", read)
    assert place.find(capture, UUID).folder.is_relative_to(cache)


def test_the_key_is_private_and_made_once(capture: Path, cache: Path) -> None:
    first, second = place.find(capture, UUID), place.find(capture, UUID)
    key = cache / "tensorshark" / "index.key"
    assert first.key == second.key == key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["index.key"]


def test_only_our_own_signature_counts(capture: Path, cache: Path) -> None:
    found = place.find(capture, UUID)
    made = found.new_generation()
    assert found.generation() is None
    found.adopt(made)
    assert found.generation() == made
    assert place.Place(found.folder, "another", found.key).generation() is None
    assert place.Place(found.folder, UUID, os.urandom(32)).generation() is None
    current = found.folder / "current.json"
    text = current.read_text()
    for forged in (
        text.replace(made.name, "../../../etc"),
        text.replace('"version":3', '"version":1'),
        "{}",
        "",
    ):
        current.write_text(forged)
        assert found.generation() is None


def test_a_new_generation_replaces_the_old_one(capture: Path) -> None:
    found = place.find(capture, UUID)
    first = found.new_generation()
    found.adopt(first)
    second = found.new_generation()
    (found.folder / "notes").mkdir()
    found.adopt(second)
    assert not first.exists()
    assert (found.folder / "notes").exists()  # nothing that is not ours is removed


def test_one_process_at_a_time_writes(capture: Path) -> None:
    found = place.find(capture, UUID)
    with found.locked(0) as held:
        assert held
        with found.locked(0.01) as again:
            assert not again
    with found.locked(0) as held:
        assert held
