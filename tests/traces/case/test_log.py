"""The case's files: taken up again, torn, damaged, hostile, in the one place or the other."""

import itertools
import json
import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorshark.traces.case import Case, log
from tensorshark.traces.case.place import folders
from tensorshark.traces.chain import digest
from tensorshark.traces.errors import StorageError, UntrustedError, UsageError
from tensorshark.traces.store import Capture

ONE, TWO = (f"{index:016x}" for index in range(1, 3))


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return Capture.create(tmp_path / "a.tshark")


def _said(capture: Capture, *names: str, sync: bool = False) -> None:
    """One command per mark."""
    for name in names:
        with Case.open(capture, write=True, sync=sync) as case:
            case.mark([ONE], name)


def _files(capture: Capture) -> list[Path]:
    return sorted((capture.path.parent / "a.case").iterdir())


def _forged(capture: Capture, *events: dict[str, Any], **header: Any) -> Path:
    """A file whose chain is right and whose lines say anything at all."""
    folder = capture.path.parent / "a.case"
    folder.mkdir(mode=0o700, exist_ok=True)
    first = {"format": 1, "capture": "x", "writer": "w", "started_at": "", "host": "", "user": "", "tool": ""}
    lines = [json.dumps({**first, **header}).encode()]
    for seq, event in enumerate(events, 1):
        full = {
            "act": "mark", "at": f"2026-01-01T00:00:00.{seq:06}Z", "by": "eve", "writer": "w", "seq": seq,
            "prev": digest(lines[-1]), "step": seq, "traces": [ONE], "name": "m", **event,
        }  # fmt: skip
        lines.append(json.dumps({key: value for key, value in full.items() if value is not None}).encode())
    path = folder / "w.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_command_after_command_goes_on_with_the_same_file(capture: Capture) -> None:
    _said(capture, "a", "b", "c")
    (path,) = _files(capture)
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[0])["capture"] == capture.uuid
    for before, line in itertools.pairwise(lines):
        assert json.loads(line)["prev"] == digest(before)
    assert [json.loads(line)["seq"] for line in lines[1:]] == [1, 2, 3]
    assert Case.open(capture).problems() == []


def test_a_torn_file_is_left_alone_and_another_is_begun(capture: Capture) -> None:
    _said(capture, "a", "b")
    (path,) = _files(capture)
    data = path.read_bytes()
    for size in range(data[:-1].rfind(b"\n") + 2, len(data)):
        path.write_bytes(data[:size])
        case = Case.open(capture)
        assert case.mark_names() == ["a"]
        assert case.problems() == []
    _said(capture, "c")
    assert len(_files(capture)) == 2
    path.write_bytes(data)  # its writer was only slow
    case = Case.open(capture)
    assert case.mark_names() == ["a", "b", "c"]
    assert case.problems() == []


def test_a_damaged_line_is_named_and_costs_no_other(capture: Capture) -> None:
    _said(capture, "a", "b", "c")
    (path,) = _files(capture)
    path.write_bytes(path.read_bytes().replace(b'"name":"b"', b'"name":"d"'))
    case = Case.open(capture)
    assert case.mark_names() == ["a", "c", "d"]
    assert any("line 4 does not follow" in problem for problem in case.problems())
    path.write_bytes(path.read_bytes().replace(b'"name":"d"', b'"name":d"'))
    case = Case.open(capture)
    assert case.mark_names() == ["a", "c"]
    assert any("line 3 cannot be read" in problem for problem in case.problems())
    _said(capture, "e")
    assert len(_files(capture)) == 2


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"act": "explode"}, "newer version"),
        ({"surprise": 1}, "cannot be read"),
        ({"name": "a-b"}, "cannot be read"),
        ({"name": "a" * 65}, "cannot be read"),
        ({"traces": []}, "cannot be read"),
        ({"traces": ["../../etc/passwd"]}, "cannot be read"),
        ({"traces": [ONE + "\n"]}, "cannot be read"),
        ({"traces": ONE}, "cannot be read"),
        ({"token": -1}, "cannot be read"),
        ({"token": 1 << 40}, "cannot be read"),
        ({"token": True}, "cannot be read"),
        ({"at": "2026-13-01T00:00:00.000000Z"}, "cannot be read"),
        ({"at": "yesterday"}, "cannot be read"),
        ({"by": ""}, "cannot be read"),
        ({"by": "x" * 100}, "cannot be read"),
        ({"seq": 7, "step": 1}, "writer or number"),
        ({"step": 3}, "writer or number"),
        ({"writer": "v"}, "writer or number"),
        ({"act": "note", "name": None, "text": "x" * 20_000}, "cannot be read"),
        ({"act": "macro", "traces": None, "text": "x" * 9_000}, "cannot be read"),
    ],
)
def test_what_breaks_a_rule_is_left_out_and_named(capture: Capture, event: dict[str, Any], says: str) -> None:
    _forged(capture, {"name": "before"}, event)
    case = Case.open(capture)
    assert case.mark_names() == ["before"]
    assert len(case.events()) == 1
    assert any(says in problem for problem in case.problems())


def test_a_date_that_is_yet_to_come_is_named_and_does_not_drag_ours_along(capture: Capture) -> None:
    _forged(capture, {"at": "2999-01-01T00:00:00.000000Z", "name": "future"})
    case = Case.open(capture, write=True, sync=False)
    case.mark([ONE], "now")
    assert any("yet to come" in problem for problem in case.problems())
    (ours,) = [mark for mark in case.marks(ONE) if mark.name == "now"]
    assert ours.at < "2900"


def test_a_file_of_a_later_format_or_of_something_else_is_left_out(capture: Capture) -> None:
    _forged(capture, {}, format=2)
    case = Case.open(capture)
    assert case.events() == []
    assert any("newer tensorshark" in problem for problem in case.problems())
    _forged(capture, {}, format="1")
    case = Case.open(capture)
    assert case.events() == []
    assert any("not the beginning" in problem for problem in case.problems())


def test_links_and_pipes_are_not_followed(capture: Capture, tmp_path: Path) -> None:
    path = _forged(capture, {})
    outside = tmp_path / "outside.jsonl"
    path.rename(outside)
    path.symlink_to(outside)
    os.mkfifo(path.with_name("pipe.jsonl"))
    case = Case.open(capture)
    assert case.events() == []
    assert any("link" in problem for problem in case.problems())
    path.unlink()
    path.with_name("pipe.jsonl").unlink()
    folder = path.parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    case = Case.open(capture, write=True)
    assert any("link" in problem for problem in case.problems())
    with pytest.raises(UntrustedError, match="not a folder"):
        case.mark([ONE])


def test_a_case_beyond_the_cap_is_read_so_far_and_takes_no_more(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorshark.traces.case import case as module

    _said(capture, "a", "b", "c")
    for place in (log, module):
        monkeypatch.setattr(place, "MAX_BYTES", 1200)
    case = Case.open(capture, write=True, sync=False)
    assert case.mark_names() == ["a", "b", "c"]
    with pytest.raises(UsageError, match="full"):
        case.note([ONE], "x" * 1000)
    _forged(capture, *({"name": f"m{number}"} for number in range(9)))
    case = Case.open(capture)
    assert case.mark_names() == ["a", "b", "c"]
    assert any("left out" in problem for problem in case.problems())


def test_both_places_are_read(capture: Capture, tmp_path: Path) -> None:
    path = _forged(capture, {"name": "beside"})
    _, state = folders(capture.path, capture.uuid)
    state.parent.mkdir(parents=True, exist_ok=True)
    path.parent.rename(state)
    assert Case.open(capture).mark_names() == ["beside"]
    _said(capture, "here")
    assert Case.open(capture).mark_names() == ["beside", "here"]


def test_a_capture_reached_through_a_link_has_the_same_case(capture: Capture, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.tshark").symlink_to(capture.path)
    _said(capture, "a")
    assert Case.open(Capture.open(tmp_path / "elsewhere" / "b.tshark")).mark_names() == ["a"]


def test_a_full_disk_takes_nothing_half_and_the_next_word_goes_to_another_file(
    capture: Capture, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    case = Case.open(capture, write=True)
    case.mark([ONE], "a")
    (path,) = _files(capture)
    whole = path.read_bytes()
    with file_limit(len(whole) + 20), pytest.raises(StorageError, match="make room"):
        case.mark([ONE], "b")
    assert path.read_bytes() == whole
    assert case.mark_names() == ["a"]
    case.mark([ONE], "c")
    assert len(_files(capture)) == 2
    assert Case.open(capture).mark_names() == ["a", "c"]


def _mark_for_ever(capture: Capture, told: int) -> None:
    case = Case.open(capture, write=True, sync=False)
    for number in itertools.count():
        case.mark([f"{number:016x}"], f"by_{os.getpid()}")
        os.write(told, b".")


def test_what_was_said_is_there_after_kill_9_at_any_moment(capture: Capture) -> None:
    promised = {}
    for attempt in range(12):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _mark_for_ever(capture, write)
            finally:
                os._exit(1)
        os.close(write)
        said = b""
        while len(said) < 3 + attempt:
            said += os.read(read, 1 << 12)
        os.kill(pid, signal.SIGKILL)
        while more := os.read(read, 1 << 12):
            said += more
        os.close(read)
        os.waitpid(pid, 0)
        promised[f"by_{pid}"] = len(said)
    case = Case.open(capture)
    assert case.problems() == []
    for name, count in promised.items():
        assert count <= len(case.marked(name)) <= count + 1


def _say(capture: Capture, which: int) -> None:
    for number in range(25):
        with Case.open(capture, write=True, sync=False) as case:
            case.by = f"user {which}"
            case.mark([f"{number:016x}"], f"by_{which}")
            case.mark([ONE], "shared", token=number)
            case.tag([TWO], f"only for a while {which}")
            case.undo()


def test_several_processes_write_at_once(capture: Capture) -> None:
    children = []
    for which in range(4):
        if (pid := os.fork()) == 0:
            try:
                _say(capture, which)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    case = Case.open(capture)
    assert case.problems() == []
    assert {name: len(case.marked(name)) for name in case.mark_names() if name != "shared"} == {
        f"by_{which}": 25 for which in range(4)
    }
    assert case.tag_names() == []
    events = case.events()
    assert [event.place for event in events] == sorted(event.place for event in events)
    assert len(_files(capture)) < 40, "files that are free are taken up again"


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.binary(max_size=40)), max_size=4)
)
def test_no_bytes_in_a_file_raise(cuts: list[tuple[int, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        capture = Capture.create(Path(folder) / "a.tshark")
        with Case.open(capture, write=True, sync=False) as case:
            case.mark([ONE, TWO], "m", token=1, layer=2)
            case.note([ONE], "text")
            case.define_macro("x", "bos")
            case.undo()
        (path,) = _files(capture)
        data = path.read_bytes()
        for start, count, put in cuts:
            at = start % len(data)
            data = data[:at] + put + data[at + count :] or b"\n"
        path.write_bytes(data)
        case = Case.open(capture, write=True, sync=False)
        assert len(case.events()) <= 4 + data.count(b"\n")
        case.undo()
        case.mark([TWO], "after")
        assert "after" in Case.open(capture).mark_names()
        assert all(problem.isprintable() for problem in case.problems())
