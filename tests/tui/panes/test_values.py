"""The Values pane: the numbers of the tensor, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensorshark.traces.sites import SITES
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import MODEL, synthetic_trace, write_synthetic
from tensorshark.tui.panes.values import Values
from tensorshark.tui.widgets.numbers import figure


def row_of(capture: Capture, number: int, site: str, layer: int, token: int) -> np.ndarray:
    """A row of a tensor, in float64."""
    trace = capture.trace(capture.ids()[number - 1])
    return trace.load(SITES[site].at(layer))[token].astype(np.float64)


async def test_statistics_and_identity(stage: Any, capture: Capture) -> None:
    x = row_of(capture, 2, "attn_out", 3, 4)
    trace = capture.trace(capture.ids()[1])
    async with stage(Values(), capture, 2, site="attn_out", layer=3, token=4, size=(110, 24)) as bench:
        await bench.until(lambda: "‖x‖" in bench.text())
        first, second = bench.text().splitlines()[:2]
        assert first.startswith(" blocks.3.hook_attn_out  token 4 “·reveal”  (9, 16) float32")
        sha = next(t.sha256 for t in trace.manifest.tensors if t.name == "blocks.3.hook_attn_out")
        assert f"sha256 ok {sha[:8]}" in first
        assert second.split("   ") == [
            f" ‖x‖ {figure(float(np.linalg.norm(x)))}",
            f"min {figure(x.min())}",
            f"max {figure(x.max())}",
            f"mean {figure(x.mean())}",
            f"std {figure(x.std())}",
            "nan 0",
            "inf 0",
        ]


async def test_every_raw_value_is_there(stage: Any, capture: Capture) -> None:
    x = row_of(capture, 2, "resid_post", 5, 2)
    async with stage(Values(), capture, 2, layer=5, token=2, size=(80, 8)) as bench:
        await bench.until(lambda: "‖x‖" in bench.text())
        rows = bench.text().splitlines()
        assert rows[0].startswith(" blocks.5.hook_resid_post  (9, 16) float32 ")
        assert "sha256 ok " in rows[0]
        shown = [float(text) for row in rows[3:5] for text in row.split()[1:]]
        assert [int(row.split()[0]) for row in rows[3:5]] == [0, 8]
        np.testing.assert_allclose(shown, x, rtol=0.02, atol=0.006)


async def test_the_largest_dimensions_come_first(stage: Any, capture: Capture) -> None:
    x = row_of(capture, 2, "resid_post", 5, 2)
    order = np.argsort(-np.abs(x))
    async with stage(Values(), capture, 2, layer=5, token=2, size=(80, 8)) as bench:
        await bench.until(lambda: "largest" in bench.text())
        words = bench.text().splitlines()[2]
        assert words.startswith(
            f" largest  {order[0]} {figure(x[order[0]])}   {order[1]} {figure(x[order[1]])}"
        )
    async with stage(Values(), capture, 2, layer=5, token=2, size=(110, 24)) as bench:
        await bench.until(lambda: "√count" in bench.text())
        rows = bench.text().splitlines()
        assert rows[4].rstrip("━╸ ").endswith(figure(x[order[0]]))
        assert "16 values, √count" in rows[3]


async def test_scrolling_by_key_and_wheel_keeps_the_place_across_layers(stage: Any, tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "w.tshark", traces=2, layers=3, d_model=576)
    async with stage(Values(), capture, 1, layer=1, token=2, size=(80, 8)) as bench:
        await bench.until(lambda: "‖x‖" in bench.text())

        def first() -> int:
            return int(bench.text().splitlines()[3].split()[0])

        assert first() == 0
        await bench.press("down", "down")
        assert first() == 16
        await bench.press("pagedown")
        assert first() == 48
        await bench.press("up")
        assert first() == 40
        bench.cursor = type(bench.cursor)(bench.cursor.trace, layer=2, token=2)
        bench.pane.show(bench.subject, bench.cursor)
        await bench.until(lambda: "blocks.2." in bench.text() and "‖x‖" in bench.text())
        assert first() == 40
        await bench.press("end")
        assert first() == 576 - 40
        await bench.press("down", "pagedown")
        assert first() == 576 - 40
        await bench.press("home")
        assert first() == 0
        x = row_of(capture, 1, "resid_post", 2, 2)
        assert f"{x[0]:.3f}" in bench.text().splitlines()[3] or f"{x[0]:.4f}" in bench.text().splitlines()[3]


async def test_nan_is_counted_and_seen(stage: Any, capture: Capture) -> None:
    manifest, tensors, stats = synthetic_trace(capture, "a broken state", {}, seed=77)
    name = SITES["mlp_out"].at(2)
    tensors[name] = tensors[name].copy()
    tensors[name][1, 3], tensors[name][1, 4] = np.nan, np.inf
    for layer in range(6):  # no longer sums: stored as they are
        tensors.pop(SITES["resid_post"].at(layer))
        tensors.pop(SITES["resid_pre"].at(layer))
    sites = [site for site in manifest.sites if site.name in ("attn_out", "mlp_out")]
    stats = {key: value for key, value in stats.items() if key.endswith(("attn_out", "mlp_out"))}
    with capture.writer() as writer:
        fields = {key: getattr(manifest, key) for key in manifest.__struct_fields__}
        committed = writer.commit(type(manifest)(**fields | {"sites": sites}), tensors, stats)
    assert committed is not None
    assert committed.model == MODEL
    async with stage(Values(), capture, 9, site="mlp_out", layer=2, token=1, size=(80, 8)) as bench:
        await bench.until(lambda: "‖x‖" in bench.text())
        assert "nan 1   inf 1" in bench.text()
        assert bench.text().splitlines()[3].split()[4:6] == ["nan", "inf"]


async def test_attention_patterns_show_the_keys_a_token_may_see(stage: Any, tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "p.tshark", traces=1, layers=3, heads=2, patterns=True)
    trace = capture.trace(capture.ids()[0])
    row = trace.load(SITES["pattern"].at(1))[1, 3, :4]
    async with stage(Values(), capture, 1, site="pattern", layer=1, head=1, token=3, size=(100, 8)) as bench:
        await bench.until(lambda: "‖x‖" in bench.text())
        assert "head 1, token 3" in bench.text()
        shown = [float(text) for text in bench.text().splitlines()[3].split()[1:]]
        np.testing.assert_allclose(shown, row, atol=0.0006)


async def test_damage_is_said_and_no_value_shown(
    stage: Any, capture: Capture, harm: Callable[..., None]
) -> None:
    harm(capture.path, "tensors.safetensors", 2)
    async with stage(Values(), Capture.open(capture.path), 2, site="resid_post", layer=5, token=2) as bench:
        await bench.until(lambda: "damaged" in bench.text())
        assert capture.ids()[1] in bench.text()
        assert "‖x‖" not in bench.text()
        await bench.pilot.pause()
        assert "‖x‖" not in "\n".join(bench.screen_rows())


async def test_what_was_not_captured_is_said(stage: Any, capture: Capture) -> None:
    async with stage(Values(), capture, 2, layer=17) as bench:
        assert "resid_post of layer 17 was not captured" in bench.text()
    async with stage(Values(), capture, 2, site="pattern", layer=1) as bench:
        assert "--patterns" in bench.text()


@pytest.mark.parametrize("size", [(20, 2), (40, 4), (80, 8), (80, 20), (110, 40), (160, 50)])
async def test_it_fits_and_the_screen_is_its_text(
    stage: Any, capture: Capture, size: tuple[int, int]
) -> None:
    async with stage(Values(), capture, 2, layer=3, token=4, size=size, theme="light") as bench:
        await bench.until(lambda: "Reading" not in bench.text())
        assert "\n".join(bench.screen_rows()).rstrip() == bench.text()
        assert len(bench.text().splitlines()) <= size[1]
