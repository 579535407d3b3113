"""Hashes are remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tensorshark.forensics.capture import hashes
from tensorshark.forensics.capture.home import cache_dir, config_dir
from tensorshark.traces.errors import NotFoundError


def test_hashes_and_sizes(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"weights")
    [file] = hashes.stored_files([path])
    assert (file.name, file.size) == ("w.bin", 7)
    assert file.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_file_is_read_once(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"weights")
    first = hashes.stored_files([path])
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert hashes.stored_files([path]) == first


def test_a_changed_file_is_read_again(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"weights")
    [before] = hashes.stored_files([path])
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    [after] = hashes.stored_files([path])
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("damage", [b"not json", b"[1]"])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, home: Path, damage: bytes) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"weights")
    first = hashes.stored_files([path])
    (home / "hashes.json").write_bytes(damage)
    assert hashes.stored_files([path]) == first
    assert isinstance(json.loads((home / "hashes.json").read_bytes()), dict)


def test_a_file_that_is_not_there(tmp_path: Path, home: Path) -> None:
    with pytest.raises(NotFoundError, match=r"w\.bin: cannot be read"):
        hashes.stored_files([tmp_path / "w.bin"])


def test_home_moves_everything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == config_dir() == home
    monkeypatch.delenv("TENSORSHARK_HOME")
    assert home not in (cache_dir(), config_dir())
    assert cache_dir().name == "tensorshark"
