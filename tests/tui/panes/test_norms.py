"""The Norms pane: every number is numpy's, every view moves the shared cursor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorshark.traces.sites import DEFAULT_SITES, SITES
from tensorshark.traces.store import Capture
from tensorshark.tui.panes.norms import Norms
from tensorshark.tui.widgets.numbers import figure, short


def norm(capture: Capture, number: int, site: str, layer: int, token: int) -> float:
    """The L2 norm, from the tensor itself."""
    trace = capture.trace(capture.ids()[number - 1])
    return float(np.linalg.norm(trace.load(SITES[site].at(layer))[token].astype(np.float64)))


@pytest.mark.parametrize(("layer", "token"), [(0, 0), (3, 4), (5, 2)])
async def test_the_norms_at_the_cursor_are_those_of_the_tensors(
    stage: Any, capture: Capture, layer: int, token: int
) -> None:
    async with stage(Norms(), capture, number=2, layer=layer, token=token) as bench:
        words = bench.text().splitlines()[0]
        for site in DEFAULT_SITES:
            assert f"‖{site}‖ {figure(norm(capture, 2, site, layer, token))}" in words
        assert words.index("resid_post") < words.index("resid_pre")


async def test_the_curves_come_after_the_words_and_mark_the_cursor(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, number=2, layer=3, token=4, size=(80, 8)) as bench:
        await bench.until(lambda: "┤" in bench.text())
        rows = bench.text().splitlines()
        assert len(rows) == 8
        assert any("●" in row for row in rows[1:7])
        assert rows[-1].startswith(" layer 0")
        assert rows[-1].endswith("5")
        assert all(any(row.endswith(site) for row in rows) for site in DEFAULT_SITES)


async def test_growth_in_words(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, number=2, token=3, size=(110, 30)) as bench:
        first, last = norm(capture, 2, "resid_post", 0, 3), norm(capture, 2, "resid_post", 5, 3)
        words = bench.text().splitlines()[1]
        assert (
            f"{figure(first)} in layer 0, {figure(last)} in layer 5 · {figure(last / first)} times" in words
        )


async def test_v_goes_through_layers_tokens_and_grid(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, number=2, layer=3, token=4, size=(110, 24)) as bench:
        await bench.until(lambda: " layer 0" in bench.text())
        await bench.press("v")
        await bench.until(lambda: " token 0" in bench.text())
        await bench.press("v")
        rows = bench.text().splitlines()
        assert "·reveal" in rows[3]
        for layer in range(6):
            row = next(row for row in rows if row.startswith(f"{layer:>6} "))
            for token in range(9):
                assert short(norm(capture, 2, "resid_post", layer, token), 5) in row
        await bench.press("v")
        await bench.until(lambda: " layer 0" in bench.text())


async def test_keys_move_along_the_axis(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, number=2, layer=3, token=4) as bench:
        await bench.press("right", "up", "left")
        assert [(move.layer, move.token) for move in bench.moves] == [(4, 4), (5, 4), (4, 4)]
        await bench.press("v", "right", "down")
        assert [(move.layer, move.token) for move in bench.moves[3:]] == [(4, 5), (3, 5)]


async def test_keys_stop_at_the_ends(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, layer=5, token=0) as bench:
        await bench.press("up", "v", "left")
        assert bench.moves == []


async def test_a_click_in_chart_or_grid_goes_there(stage: Any, capture: Capture) -> None:
    async with stage(Norms(), capture, number=2, layer=3, token=4, size=(110, 24)) as bench:
        await bench.until(lambda: "┤" in bench.text())
        await bench.click(7, 10)
        assert bench.cursor.layer == 0
        await bench.press("v", "v")
        x = bench.text().splitlines()[3].index("·prompt")
        await bench.click(x + 1, 4)
        assert (bench.cursor.layer, bench.cursor.token) == (5, 8)
        assert "▐" in bench.text().splitlines()[4]


async def test_moving_the_cursor_repaints_no_more_than_two_rows_of_the_grid(
    stage: Any, capture: Capture
) -> None:
    pane = Norms()
    async with stage(pane, capture, number=2, layer=3, token=4, size=(110, 10)) as bench:
        await bench.press("v", "v")
        before = bench.screen_rows()
        await bench.press("up")
        after = bench.screen_rows()
        assert sum(old != new for old, new in zip(before, after, strict=True)) == 3  # words and two rows


async def test_a_damaged_trace_shows_the_error_and_no_number(
    stage: Any, capture: Capture, harm: Callable[..., None]
) -> None:
    harm(capture.path, "stats.safetensors", 2)
    async with stage(Norms(), Capture.open(capture.path), number=2) as bench:
        text = " ".join(bench.text().split())
        assert capture.ids()[1] in text
        assert "damaged" in text
        assert "‖" not in text


async def test_no_trace_and_no_norms_are_said(stage: Any, capture: Capture, tmp_path: Path) -> None:
    async with stage(Norms(), None) as bench:
        assert bench.text() == "No trace selected."
        await bench.press("up", "right", "v")
    bare = Norms()
    async with stage(bare, capture, number=1) as bench:
        bench.pane.trace.__dict__["stats"] = {}
        bench.pane.show(bench.subject, bench.cursor)
        assert "No norms were captured" in bench.text()
        assert "tensorshark capture -w NEW.tshark" in bench.text()
        await bench.pilot.pause()
        assert "tensorshark capture" in "\n".join(bench.screen_rows())


@pytest.mark.parametrize("size", [(20, 1), (40, 3), (80, 8), (110, 40), (160, 50)])
@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
async def test_it_fits_and_the_screen_is_its_text(
    stage: Any, capture: Capture, size: tuple[int, int], theme: str
) -> None:
    async with stage(Norms(), capture, number=2, layer=3, token=4, size=size, theme=theme) as bench:
        for _ in range(3):
            await bench.pilot.pause(0.05)
            assert "\n".join(bench.screen_rows()).rstrip() == bench.text()
            assert len(bench.text().splitlines()) <= size[1]
            await bench.press("v")
