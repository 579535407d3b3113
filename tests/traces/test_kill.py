"""kill -9 at 50 random moments of a capture: what was committed is whole, the rest is not there."""

import os
import random
import signal
import time
from pathlib import Path

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, commit_synthetic, write_synthetic

MOMENTS = 50


def _commit_for_ever(path: Path, seed: int, told: int) -> None:
    """Writer after writer, seven traces each; every id goes to `told` once its commit has returned."""
    capture = Capture.open(path)
    while True:
        with capture.writer() as writer:
            for _ in range(7):
                seed += 1
                for trace_id in commit_synthetic(writer, seed=seed):
                    os.write(told, trace_id.encode())


def _killed_after(commits: int, seconds: float, path: Path, seed: int) -> list[str]:
    """Commit in a child and kill it `seconds` after its first `commits`; returns the ids that it was told."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _commit_for_ever(path, seed, write)
        finally:
            os._exit(1)
    os.close(write)
    said = b""
    while len(said) < 16 * commits:  # however slow the machine is, there is something to lose
        said += os.read(read, 1 << 16)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    while more := os.read(read, 1 << 16):
        said += more
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return [said[at : at + 16].decode() for at in range(0, len(said), 16)]


def _verify(capture: Capture, ids: list[str]) -> None:
    for trace in map(capture.trace, ids):
        for name in trace.tensor_names:
            trace.load(name)
        assert trace.stats["norm.resid_post"].shape[0] == len(trace.sites["resid_post"].layers)
        assert len(list(trace.folder.iterdir())) == 3
    assert capture.problems() == []


def _folders(capture: Capture) -> set[str]:
    return {place.name for place in (capture.path / "traces").glob("??/*")}


def test_a_capture_survives_kill_9_at_any_moment(memory_path: Path) -> None:
    capture = write_synthetic(memory_path / "a.tshark", traces=1, layers=3, d_model=32)
    rng = random.Random(7)
    promised = capture.ids()
    verified = 0
    for attempt in range(MOMENTS):
        commits, seconds = rng.randrange(4), rng.uniform(0.001, 0.03)
        promised += _killed_after(commits, seconds, capture.path, seed=10_000 * (attempt + 1))
        fresh = Capture.open(capture.path)
        ids = fresh.ids()
        assert set(promised) <= set(ids), "a committed trace was lost"
        assert len(_folders(fresh) - set(ids)) <= 1, "more than the one that was between rename and line"
        _verify(fresh, ids[verified:])
        verified = len(ids)
    orphans = _folders(fresh) - set(ids)

    new = append_synthetic(fresh, traces=5, seed=3)
    assert len(new) == 5
    final = Capture.open(capture.path)
    _verify(final, final.ids())
    assert set(final.ids()) == _folders(final) == set(ids) | orphans | set(new)
    assert list((capture.path / "staging").iterdir()) == []
    assert len(final) > MOMENTS
