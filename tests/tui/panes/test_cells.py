"""What the lens is asked: only what is shown and not known, nearest first, in small jobs."""

from __future__ import annotations

import numpy as np

from tensorshark.forensics.jobs import LensGrid, LensJob
from tensorshark.tui.panes import cells as cells_module
from tensorshark.tui.panes.cells import ROWS, Cells


def answer(job: LensJob, finite: bool = True) -> LensGrid:
    """An answer of the right shape; the token's number is its layer and position."""
    shape = (len(job.layers), len(job.positions))
    ids = np.array([[[100 * layer + at] for at in job.positions] for layer in job.layers], dtype=np.int64)
    zeros = np.zeros(shape, np.float32)
    return LensGrid(
        trace=job.trace,
        layers=job.layers,
        positions=job.positions,
        token_ids=ids if finite else np.full_like(ids, -1),
        tokens=[[[f"t{100 * layer + at}"] for at in job.positions] for layer in job.layers],
        probs=np.full((*shape, 1), 0.5, np.float32),
        entropy=zeros,
        kl=zeros,
        kl_reverse=zeros,
        rank=np.zeros(shape, np.int64),
        tracked=np.zeros(len(job.positions), np.int64),
    )


def test_the_cursors_column_comes_first_and_then_its_neighbours() -> None:
    cells, every, rows = Cells(), list(range(30)), [29, 20, 10, 0]
    first = cells.next_job("c", "t", every, rows, range(40), 7)
    assert first is not None
    assert (first.layers, first.positions) == (every, [7])
    cells.store(answer(first))
    second = cells.next_job("c", "t", every, rows, range(40), 7)
    assert second is not None
    assert second.layers == [0, 10, 20, 29]
    assert len(second.layers) * len(second.positions) <= ROWS
    assert second.positions == [position for position in range(17) if position != 7]


def test_in_the_end_all_that_is_shown_is_known_and_nothing_was_asked_twice() -> None:
    cells, asked = Cells(), []
    while (job := cells.next_job("c", "t", range(12), [11, 5, 0], range(3, 50), 20)) is not None:
        asked += [(layer, at) for layer in job.layers for at in job.positions]
        cells.store(answer(job))
    assert len(asked) == len(set(asked))
    assert {(layer, at) for layer in (0, 5, 11) for at in range(3, 50)} <= set(asked)
    assert {(layer, 20) for layer in range(12)} <= set(asked)
    assert cells.next_job("c", "other", range(12), [11], range(3), 0) is not None


def test_one_layer_more_on_the_screen_asks_for_that_layer_only() -> None:
    cells = Cells()
    while (job := cells.next_job("c", "t", range(6), [5, 0], range(9), 4)) is not None:
        cells.store(answer(job))
    job = cells.next_job("c", "t", range(6), [5, 3, 0], range(9), 4)
    assert job is not None
    assert job.layers == [3]
    assert job.positions == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_state_that_is_not_finite_is_known_to_be_so() -> None:
    cells = Cells()
    cells.store(answer(LensJob(capture="c", trace="t", layers=[1], positions=[2]), finite=False))
    cell = cells.get("t", 1, 2)
    assert cell is not None
    assert cell.tokens == ()
    assert cells.get("t", 1, 3) is None


def test_memory_is_bounded_and_the_oldest_go(monkeypatch: object) -> None:
    cells = Cells()
    monkeypatch.setattr(cells_module, "KEPT", 10)  # type: ignore[attr-defined]
    cells.store(answer(LensJob(capture="c", trace="t", layers=[0], positions=list(range(10)))))
    assert cells.get("t", 0, 0) is not None
    cells.store(answer(LensJob(capture="c", trace="t", layers=[1], positions=[0, 1])))
    assert cells.get("t", 0, 0) is not None
    assert cells.get("t", 0, 1) is None
