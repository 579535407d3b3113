"""From journals to rows: torn and endless lines, forged numbers, late files, and small slices."""

import time
from pathlib import Path

import msgspec
import pytest

from tensorshark.traces.index import Index, ingest
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, commit_synthetic, write_synthetic
from tests.traces.index.brute import ask, scan


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "c.tshark", traces=6)


def _journal(capture: Capture) -> Path:
    (path,) = (capture.path / "journal").iterdir()
    return path


def test_a_torn_last_line_waits_for_its_end(capture: Capture) -> None:
    journal = _journal(capture)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-30])
    with Index.open(Capture.open(capture.path)) as index:
        assert (len(index), index.behind) == (5, False)
        journal.write_bytes(whole)
        assert index.behind
        assert index.refresh() == 1
        assert ask(index) == scan(capture.path)


def test_a_damaged_line_hides_only_itself(capture: Capture) -> None:
    journal = _journal(capture)
    lines = journal.read_bytes().split(b"\n")
    lines[3] = lines[3][:-9] + b"!" + lines[3][-8:]
    journal.write_bytes(b"\n".join(lines))
    with Index.open(Capture.open(capture.path)) as index:
        assert len(index) == 5
        append_synthetic(Capture.open(capture.path), traces=2, seed=4)
        index.refresh()
        assert ask(index) == scan(capture.path)


def test_a_line_longer_than_a_chunk_is_passed(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_CHUNK", 100)
    monkeypatch.setattr(ingest, "_TAIL", 16)
    journal = _journal(capture)
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:3], b"x" * 5000, *lines[3:]]))
    with Index.open(Capture.open(capture.path)) as index:
        assert len(index) == 6
        append_synthetic(Capture.open(capture.path), traces=2, seed=4)
        index.refresh()
        assert ask(index) == scan(capture.path)


def test_a_journal_that_lost_lines_makes_the_index_anew(capture: Capture) -> None:
    journal = _journal(capture)
    with Index.open(capture) as index:
        lines = journal.read_bytes().split(b"\n")
        journal.write_bytes(b"\n".join([*lines[:3], b""]))
        index.refresh()
        assert ask(index) == scan(capture.path)
        assert len(index) == 2


def test_numbers_larger_than_a_database_holds(capture: Capture) -> None:
    journal = _journal(capture)
    lines = journal.read_bytes().split(b"\n")
    entry = msgspec.json.decode(lines[1])
    lines[1] = msgspec.json.encode(entry | {"size": 1 << 80})
    entry = msgspec.json.decode(lines[2])
    lines[2] = msgspec.json.encode(entry | {"seq": 1 << 80})
    journal.write_bytes(b"\n".join(lines))
    with Index.open(Capture.open(capture.path)) as index:
        assert ask(index) == scan(capture.path)


def test_a_slice_is_about_as_long_as_its_budget(capture: Capture) -> None:
    append_synthetic(capture, traces=600, seed=6)
    with Index.open(capture, refresh=False) as index:
        began = time.monotonic()
        gained = index.refresh(0.05)
        assert 0 < gained < 606
        assert time.monotonic() - began < 0.5


def test_many_late_entries_between_rows_that_are_there(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "c.tshark", traces=3)
    with capture.writer() as one, capture.writer() as two:
        for seed in range(5, 25):
            commit_synthetic(one if seed % 2 else two, traces=3, seed=seed)
    late = max((capture.path / "journal").iterdir(), key=lambda path: path.stat().st_size)
    aside = late.rename(tmp_path / late.name)
    with Index.open(Capture.open(capture.path)) as index:
        before = len(index)
        aside.rename(late)
        while index.behind:
            index.refresh(0.001)
        assert len(index) > before
        assert ask(index) == scan(capture.path)
        assert sum(index.labels()["category"].values()) == len(index)
