"""The Diff pane: says what to press, refuses with a reason, and shows the distances of numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.panes.aligned import compare, parting
from tensorshark.tui.panes.diff import Diff
from tensorshark.tui.panes.pane import Subject
from tensorshark.tui.widgets.numbers import figure, short


def ready(bench: Any) -> bool:
    """Whether the comparison and the verdict are there."""
    return "tokens part" in bench.text() and "looking" not in bench.text()


async def test_without_a_partner_it_says_what_to_press(stage: Any, capture: Capture) -> None:
    async with stage(Diff(), capture, 1) as bench:
        assert "No trace to compare with." in bench.text()
        assert "d marks the selected trace" in bench.text()
        await bench.press("w", "up", "right")
    async with stage(Diff(), capture, 1, other=1) as bench:
        assert "This is the marked trace" in bench.text()


async def test_another_model_is_refused_with_the_way_to_force_it(
    stage: Any, capture: Capture, tmp_path: Path
) -> None:
    other = write_synthetic(tmp_path / "y.tshark", traces=1, layers=6, heads=3, d_model=16, vocab=64, seed=9)
    async with stage(Diff(), capture, 1) as bench:
        bench.subject = Subject(None, bench.subject.trace, other.trace(other.ids()[0]))
        bench.pane.show(bench.subject, bench.cursor)
        assert "different models" in bench.text()
        assert "-o force=true" in bench.text()


async def test_distances_by_layer_and_aligned_token(stage: Any, capture: Capture) -> None:
    ids = capture.ids()
    truth = compare(capture.trace(ids[0]), capture.trace(ids[6]), "resid_post")
    async with stage(Diff(), capture, 1, other=7, layer=3, token=1, size=(110, 30)) as bench:
        await bench.until(lambda: ready(bench))
        text = bench.text()
        a, b = (len(capture.trace(ids[index]).tokens) for index in (0, 6))
        assert f"{len(truth.pairs)} tokens align of {a} here and {b} there" in text
        pair = next(index for index, (i, _) in enumerate(truth.pairs) if i == 1)
        for layer in range(6):
            one = truth.distances[layer]
            row = next(row for row in text.splitlines() if row.startswith(f"{layer:>6} "))
            cells = row.replace("▐", " ").split()[1:]
            apart = [short(max(0.0, 1 - float(value)), 5) for value in one.cosine]
            numbers = [cell for cell in cells[:-4] if cell not in "≠–"]
            assert numbers == apart
            measures = (one.cosine, one.l2, one.mae, one.jaccard)
            assert cells[-4:] == [short(float(values[pair]), 6) for values in measures]
        here = truth.distances[3]
        assert f"cosine {figure(float(here.cosine[pair]))}" in text
        assert f"L2 of the difference {figure(float(here.l2[pair]))}" in text
        assert f"top 1 % shared {figure(float(here.jaccard[pair]))}" in text


async def test_w_goes_to_where_the_states_part(stage: Any, capture: Capture) -> None:
    ids = capture.ids()
    place = parting(capture.trace(ids[0]), capture.trace(ids[6]))
    assert place is not None
    async with stage(Diff(), capture, 1, other=7, layer=3, token=5, size=(110, 30)) as bench:
        await bench.until(lambda: ready(bench))
        assert f"states at {place.token} " in bench.text()
        await bench.press("w")
        cursor = bench.cursor
        assert (cursor.token, cursor.layer, cursor.site) == (place.token, place.layer, place.site)
        await bench.until(lambda: f"1 - cosine of {place.site}" in bench.text())


async def test_a_token_without_a_partner_is_said(stage: Any, capture: Capture) -> None:
    ids = capture.ids()
    truth = compare(capture.trace(ids[0]), capture.trace(ids[6]), "resid_post")
    alone = next(column.a for column in truth.columns if column.pair < 0 and column.a is not None)
    async with stage(Diff(), capture, 1, other=7, layer=3, token=alone, size=(110, 30)) as bench:
        await bench.until(lambda: ready(bench))
        assert "not aligned, nothing to compare" in bench.text()
        assert "≠" in bench.text()


async def test_both_token_rows_and_clicks(stage: Any, capture: Capture) -> None:
    async with stage(Diff(), capture, 1, other=7, layer=3, token=1, size=(110, 30)) as bench:
        await bench.until(lambda: ready(bench))
        rows = bench.text().splitlines()
        assert rows[3].startswith(" layer  The")
        assert rows[4].startswith("    #7  The")
        await bench.click(rows[3].index("The") + 1, 5)
        assert (bench.cursor.layer, bench.cursor.token) == (5, 0)
        await bench.press("down", "right")
        assert (bench.cursor.layer, bench.cursor.token) == (4, 1)


async def test_equal_tokens_are_said_to_be_equal(stage: Any, tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "s.tshark", traces=2, prompts=["the same", "the same"], seed=3)
    async with stage(Diff(), capture, 1, other=2, layer=1, token=1, size=(100, 20)) as bench:
        await bench.until(lambda: "the tokens are the same" in bench.text())


async def test_damage_in_either_trace_is_said(
    stage: Any, capture: Capture, harm: Callable[..., None]
) -> None:
    harm(capture.path, "tensors.safetensors", 7)
    async with stage(Diff(), Capture.open(capture.path), 1, other=7, layer=3, token=1) as bench:
        await bench.until(lambda: "damaged" in bench.text())
        assert capture.ids()[6] in bench.text()
        assert "cosine" not in bench.text()


@pytest.mark.parametrize("size", [(20, 2), (40, 4), (80, 8), (80, 16), (110, 40), (160, 50)])
async def test_it_fits_and_the_screen_is_its_text(
    stage: Any, capture: Capture, size: tuple[int, int]
) -> None:
    async with stage(Diff(), capture, 1, other=7, layer=3, token=1, size=size, theme="ansi") as bench:
        await bench.until(lambda: "against #7" in bench.text() and "looking" not in bench.text())
        assert "\n".join(bench.screen_rows()).rstrip() == bench.text()
        assert len(bench.text().splitlines()) <= size[1]
