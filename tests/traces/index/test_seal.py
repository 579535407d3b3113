"""Page checksums tell damage from work in progress, also after a kill between two steps."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from tensorshark.traces.index.database import Connection, Database
from tensorshark.traces.index.seal import PAGE, DamagedError, Seal


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "d.sqlite")


def _insert(connection: Connection, count: int, size: int = 1000) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t(a BLOB)")
    connection.executemany("INSERT INTO t VALUES (randomblob(?))", [(size,)] * count)


def test_every_byte_counts(database: Database) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 60)
    seal.close(connection)
    connection.close()
    good = database.path.read_bytes()
    assert len(good) > 3 * PAGE
    for at in (0, 20, PAGE - 1, PAGE, len(good) // 2, len(good) - 1):
        database.path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        assert Seal(database.path).damaged()
        with pytest.raises(DamagedError):
            Seal(database.path).verify()
    for data in (good[:-PAGE], good[:-1], good + bytes(PAGE), b""):
        database.path.write_bytes(data)
        assert Seal(database.path).damaged()
        with pytest.raises(DamagedError):
            Seal(database.path).verify()
    database.path.write_bytes(good)
    assert Seal(database.path).verify()
    assert not Seal(database.path).damaged()


def test_damaged_or_missing_checksums_are_damage(database: Database) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 5)
    seal.close(connection)
    data = seal.path.read_bytes()
    for at in range(0, len(data), 3):
        seal.path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert seal.damaged()
        _insert(connection, 1)
        with pytest.raises(DamagedError):
            seal.close(connection)  # nothing is blessed again
    seal.path.unlink()
    assert seal.damaged()


def test_later_pages_are_checked_too_and_only_changed_ones_are_written(database: Database) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 100)
    seal.close(connection)
    first = seal.path.read_bytes()
    _insert(connection, 400)
    seal.close(connection)
    assert len(seal.path.read_bytes()) > len(first)
    assert seal.log.stat().st_size == 0
    assert Seal(database.path).verify()


def test_slices_reach_the_end(database: Database) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 4000)
    seal.close(connection)
    assert database.path.stat().st_size > 3 << 20
    slices = 1
    while not seal.verify(deadline=0.0):
        slices += 1
    assert slices > 3


@pytest.mark.parametrize("step", ["committed", "checkpointed"])
def test_a_kill_before_the_checksums_are_written_is_not_damage(
    database: Database, tmp_path: Path, step: str
) -> None:
    connection = database.connect()
    _insert(connection, 50)
    Seal(database.path).close(connection)
    _insert(connection, 50)
    if step == "checkpointed":
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    killed = tmp_path / "killed"
    killed.mkdir()
    for file in tmp_path.glob("[dp]*.*"):
        shutil.copy(file, killed)
    again = Database(killed / "d.sqlite")
    seal = Seal(again.path)
    assert not seal.damaged()
    other = again.connect()
    seal.close(other)
    assert seal.verify()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (100,)
    other.close()


def test_a_reader_inside_a_transaction_delays_nothing_that_matters(database: Database) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 20)
    seal.close(connection)
    reader = sqlite3.connect(database.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM t").fetchone()
    connection.execute("PRAGMA busy_timeout = 1")
    _insert(connection, 200)
    seal.close(connection)
    assert not seal.damaged()
    reader.execute("COMMIT")
    _insert(connection, 1)
    seal.close(connection)
    assert seal.verify()


def test_a_reader_that_holds_old_pages_is_no_damage(database: Database) -> None:
    """A checkpoint cannot pass what a reader still sees; the reader may let go at any moment of sealing."""
    writer, reader, seal = database.connect(), database.connect(), Seal(database.path)
    _insert(writer, 60)
    seal.close(writer)
    for held in (0.05, 0.1, 0.4, 0.8):
        _insert(writer, 1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchall()
        _insert(writer, 300)
        release = threading.Timer(held, reader.execute, ["COMMIT"])
        release.start()
        seal.close(writer)
        assert not seal.damaged()
        release.join()
        seal.close(writer)
        assert not seal.damaged() and not seal.waiting()
    database.close()


def test_two_threads_miss_no_page_and_say_so_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, seal = database.connect(), Seal(database.path)
    _insert(connection, 6000)
    seal.close(connection)
    connection.close()
    good = database.path.read_bytes()
    assert len(good) > 5 << 20
    monkeypatch.setattr("tensorshark.traces.index.seal._SHARED", 0)
    assert Seal(database.path).verify()
    sliced = Seal(database.path)
    assert sum(1 for _ in iter(lambda: sliced.verify(deadline=0.0), True)) >= 1
    for at in range(PAGE // 2, len(good), 40 * PAGE):
        database.path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        damaged = Seal(database.path)
        for _ in range(3):
            with pytest.raises(DamagedError):
                while not damaged.verify(deadline=0.0):
                    pass
    for data in (good[:-PAGE], good[:-1], good + bytes(PAGE), b""):
        database.path.write_bytes(data)
        with pytest.raises(DamagedError):
            Seal(database.path).verify()
