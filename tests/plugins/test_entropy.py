"""entropy against scipy over stored patterns."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tensorshark.forensics import Heatmap, Lines, Table, Text, host
from tensorshark.forensics.view import View
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    where = tmp_path_factory.mktemp("entropy") / "x.tshark"
    return write_synthetic(where, traces=3, layers=4, heads=2, patterns=True)


def patterns(capture: Capture, trace_id: str) -> np.ndarray:
    """(layer, head, q_pos, k_pos)"""
    trace = capture.trace(trace_id)
    return np.stack([trace.load(f"blocks.{layer}.attn.hook_pattern") for layer in range(4)]).astype(
        np.float64
    )


def test_every_layer_head_and_query_is_scipys(capture: Capture) -> None:
    table, *_ = host.run("entropy", View(capture, capture.ids()), {"position": "all[:]"})
    assert isinstance(table, Table)
    assert [(c.name, c.unit) for c in table.columns[6:]] == [
        ("entropy", "nats"),
        ("entropy_rest", "nats"),
        ("sink", ""),
    ]
    for trace_id in capture.ids():
        rows = patterns(capture, trace_id)
        whole = scipy.stats.entropy(rows, axis=-1)
        for _, _, layer, head, position, _, entropy, rest, sink in (
            r for r in table.rows if r[1] == trace_id
        ):
            row = rows[layer, head, position]
            assert entropy == pytest.approx(whole[layer, head, position], abs=1e-5)
            assert rest == pytest.approx(scipy.stats.entropy(row[1:]) if position else 0.0, abs=1e-5)
            assert sink == pytest.approx(row[0], abs=1e-6)


def test_the_overview_shows_both_entropies_and_the_sink(capture: Capture) -> None:
    table, lines, heat, text = host.run("entropy", View(capture, capture.ids()))
    assert (
        isinstance(table, Table)
        and isinstance(lines, Lines)
        and isinstance(heat, Heatmap)
        and isinstance(text, Text)
    )
    each = [
        scipy.stats.entropy(patterns(capture, i)[:, :, -1], axis=-1) for i in capture.ids()
    ]  # (layer, head)
    assert [line.name for line in lines.series] == ["entropy", "without token 0", "share of token 0"]
    assert lines.series[0].y == pytest.approx(np.mean(each, axis=(0, 2)), abs=1e-5)
    assert (heat.rows, heat.columns) == (["0", "1", "2", "3"], ["0", "1"])
    first, final = lines.series[2].y[0], lines.series[2].y[-1]
    assert f"{first:.2f} to {final:.2f}" in text.text and "entropy_rest" in text.text


def test_a_capture_without_attention_says_what_to_type(tmp_path_factory: pytest.TempPathFactory) -> None:
    import msgspec

    from tensorshark.forensics import NotCaptured
    from tensorshark.traces.synthetic import synthetic_trace

    capture = write_synthetic(tmp_path_factory.mktemp("none") / "x.tshark", traces=0)
    manifest, tensors, stats = synthetic_trace(capture, "no attention here", {}, seed=1)
    manifest = msgspec.structs.replace(manifest, sites=[s for s in manifest.sites if s.name != "attn"])
    with capture.writer(sync=False) as writer:
        writer.commit(manifest, tensors, {k: v for k, v in stats.items() if not k.startswith("attn.")})
    (absent,) = host.run("entropy", View(capture, capture.ids()))
    assert isinstance(absent, NotCaptured) and "capture again" in absent.remedy
