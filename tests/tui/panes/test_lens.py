"""The Lens pane, through the real worker: what it shows is what the lens says of the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tensorshark.forensics import lens
from tensorshark.forensics.engine import Engine
from tensorshark.forensics.jobs import JobFailed, LensJob
from tensorshark.traces.store import Capture
from tensorshark.traces.text import token_text
from tensorshark.tui.panes.lens import Lens
from tensorshark.tui.widgets.numbers import figure, share


def known(bench: Any) -> bool:
    """Whether every cell on the screen has been read."""
    return "…" not in "\n".join(line[7:] for line in bench.text().splitlines()[1:])


def grid_row(bench: Any, layer: int) -> str:
    """The row of a layer."""
    return next(row for row in bench.text().splitlines() if row.startswith(f"{layer:>6} "))


async def test_the_grid_shows_the_likeliest_token_of_every_layer(
    stage: Any, capture: Capture, engine: Engine
) -> None:
    trace = capture.trace(capture.ids()[1])
    truth = lens.read(trace, range(6), range(9), 10)
    vocab = capture.vocab(trace.manifest.model)
    async with stage(Lens(), capture, 2, engine=engine, layer=3, token=4, size=(110, 30)) as bench:
        await bench.until(lambda: known(bench))
        for layer in range(6):
            tokens = grid_row(bench, layer).replace("▐", " ").split()[1:]
            expected = [token_text(vocab[truth.token_ids[layer, at, 0]]) for at in range(9)]
            assert [token for token in tokens if not token.startswith(".")] == expected
            shown = [token for token in tokens if token.startswith(".")]
            assert shown == [share(float(truth.probs[layer, at, 0]))[:3] for at in range(9)]


async def test_the_cursors_cell_in_words_and_as_a_list(stage: Any, capture: Capture, engine: Engine) -> None:
    trace = capture.trace(capture.ids()[1])
    truth = lens.read(trace, range(6), [4], 10)
    vocab = capture.vocab(trace.manifest.model)
    async with stage(Lens(), capture, 2, engine=engine, layer=2, token=4, size=(110, 30)) as bench:
        await bench.until(lambda: known(bench))
        text = bench.text()
        assert " layer 2 · token 4 “·reveal” " in text
        for place in range(5):
            row = next(row for row in text.splitlines() if row.startswith(f" {place + 1:>2}  "))
            assert row.split()[1:3] == [
                token_text(vocab[truth.token_ids[2, 0, place]]),
                share(float(truth.probs[2, 0, place])),
            ]
        assert f"entropy {figure(float(truth.entropy[2, 0]))} nats" in text
        assert f"KL to final {figure(float(truth.kl[2, 0]))}" in text
        assert f"from final {figure(float(truth.kl_reverse[2, 0]))}" in text
        final = token_text(vocab[truth.token_ids[5, 0, 0]])
        assert f"“{final}” rank {truth.rank[2, 0] + 1:,}, 1 from layer" in text
        assert f"KL to final by layer, ≤ {figure(float(truth.kl[:, 0].max()))} nats" in text


async def test_it_fits_80_by_8_with_top_k_entropy_kl_and_rank(
    stage: Any, capture: Capture, engine: Engine
) -> None:
    truth = lens.read(capture.trace(capture.ids()[1]), range(6), [4], 1)
    async with stage(Lens(), capture, 2, engine=engine, layer=2, token=4, size=(80, 8)) as bench:
        await bench.until(lambda: known(bench))
        rows = bench.text().splitlines()
        assert len(rows) == 8
        assert [row[:6].strip() for row in rows[1:6]] == ["5", "4", "2", "1", "0"]
        assert "▐" in rows[3]
        assert rows[6].startswith(" next  ")
        assert f"entropy {figure(float(truth.entropy[2, 0]))}" in rows[6]
        assert f" {figure(float(truth.kl[2, 0]))}" in rows[7]
        assert "rank" in rows[7]


async def test_only_what_is_on_the_screen_is_asked_and_only_once(
    stage: Any, capture: Capture, engine: Engine
) -> None:
    asked: list[LensJob] = []

    class Watched:
        """The engine, with its jobs noted."""

        def lens(self, job: LensJob, answer: Callable[[object], None]) -> object:
            asked.append(job)
            return engine.lens(job, answer)

    async with stage(Lens(), capture, 2, engine=Watched(), layer=2, token=4, size=(40, 5)) as bench:
        await bench.until(lambda: known(bench))
        cells = {(layer, at) for job in asked for layer in job.layers for at in job.positions}
        assert sum(len(job.layers) * len(job.positions) for job in asked) == len(cells)
        assert {at for _, at in cells} == set(range(1, 5))
        before = len(asked)
        await bench.press("left", "right")
        await bench.until(lambda: known(bench))
        assert {job.positions[0] for job in asked[before:]} <= {3}, "only what the new column lacks"


async def test_keys_and_clicks_move_and_the_cursors_layer_is_always_shown(
    stage: Any, capture: Capture, engine: Engine
) -> None:
    async with stage(Lens(), capture, 2, engine=engine, layer=2, token=4, size=(80, 7)) as bench:
        await bench.press("up", "right", "down")
        assert [(move.layer, move.token) for move in bench.moves] == [(3, 4), (3, 5), (2, 5)]
        assert grid_row(bench, 2)
        x = bench.text().splitlines()[0].index("·instr")
        await bench.click(x, 1)
        assert (bench.cursor.layer, bench.cursor.token) == (5, 2)


async def test_a_failed_job_is_said_and_r_tries_again(stage: Any, capture: Capture, engine: Engine) -> None:
    class Failing:
        """An engine whose first job fails."""

        jobs = 0

        def lens(self, job: LensJob, answer: Callable[[object], None]) -> object:
            self.jobs += 1
            if self.jobs == 1:
                answer(JobFailed(reason="the worker ran out of memory"))
                return None
            return engine.lens(job, answer)

    async with stage(Lens(), capture, 2, engine=Failing(), layer=2, token=4, size=(80, 8)) as bench:
        await bench.until(lambda: "the worker ran out of memory" in bench.text())
        assert "r tries again" in bench.text()
        await bench.press("r")
        await bench.until(lambda: known(bench))
        assert "memory" not in bench.text()


async def test_damage_is_said_and_never_shown_as_tokens(
    stage: Any, capture: Capture, engine: Engine, harm: Callable[..., None]
) -> None:
    harm(capture.path, "tensors.safetensors", 2)
    async with stage(Lens(), Capture.open(capture.path), 2, engine=engine, layer=2, token=4) as bench:
        await bench.until(lambda: "damaged" in bench.text())
        assert capture.ids()[1][:8] in bench.text()
        assert "·t" not in bench.text()


async def test_what_the_lens_needs_is_said(stage: Any, capture: Capture, engine: Engine) -> None:
    async with stage(Lens(), capture, 2, engine=engine) as bench:
        del bench.pane.trace.sites["resid_post"]
        bench.pane.show(bench.subject, bench.cursor)
        assert "resid_post, which was not captured" in bench.text()
        assert "--sites resid_post" in bench.text()


@pytest.mark.parametrize("size", [(20, 2), (40, 4), (80, 8), (80, 16), (110, 40), (160, 50)])
async def test_it_fits_and_the_screen_is_its_text(
    stage: Any, capture: Capture, engine: Engine, size: tuple[int, int]
) -> None:
    async with stage(Lens(), capture, 2, engine=engine, layer=3, token=4, size=size, theme="light") as bench:
        await bench.until(lambda: known(bench) or size[0] < 40)
        assert "\n".join(bench.screen_rows()).rstrip() == bench.text()
        assert len(bench.text().splitlines()) <= size[1]
