"""Lens readings are kept: what was on the screen is not computed again, and stays right."""

from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics import lens, readouts
from tensorshark.forensics.jobs import LensGrid, LensJob
from tensorshark.forensics.readouts import Readouts
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("readouts") / "c.tshark", traces=6)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], list[int]]]:
    """What was really computed: (layers, positions)."""
    done: list[tuple[list[int], list[int]]] = []
    real = lens.read

    def counted(trace: object, layers: list[int], positions: list[int], *more: object) -> object:
        done.append((list(layers), list(positions)))
        return real(trace, layers, positions, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(lens, "read", counted)
    return done


def _job(
    capture: Capture, layers: list[int], positions: list[int], number: int = 1, **more: object
) -> LensJob:
    trace = capture.ids()[number - 1]
    return LensJob(capture=str(capture.path), trace=trace, layers=layers, positions=positions, **more)  # type: ignore[arg-type]


def _grid(kept: Readouts, capture: Capture, job: LensJob) -> LensGrid:
    return kept.grid(capture, job, lambda done, total: None)


def _same(grid: LensGrid, capture: Capture, job: LensJob) -> None:
    right = lens.read(capture.trace(job.trace), job.layers, job.positions, job.top_k, job.track)
    for name in ("token_ids", "probs", "entropy", "kl", "kl_reverse", "rank", "tracked"):
        np.testing.assert_allclose(getattr(grid, name), getattr(right, name), rtol=1e-5, atol=1e-6)


def test_moving_computes_only_what_is_new(capture: Capture, read: list[tuple[list[int], list[int]]]) -> None:
    kept = Readouts()
    jobs = [
        _job(capture, [0, 1, 2, 3], [0, 1, 2]),
        _job(capture, [0, 1, 2, 3], [1, 2, 3]),
        _job(capture, [3, 1], [2, 0]),
    ]
    grids = [_grid(kept, capture, job) for job in jobs]
    assert read == [([0, 1, 2, 3], [0, 1, 2]), ([0, 1, 2, 3], [3])]
    for job, grid in zip(jobs, grids, strict=True):
        _same(grid, capture, job)


def test_other_questions_are_other_readings(
    capture: Capture, read: list[tuple[list[int], list[int]]]
) -> None:
    kept = Readouts()
    jobs = [
        _job(capture, [1], [1]),
        _job(capture, [1], [1], top_k=3),
        _job(capture, [1], [1], track=5),
        _job(capture, [1], [1], number=2),
    ]
    grids = [_grid(kept, capture, job) for job in jobs]
    assert len(read) == 4
    for job, grid in zip(jobs, grids, strict=True):
        _same(grid, capture, job)


def test_a_trace_too_long_to_keep_is_still_read(
    capture: Capture, read: list[tuple[list[int], list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readouts, "_CELLS", 10)
    kept = Readouts()
    job = _job(capture, [0, 3], [4, 2])
    for _ in range(2):
        _same(_grid(kept, capture, job), capture, job)
    assert len([layers for layers, _ in read if layers == [0, 3]]) >= 2


def test_reports_and_can_be_stopped_between_blocks(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens, "ROWS", 4)
    seen: list[tuple[int, int]] = []

    class StopError(Exception):
        pass

    def report(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 2:
            raise StopError

    kept = Readouts()
    job = _job(capture, [0, 1, 2, 3], [0, 1, 2, 3, 4])
    with pytest.raises(StopError):
        kept.grid(capture, job, report)
    assert seen == [(0, 5), (1, 5), (2, 5)]
    _same(_grid(kept, capture, job), capture, job)  # half a sheet is not taken for a whole one


def test_without_a_vocabulary_the_ids_have_to_do(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "c.tshark", traces=1)
    (capture.path / "models" / "synthetic" / "vocab.json").unlink()
    capture = Capture.open(capture.path)
    grid = _grid(Readouts(), capture, _job(capture, [0], [0]))
    assert grid.tokens == [[[""] * 5]]
    assert (grid.token_ids >= 0).all()
