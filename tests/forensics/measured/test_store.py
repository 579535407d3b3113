"""Measured values on disk: shared between processes, never believed when damaged, never more than fits."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.measured import store as module
from tensorshark.forensics.measured.store import Key, Store
from tensorshark.traces.index.place import Place

KEY = Key("a", "digest", "a.x", 1, False, "pos()")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "index"
    folder.mkdir()
    return Place(folder, "uuid", b"k" * 32)


def cells(store: Store, key: Key = KEY, trace: int = 1) -> list[float]:
    column = store.column(key)
    found: list[float] = column.cells(column.places(np.array([trace], np.uint64)))[..., 0].tolist()
    return found


def test_another_process_sees_it(place: Place) -> None:
    one, two = Store(place), Store(place)
    assert cells(one) == [] and cells(two) == []
    one.add(KEY, [(1, np.array([1.0, 2.0]))])
    assert cells(one) == cells(two) == [1.0, 2.0]
    two.add(KEY, [(2, np.array([3.0])), (3, "failed")])
    assert cells(one, trace=2) == [3.0] and one.column(KEY).reasons == ["failed"]
    assert cells(Store(place)) == [1.0, 2.0]
    assert oct(one.path.stat().st_mode & 0o077) == "0o0", "for this user's eyes"


def test_keys_are_kept_apart(place: Place) -> None:
    store = Store(place)
    store.add(KEY, [(1, np.array([1.0]))])
    for other in (
        Key("b", "digest", "a.x", 1, False, "pos()"),
        Key("a", "other", "a.x", 1, False, "pos()"),
        Key("a", "digest", "a.y", 1, False, "pos()"),
        Key("a", "digest", "a.x", 1, False, "pos(1)"),
    ):
        assert cells(store, other) == []
    assert cells(Store(Place(place.folder, "other", place.key))) == []
    assert cells(Store(Place(place.folder, "uuid", b"x" * 32))) == [], "a stranger's file is not ours"


def test_what_is_remembered_is_not_written(place: Place) -> None:
    store = Store(place)
    store.remember(KEY, [(1, "passing")])
    assert store.column(KEY).reasons == ["passing"] and not store.path.exists()
    store.forget_memory()
    assert store.column(KEY).reasons == []


def test_a_damaged_file_is_measured_again(place: Place) -> None:
    Store(place).add(KEY, [(1, np.array([1.0]))])
    store = Store(place)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE chunks SET body = zeroblob(length(body))")
    connection.close()
    assert cells(store) == [] and not store.path.exists()
    store.add(KEY, [(1, np.array([2.0]))])
    store.path.write_bytes(b"this is no database, and long enough to be looked at as one" * 10)
    again = Store(place)
    assert cells(again) == []
    again.add(KEY, [(1, np.array([3.0]))])
    assert cells(Store(place)) == [3.0]


def test_a_place_that_cannot_be_written_is_memory(place: Place) -> None:
    place.folder.chmod(0o500)
    try:
        store = Store(Place(place.folder / "gone", "uuid", place.key))
        store.add(KEY, [(1, np.array([1.0]))])
        assert cells(store) == [1.0]
    finally:
        place.folder.chmod(0o700)


def test_columns_used_longest_ago_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ON_DISK", 4000)
    store = Store(place)
    keys = [Key("a", "digest", f"a.x{at}", 1, False, "") for at in range(4)]
    for key in keys:
        store.add(key, [(1, np.arange(300.0))])  # 1200 bytes of float32
    kept = [bool(cells(Store(place), key)) for key in keys]
    assert kept == [False, True, True, True]


def test_hints_do_not_read_what_is_kept(place: Place) -> None:
    one = Store(place)
    assert one.told(KEY) == (0, {})
    one.add(KEY, [(1, np.array([1.0])), (2, "failed"), (3, "failed")])
    one.add(KEY, [(4, "other")])
    two = Store(place)
    assert two.told(KEY) == one.told(KEY) == (4, {"failed": 2, "other": 1})
    assert not two._columns, "it was not read"
    assert cells(two) == [1.0] and two.told(KEY) == (4, {"failed": 2, "other": 1})
    with sqlite3.connect(one.path) as connection:
        connection.execute("UPDATE chunks SET reasons = 'not this'")
    connection.close()
    assert Store(place).told(KEY) == (0, {})
