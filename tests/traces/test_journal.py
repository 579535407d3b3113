"""The journal: order, the hash chain, torn tails and damage."""

import hashlib
import itertools
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tensorshark.traces import journal
from tensorshark.traces.errors import IntegrityError, StorageError, UntrustedError
from tensorshark.traces.journal import Journal, JournalFile, JournalWriter
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic


def _ids(count: int, first: int = 0) -> list[str]:
    return [f"{index:016x}" for index in range(first, first + count)]


def _write(folder: Path, writer: str, ids: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    one = JournalWriter(folder, writer, "uuid", "tool", sync=False)
    for trace_id in ids:
        one.append(trace_id, "ab" * 32, size=3, tensors=2, plain=4)
    one.close()
    return folder / f"{writer}.jsonl"


def _damage(path: Path, line: int, old: bytes, new: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    path.write_bytes(b"".join(lines))


def test_each_line_has_the_hash_of_the_one_before(capture: Capture) -> None:
    (path,) = (capture.path / "journal").iterdir()
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    header = json.loads(lines[0])
    assert header["writer"] == path.stem
    assert header["capture"] == capture.uuid
    assert {"host", "user", "pid", "tool", "started_at"} <= header.keys()
    for before, line in itertools.pairwise(lines):
        assert json.loads(line)["prev"] == hashlib.sha256(before).hexdigest()
        assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode()
    assert [json.loads(line)["seq"] for line in lines[1:]] == list(range(1, 9))


def test_lines_are_read_once_and_new_ones_when_they_come(tmp_path: Path) -> None:
    whole = Journal(tmp_path)
    assert whole.refresh() == []
    path = _write(tmp_path / "journal", "w", _ids(3))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    assert [entry.id for entry in whole.refresh()] == _ids(1)
    path.write_bytes(b"".join(lines))
    assert [entry.id for entry in whole.refresh()] == _ids(2, 1)
    assert whole.refresh() == []
    assert whole.problems() == []


def test_every_torn_tail_is_left_alone(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(2))
    data = path.read_bytes()
    last = data[:-1].rfind(b"\n") + 1
    for size in range(last, len(data)):
        path.write_bytes(data[:size])
        whole = Journal(tmp_path)
        assert [entry.id for entry in whole.refresh()] == _ids(1)
        assert whole.problems() == []


def test_a_tail_that_is_completed_is_read_from_its_start(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(2))
    data = path.read_bytes()
    file = JournalFile(path)
    path.write_bytes(data[:-20])
    assert len(file.refresh(tmp_path)) == 1
    path.write_bytes(data)
    assert [entry.id for entry in file.refresh(tmp_path)] == _ids(1, 1)
    assert file.problems == []


def test_reading_goes_on_where_another_reader_stopped(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(5))
    first = JournalFile(path)
    assert len(first.refresh(tmp_path, limit=900)) < 5
    second = JournalFile(path, first.offset, first.lines, first.prev)
    rest = second.refresh(tmp_path)
    assert rest[-1].id == _ids(5)[-1]
    assert second.problems == []


@pytest.mark.parametrize(
    ("line", "old", "new", "lost", "says"),
    [
        (0, b'"user":"', b'"user":"x', [], "line 2 does not follow"),
        (2, b'"seq":2', b'"seq":7', [], "line 4 does not follow"),
        (2, b'{"comm', b'{{comm', [1], "line 3 cannot be read"),
        (2, b'"size":3', b'"size":"', [1], "line 3 cannot be read"),
        (2, _ids(1, 1)[0].encode(), b"../../etc/passwd", [1], "line 3 names"),
        (2, b'"writer":"w"', b'"writer":"v"', [1], "line 3 names"),
    ],
)  # fmt: skip
def test_damage_is_named_and_costs_no_other_line(
    tmp_path: Path, line: int, old: bytes, new: bytes, lost: list[int], says: str
) -> None:
    path = _write(tmp_path / "journal", "w", _ids(4))
    _damage(path, line, old, new)
    whole = Journal(tmp_path)
    assert [entry.id for entry in whole.refresh()] == [
        name for i, name in enumerate(_ids(4)) if i not in lost
    ]
    assert any(says in problem for problem in whole.problems())


def test_a_journal_that_got_shorter_is_named_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(4))
    whole = Journal(tmp_path)
    whole.refresh()
    path.write_bytes(path.read_bytes()[:300])
    assert whole.refresh() == whole.refresh() == []
    assert whole.problems() == ["journal/w.jsonl: is shorter than it was"]


def test_one_entry_is_found_without_reading_the_others(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(4))
    _damage(path, 1, b'{"comm', b"{{comm")
    whole = Journal(tmp_path)
    found = whole.find(_ids(4)[2])
    assert found is not None
    assert (found.seq, found.size, found.tensors, found.plain) == (3, 3, 2, 4)
    assert whole.files == {}
    assert whole.find("f" * 16) is None
    with pytest.raises(IntegrityError, match=_ids(1)[0]):
        whole.find(_ids(1)[0])


def test_a_torn_line_is_not_found(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(2))
    path.write_bytes(path.read_bytes()[:-1])
    assert Journal(tmp_path).find(_ids(2)[1]) is None


def test_capture_order_is_commit_time_then_writer_whatever_the_files_are_called(capture: Capture) -> None:
    before = capture.ids()
    for seed in (5, 6, 7):
        before += append_synthetic(capture, traces=2, seed=seed)
    assert capture.ids() == before
    assert Capture.open(capture.path).ids() == before
    assert [capture.trace(trace_id).number for trace_id in before] == list(range(1, 15))


def test_one_writers_lines_keep_their_order_when_its_clock_jumps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(journal.datetime):  # type: ignore[name-defined, misc]
        hours = iter([12, 12, 3, 1, 14])

        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return cls(2026, 1, 1, next(cls.hours), tzinfo=journal.UTC)

    monkeypatch.setattr(journal, "datetime", Clock)
    _write(tmp_path / "journal", "w", _ids(4))
    entries = Journal(tmp_path).refresh()
    assert sorted(entries, key=lambda entry: entry.place) == entries
    assert len({entry.committed_at for entry in entries}) == 4


def test_the_same_id_from_two_writers_counts_once(capture: Capture) -> None:
    again = capture.journal()[2]
    _write(capture.path / "journal", "zz", [again.id])
    assert len(Capture.open(capture.path)) == 8
    assert Capture.open(capture.path).trace(again.id).number == 3


def test_a_pipe_or_a_link_among_the_journals_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "journal", "w", _ids(1))
    (tmp_path / "journal" / "x.jsonl").symlink_to(path)
    whole = Journal(tmp_path)
    for _ in range(2):
        with pytest.raises(UntrustedError, match="link"):
            whole.refresh()
    (tmp_path / "journal" / "x.jsonl").unlink()
    assert [entry.id for entry in whole.refresh()] == _ids(1)  # what was read before the error is not lost


def test_a_line_that_does_not_fit_is_taken_back_and_the_writer_stops(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    (tmp_path / "journal").mkdir()
    one = JournalWriter(tmp_path / "journal", "w", "uuid", "tool")
    one.append(_ids(1)[0], "ab" * 32, size=1, tensors=1, plain=1)
    whole = (tmp_path / "journal" / "w.jsonl").read_bytes()
    with file_limit(len(whole) + 50), pytest.raises(StorageError, match="make room"):
        one.append(_ids(2)[1], "ab" * 32, size=1, tensors=1, plain=1)
    assert (tmp_path / "journal" / "w.jsonl").read_bytes() == whole
    with pytest.raises(StorageError, match="start again"):
        one.append(_ids(2)[1], "ab" * 32, size=1, tensors=1, plain=1)
    one.close()
