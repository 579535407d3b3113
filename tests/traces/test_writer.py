"""The staged commit under every fault: whole or not there, and the next run completes."""

import errno
import importlib.util
import itertools
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorshark.traces import writer as writer_module
from tensorshark.traces.errors import (
    IntegrityError,
    NotFoundError,
    StorageError,
    TensorsharkError,
    UsageError,
)
from tensorshark.traces.store import Capture, Writer
from tensorshark.traces.synthetic import append_synthetic, commit_synthetic, synthetic_trace, write_synthetic
from tensorshark.traces.trace import folder

_SPEC = importlib.util.spec_from_file_location("traces_faults", Path(__file__).with_name("faults.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
faults = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(faults)


def _check(path: Path) -> list[str]:
    """Every journaled trace loads and verifies, and nothing is half there; returns the ids."""
    capture = Capture.open(path)
    for trace in capture.select():
        for name in trace.tensor_names:
            trace.load(name)
        assert trace.stats
    assert capture.problems() == []
    return capture.ids()


def _folders(path: Path) -> set[str]:
    return {place.name for place in (path / "traces").glob("??/*")}


def _left(path: Path) -> list[str]:
    return sorted(place.name for place in (path / "staging").iterdir())


@pytest.fixture
def empty(memory_path: Path) -> Capture:
    """A capture with a model and no trace."""
    return write_synthetic(memory_path / "e.tshark", traces=0, layers=2)


# --- committing ---


def test_a_commit_fills_in_the_manifest_once(empty: Capture) -> None:
    made = synthetic_trace(empty, "a b c", {"k": "v"}, seed=1)
    with empty.writer() as writer:
        full = writer.commit(*made)
        assert full is not None
        assert (len(full.tensors), len(full.derived)) == (5, 3)
        assert [file.name for file in full.files] == ["tensors.safetensors", "stats.safetensors"]
        assert writer.commit(*made) is None
    with empty.writer() as writer:
        assert writer.commit(*made) is None
    assert _check(empty.path) == [full.id]
    assert empty.trace(full.id).manifest == full
    assert len(list((empty.path / "journal").iterdir())) == 1
    assert _left(empty.path) == []


def test_the_disk_is_told_in_this_order(empty: Capture) -> None:
    seen: list[tuple[str, str]] = []

    def note(name: str, args: tuple[Any, ...]) -> None:
        what = str(args[0])
        if name in ("write", "fsync", "fdatasync"):
            what = str(Path(f"/proc/self/fd/{args[0]}").readlink())
        seen.append((name, what))

    made = synthetic_trace(empty, "a b c", {}, seed=1)
    final = folder(empty.path, made[0].id)
    with empty.writer() as writer:
        commit_synthetic(writer, traces=1)  # opens the journal
        staged = writer._staging.folder / made[0].id
        with faults.watched(note):
            writer.commit(*made)
    flushed = [event for event in seen if event[0] in ("fsync", "fdatasync", "rename")]
    journal = next(iter((empty.path / "journal").iterdir()))
    assert flushed == [
        ("fsync", str(staged / "tensors.safetensors")),
        ("fsync", str(staged / "stats.safetensors")),
        ("fsync", str(staged / "trace.json")),
        ("fsync", str(staged)),
        ("fsync", str(empty.path / "traces")),
        ("rename", str(staged)),
        ("fsync", str(final.parent)),
        ("fdatasync", str(journal)),
    ]
    assert [event for event in seen if event[1] == str(journal)] == [
        ("write", str(journal)),
        ("fdatasync", str(journal)),
    ]
    assert seen.index(("write", str(journal))) > seen.index(("fsync", str(final.parent)))


def test_a_commit_in_two_halves(empty: Capture) -> None:
    """What is staged does not count and is not staged twice; finishing it does what commit does."""
    made = synthetic_trace(empty, "a b c", {}, seed=1)
    with empty.writer() as writer:
        staged = writer.stage(*made)
        assert staged is not None
        assert writer.stage(*made) is None
        assert _check(empty.path) == [] and _folders(empty.path) == set()
        assert writer.finish(staged) == staged.manifest
        assert writer.stage(*made) is None
        assert _check(empty.path) == [made[0].id]
        forgotten = writer.stage(*synthetic_trace(empty, "d e", {}, seed=2))
        assert forgotten is not None and forgotten.place.is_dir()
    assert _left(empty.path) == []
    assert _check(empty.path) == [made[0].id]


def test_one_thread_stages_while_another_finishes(empty: Capture) -> None:
    made = [synthetic_trace(empty, f"word {seed}", {}, seed=seed) for seed in range(40)]
    waiting: queue.SimpleQueue[writer_module.Staged | None] = queue.SimpleQueue()

    def finish() -> None:
        while (staged := waiting.get()) is not None:
            writer.finish(staged)

    with empty.writer() as writer:
        thread = threading.Thread(target=finish)
        thread.start()
        for trace in made:
            waiting.put(writer.stage(*trace))
        waiting.put(None)
        thread.join()
    assert _check(empty.path) == [trace[0].id for trace in made]


def test_without_sync_nothing_is_flushed(empty: Capture) -> None:
    seen: list[str] = []
    with faults.watched(lambda name, args: seen.append(name)), empty.writer(sync=False) as writer:
        commit_synthetic(writer, traces=2)
    assert "rename" in seen
    assert not {"fsync", "fdatasync"} & set(seen)


def test_a_trace_of_a_model_that_is_not_there_is_not_committed(empty: Capture) -> None:
    manifest, tensors, stats = synthetic_trace(empty, "a", {}, seed=1)
    odd = writer_module.msgspec.structs.replace(manifest, model="other")
    with empty.writer() as writer, pytest.raises(NotFoundError, match=r"'other'.*synthetic"):
        writer.commit(odd, tensors, stats)
    assert _folders(empty.path) == set()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prompt": "\ud800"}, UsageError),
        ({"labels": {"k": "\udc80"}}, UsageError),
        ({"prompt": "x" * (17 << 20)}, UsageError),
        ({"tokens": []}, TensorsharkError),
        ({"id": "0123456789abcdeX"}, UsageError),
        ({"id": "../../outside"}, UsageError),
    ],
)
def test_what_a_manifest_cannot_say_is_not_committed(empty: Capture, change: Any, error: Any) -> None:
    manifest, tensors, stats = synthetic_trace(empty, "a", {}, seed=1)
    odd = writer_module.msgspec.structs.replace(manifest, **change)
    with empty.writer() as writer:
        before = sorted(empty.path.rglob("*"))
        with pytest.raises(error):
            writer.commit(odd, tensors, stats)
        assert sorted(empty.path.rglob("*")) == before
        assert list(writer._staging.folder.iterdir()) == []
        assert commit_synthetic(writer, traces=1)
    assert len(_check(empty.path)) == 1


def test_a_tensor_of_no_site_or_type_is_not_committed(empty: Capture) -> None:
    manifest, _, stats = synthetic_trace(empty, "a", {}, seed=1)
    with empty.writer() as writer:
        for odd in ({"blocks.0.hook_x": np.zeros(1)}, {"blocks.0.hook_mlp_out": np.zeros(1, complex)}):
            with pytest.raises(UsageError):
                writer.commit(manifest, odd, stats)
    assert _folders(empty.path) == set()


# --- a full or failing disk ---


def test_a_full_disk_costs_one_trace_and_no_other(
    empty: Capture, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    small = [synthetic_trace(empty, "a", {}, seed=seed) for seed in (1, 2)]
    large = synthetic_trace(empty, "word " * 400, {}, seed=3)
    with empty.writer() as writer:
        assert writer.commit(*small[0]) is not None
        with file_limit(100_000), pytest.raises(StorageError, match=r"safe; make room") as caught:
            writer.commit(*large)
        assert caught.value.exit_code == 5
        assert list(writer._staging.folder.iterdir()) == []
        assert writer.commit(*small[1]) is not None
        assert writer.commit(*large) is not None
    assert _check(empty.path) == [trace[0].id for trace in (*small, large)]
    assert _left(empty.path) == []


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_call_is_a_storage_error_and_leaves_a_whole_capture(
    empty: Capture, memory_path: Path, number: int, forever: bool
) -> None:
    made = [synthetic_trace(empty, f"word {seed}", {}, seed=seed) for seed in range(3)]
    clean = False
    for n in itertools.count(1):
        path = memory_path / f"{n}.tshark"
        shutil.copytree(empty.path, path)
        countdown = faults.Countdown(n, faults.fail(number), forever)
        committed: list[str] = []
        with faults.watched(countdown):
            try:
                with Capture.open(path).writer() as writer:
                    for trace in made:
                        full = writer.commit(*trace)
                        assert full is not None
                        committed.append(full.id)
            except TensorsharkError as error:
                assert error.exit_code == 5, error
        clean = not countdown.reached
        there = _check(path)
        assert there[: len(committed)] == committed, f"after an error at call {n}"
        assert len(there) - len(committed) <= int(forever)  # a line that could not be taken back
        append = Capture.open(path)
        with append.writer() as writer:
            for trace in made:
                writer.commit(*trace)
        assert set(_check(path)) == _folders(path) == {trace[0].id for trace in made}
        assert _left(path) == []
        shutil.rmtree(path)
        if clean:
            break
    assert n > 40


# --- a writer that is killed ---


def test_killed_at_any_call_a_trace_is_whole_or_not_there_and_the_next_run_completes(
    empty: Capture, memory_path: Path
) -> None:
    made = [synthetic_trace(empty, f"word {seed}", {}, seed=seed) for seed in range(2)]

    def run(path: Path) -> None:
        with Capture.open(path).writer() as writer:
            for trace in made:
                writer.commit(*trace)

    adopted = 0
    for n in itertools.count(1):
        path = memory_path / f"{n}.tshark"
        shutil.copytree(empty.path, path)

        def killed(path: Path = path, n: int = n) -> None:
            with faults.watched(faults.Countdown(n, faults.die)):
                run(path)

        status = faults.in_child(killed)
        before = _check(path)
        orphans = _folders(path) - set(before)
        assert len(orphans) <= 1
        adopted += len(orphans)
        assert append_synthetic(Capture.open(path), traces=0) == []  # any next writer takes over
        assert set(_check(path)) == _folders(path) == set(before) | orphans
        assert _left(path) == []
        run(path)
        assert set(_check(path)) == {trace[0].id for trace in made}
        shutil.rmtree(path)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert n > 30
    assert adopted >= 4  # two traces, killed before flush and line


def test_an_interrupt_between_rename_and_line_is_taken_over(
    empty: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = synthetic_trace(empty, "a b", {}, seed=1)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer_module.JournalWriter, "append", interrupt)
        with pytest.raises(KeyboardInterrupt), empty.writer() as writer:
            writer.commit(*made)
    assert _check(empty.path) == []
    assert len(_left(empty.path)) == 1
    append_synthetic(empty, traces=0)
    assert _check(empty.path) == [made[0].id]
    assert _left(empty.path) == []


def _orphan(capture: Capture, prompt: str = "a b") -> str:
    """A trace in place without a journal line."""
    made = synthetic_trace(capture, prompt, {}, seed=1)
    with capture.writer() as writer:
        staged = writer._staging.folder / made[0].id
        staged.mkdir()
        writer._stage(staged, *made)
        writer._move(staged, folder(capture.path, made[0].id))
        writer._unsettled.clear()
    assert made[0].id in _folders(capture.path)
    return made[0].id


def test_an_orphan_without_a_trail_is_adopted_when_it_is_captured_again(empty: Capture) -> None:
    orphan = _orphan(empty)
    assert _check(empty.path) == []
    with empty.writer() as writer:
        assert writer.commit(*synthetic_trace(empty, "a b", {}, seed=1)) is None
    assert _check(empty.path) == [orphan]
    entry = empty.journal()[0]
    assert entry.size == sum(path.stat().st_size for path in folder(empty.path, orphan).iterdir())
    assert entry.plain == 4 * 2 * 2 * 16 * 4


@pytest.mark.parametrize("name", ["trace.json", "tensors.safetensors", "stats.safetensors"])
def test_an_orphan_that_is_not_whole_is_captured_anew(empty: Capture, name: str) -> None:
    orphan = _orphan(empty)
    path = folder(empty.path, orphan) / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with empty.writer() as writer:
        full = writer.commit(*synthetic_trace(empty, "a b", {}, seed=1))
    assert full is not None
    assert _check(empty.path) == [orphan]
    (aside,) = (empty.path / "staging" / "set-aside").iterdir()
    assert aside.name.startswith(f"{orphan}-")
    assert len(list(aside.iterdir())) == 3


def test_adoption_finds_damage_to_any_byte(memory_path: Path) -> None:
    capture = write_synthetic(memory_path / "a", traces=0, layers=1, d_model=2, vocab=4)
    place = folder(capture.path, _orphan(capture))
    with capture.writer(sync=False) as writer:
        manifest, _ = writer._verify(place, place.name)
        for file in manifest.files:
            path = place / file.name
            good = path.read_bytes()
            assert len(good) == file.size
            for position in range(len(good)):
                odd = bytes([good[position] ^ 1 << position % 8])
                path.write_bytes(good[:position] + odd + good[position + 1 :])
                with pytest.raises(IntegrityError, match=place.name):
                    writer._verify(place, place.name)
            for other in (good[:-1], good + b"\0", b""):
                path.write_bytes(other)
                with pytest.raises(IntegrityError, match=place.name):
                    writer._verify(place, place.name)
            path.write_bytes(good)
        assert writer._verify(place, place.name)[0] == manifest


def test_a_writer_goes_on_after_a_flush_that_failed(empty: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [synthetic_trace(empty, f"word {seed}", {}, seed=seed) for seed in range(3)]
    real = writer_module.fsync_dir
    with empty.writer() as writer:
        assert writer.commit(*made[0]) is not None
        parent = folder(empty.path, made[1][0].id).parent

        def refuse(path: Path) -> None:
            if path == parent:
                raise OSError(errno.EIO, "bad disk")
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(writer_module, "fsync_dir", refuse)
            with pytest.raises(StorageError, match="bad disk"):
                writer.commit(*made[1])
        assert _folders(empty.path) == {made[0][0].id}
        assert writer.commit(*made[1]) is not None
        assert writer.commit(*made[2]) is not None
    assert _check(empty.path) == [trace[0].id for trace in made]
    assert _left(empty.path) == []


def test_a_young_orphan_is_left_to_the_other_writer_that_lives(
    empty: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = _orphan(empty)
    again = synthetic_trace(empty, "a b", {}, seed=1)
    with empty.writer() as other, empty.writer() as writer:
        assert writer.commit(*again) is None
        assert _check(empty.path) == []
        monkeypatch.setattr(writer_module, "_YOUNG", -1.0)
        assert writer.commit(*again) is None
        assert _check(empty.path) == [orphan]
        assert commit_synthetic(other, traces=1)
    assert len(_check(empty.path)) == 2


# --- several writers ---


def test_writers_of_the_same_experiments_make_each_trace_once(empty: Capture) -> None:
    def run() -> None:
        append_synthetic(Capture.open(empty.path), traces=12, seed=4)

    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run()
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
    ids = _check(empty.path)
    assert len(ids) == len(set(ids)) == 12
    assert set(ids) == _folders(empty.path)
    lines = [
        line for path in (empty.path / "journal").iterdir() for line in path.read_text().splitlines()[1:]
    ]
    assert len(lines) == 12
    assert _left(empty.path) == []


def test_a_reader_sees_only_whole_traces_while_a_writer_writes(empty: Capture) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            append_synthetic(Capture.open(empty.path), traces=60, seed=4)
        finally:
            os._exit(0)
    reader = Capture.open(empty.path)
    seen = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        for trace_id in reader.ids()[seen:]:
            trace = reader.trace(trace_id)
            assert trace.number == seen + 1
            trace.load("blocks.1.hook_resid_post")
            seen += 1
    assert len(reader) == 60


def test_the_staging_of_the_living_and_of_other_hosts_is_not_touched(empty: Capture) -> None:
    living = empty.writer()
    (living._staging.folder / "work").mkdir()
    other = empty.path / "staging" / "elsewhere-12-0123abcd"
    other.mkdir()
    other.with_name(other.name + ".lock").touch()
    append_synthetic(empty, traces=1)
    assert (living._staging.folder / "work").is_dir()
    assert other.is_dir()
    living.close()
    living.close()
    assert _left(empty.path) == [other.name, other.name + ".lock"]


def test_a_capture_that_cannot_be_written_says_so(empty: Capture, tmp_path: Path) -> None:
    if os.geteuid() == 0 and sys.platform == "linux":
        (empty.path / "staging").rmdir()
        (empty.path / "staging").symlink_to(tmp_path)
        with pytest.raises(TensorsharkError, match="not a folder"):
            empty.writer()
    else:
        (empty.path / "staging").chmod(0o500)
        with pytest.raises(StorageError, match="cannot be written"):
            empty.writer()


def test_a_writer_is_exported_where_people_look() -> None:
    from tensorshark import traces

    assert traces.Writer is Writer
