"""The Entropy pane: every cell is the statistic, heads and layers are reached by key and click."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tensorshark.traces.store import Capture
from tensorshark.tui.panes.entropy import KEYS, Entropy
from tensorshark.tui.widgets.numbers import figure, short


def stat(capture: Capture, number: int, key: str) -> np.ndarray:
    """A statistic of a trace, (layer, head, pos)."""
    return capture.trace(capture.ids()[number - 1]).stats[key]


async def test_the_head_at_the_cursor_in_words(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, head=2, token=4) as bench:
        words = bench.text().splitlines()[0]
        assert words.startswith(" layer 3 head 2   entropy ")
        for view, key in KEYS.items():
            assert f"{view} {figure(float(stat(capture, 2, key)[3, 2, 4]))}" in words
        assert f"at most {figure(math.log(5))} nats, {figure(math.log(4))} without the first" in bench.text()


async def test_v_shows_each_statistic_as_a_grid_with_its_mean(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, head=2, token=4, size=(100, 12)) as bench:
        for key in KEYS.values():
            values = stat(capture, 2, key)[:, :, 4]
            rows = bench.text().splitlines()
            for layer in range(6):
                row = next(row for row in rows[2:] if row.startswith(f"{layer:>6} "))
                numbers = row.replace("▐", " ").split()[1:5]
                assert numbers[:3] == [short(float(value), 5) for value in values[layer]]
                assert numbers[3] == short(float(values[layer].mean()), 5)
            await bench.press("v")
        assert "entropy in nats" in bench.text()


async def test_shades_mean_the_same_at_every_token(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, token=2, size=(100, 12)) as bench:
        most = short(float(stat(capture, 2, "attn.entropy").max()), 5)
        assert f"entropy in nats: 0 … {most}" in bench.text()
        await bench.press("v", "v")
        assert "sink, share: 0 … 1.000" in bench.text()


async def test_the_cursors_head_over_all_tokens(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, head=1, token=4, size=(110, 24)) as bench:
        rows = bench.text().splitlines()
        strip = next(row for row in rows if row.startswith("    h1 "))
        values = stat(capture, 2, "attn.entropy")[3, 1]
        assert strip.replace("▐", " ").split()[1:] == [short(float(value), 5) for value in values]
        assert "·reveal" in rows[rows.index(strip) - 1]


async def test_keys_and_clicks_move_head_layer_and_token(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, head=1, token=4, size=(110, 24)) as bench:
        await bench.press("right", "right", "up", "left")
        assert [(move.layer, move.head) for move in bench.moves] == [(3, 2), (4, 2), (4, 1)]
        rows = bench.text().splitlines()
        await bench.click(rows[3].index("h0") + 1, 4)
        assert (bench.cursor.layer, bench.cursor.head, bench.cursor.token) == (5, 0, 4)
        strip = next(index for index, row in enumerate(rows) if row.startswith("    h1 "))
        await bench.click(rows[strip - 1].index("·prompt"), strip)
        assert (bench.cursor.layer, bench.cursor.head, bench.cursor.token) == (5, 0, 8)


async def test_the_first_token_sees_only_itself(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, token=0) as bench:
        assert "can only look at itself" in bench.text()


async def test_what_was_not_summarised_is_said(stage: Any, capture: Capture) -> None:
    async with stage(Entropy(), capture, number=2, layer=99) as bench:
        assert "no attention was summarised here" in bench.text()
        bench.pane.trace.__dict__["stats"] = {}
        bench.pane.show(bench.subject, bench.cursor)
        assert "Attention was not summarised" in bench.text()
        assert "tensorshark capture -w NEW.tshark" in bench.text()


@pytest.mark.parametrize("size", [(20, 1), (40, 3), (80, 8), (110, 40), (160, 50)])
async def test_it_fits_and_the_screen_is_its_text(
    stage: Any, capture: Capture, size: tuple[int, int]
) -> None:
    async with stage(Entropy(), capture, number=2, layer=3, token=4, size=size, theme="light") as bench:
        assert "\n".join(bench.screen_rows()).rstrip() == bench.text()
        assert len(bench.text().splitlines()) <= size[1]
