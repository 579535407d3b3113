"""norms against numpy over the stored tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics import Lines, Table, host
from tensorshark.forensics.view import View
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

SITES = ("resid_pre", "attn_out", "mlp_out", "resid_post")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("norms") / "x.tshark", traces=8, layers=4)


def run(capture: Capture, **options: str) -> tuple[Table, Table, Lines]:
    norms, growth, lines = host.run("norms", View(capture, capture.ids()), options)
    assert isinstance(norms, Table) and isinstance(growth, Table) and isinstance(lines, Lines)
    return norms, growth, lines


def expected(capture: Capture, trace_id: str, site: str) -> np.ndarray:
    """(layer, pos)"""
    trace = capture.trace(trace_id)
    states = np.stack([trace.load(f"blocks.{layer}.hook_{site}") for layer in range(4)])
    return np.linalg.norm(states.astype(np.float64), axis=-1)


def test_every_layer_site_and_token(capture: Capture) -> None:
    norms, _, _ = run(capture, position="all[:]")
    assert [c.name for c in norms.columns] == ["number", "trace", "layer", "position", "token", *SITES]
    assert len(norms.rows) == sum(len(trace.tokens) for trace in capture.select()) * 4
    for trace_id in capture.ids()[:2]:
        rows = [row for row in norms.rows if row[1] == trace_id]
        for column, site in enumerate(SITES, 5):
            wanted = expected(capture, trace_id, site)
            found = {(row[2], row[3]): row[column] for row in rows}
            assert found == {at: pytest.approx(value, rel=1e-6) for at, value in np.ndenumerate(wanted)}
        assert [row[4] for row in rows if row[2] == 0] == capture.trace(trace_id).tokens


def test_growth_is_last_over_first(capture: Capture) -> None:
    _, growth, _ = run(capture)
    names = [c.name for c in growth.columns]
    for row in growth.rows:
        record = dict(zip(names, row, strict=True))
        curve = expected(capture, str(record["trace"]), str(record["site"]))[:, -1]
        assert record["growth"] == pytest.approx(curve[-1] / curve[0], rel=1e-5)
        assert (record["rising"], record["steps"]) == ((np.diff(curve) > 0).sum(), 3)
    assert len(growth.rows) == 8 * 4


def test_the_overview_is_a_mean_per_label(capture: Capture) -> None:
    _, _, lines = run(capture)
    labels = {trace.id: trace.labels["category"] for trace in capture.select()}
    assert sum(int(line.name.split("(")[1].rstrip(")")) for line in lines.series) == 8
    for line in lines.series:
        value = line.name.split(" (")[0]
        curves = [expected(capture, i, "resid_post")[:, -1] for i, label in labels.items() if label == value]
        assert line.y == pytest.approx(np.mean(curves, axis=0), rel=1e-6)
    (alone,) = run(capture, by="nobody has this")[2].series
    assert alone.name == "no label (8)"


def test_a_site_with_other_layers_leaves_cells_empty(tmp_path: Path) -> None:
    import msgspec

    from tensorshark.traces.synthetic import synthetic_trace

    capture = write_synthetic(tmp_path / "x.tshark", traces=1, layers=3)
    manifest, tensors, stats = synthetic_trace(capture, "partly captured", {}, seed=5)
    sites = [
        msgspec.structs.replace(site, layers=[2]) if site.name == "mlp_out" else site
        for site in manifest.sites
    ]
    tensors = {k: v for k, v in tensors.items() if not k.endswith("mlp_out") or ".2." in k}
    stats = {k: v[2:] if k.endswith("mlp_out") else v for k, v in stats.items()}
    with capture.writer(sync=False) as writer:
        assert writer.commit(msgspec.structs.replace(manifest, sites=sites), tensors, stats)
    norms, _, _ = run(capture, position="0")
    assert [row[7] is None for row in norms.rows if row[0] == 2] == [True, True, False]
    assert norms.absent
