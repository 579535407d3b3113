"""logit-lens against scipy, from the capture's files alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from tensorshark.forensics import Failed, Heatmap, Lines, NotCaptured, Table, host
from tensorshark.forensics.view import View
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("lens") / "x.tshark", traces=2, layers=4)


def probabilities(capture: Capture, trace_id: str) -> np.ndarray:
    """(layer, pos, vocab) by the formula, in float64."""
    trace, weights = capture.trace(trace_id), capture.lens("synthetic")
    x = np.stack([trace.load(f"blocks.{layer}.hook_resid_post") for layer in range(4)]).astype(np.float64)
    eps = trace.model.lens.norm.eps
    normed = x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weights["norm.weight"]
    return scipy.special.softmax(normed @ weights["unembed.weight"].T.astype(np.float64), axis=-1)


def records(table: Table) -> list[dict[str, object]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def test_rows_are_the_formula(capture: Capture) -> None:
    first, *rest = host.run(
        "logit-lens", View(capture, capture.ids()[:1]), {"position": "all[:]", "top_k": "2"}
    )
    assert isinstance(first, Table) and [type(result) for result in rest] == [Heatmap, Lines]
    p, vocab = probabilities(capture, capture.ids()[0]), capture.vocab("synthetic")
    final = p[-1].argmax(-1)
    assert len(first.rows) == p.shape[0] * p.shape[1]
    for record in records(first):
        layer, position = record["layer"], record["position"]
        here = p[layer, position]
        order = np.argsort(-here)
        assert [record["top1"], record["top2"]] == [vocab[order[0]], vocab[order[1]]]
        assert [record["p1"], record["p2"]] == pytest.approx(here[order[:2]], abs=1e-6)
        assert record["entropy"] == pytest.approx(scipy.stats.entropy(here), abs=1e-5)
        assert record["kl"] == pytest.approx(scipy.stats.entropy(here, p[-1, position]), abs=1e-5)
        assert record["kl_reverse"] == pytest.approx(scipy.stats.entropy(p[-1, position], here), abs=1e-5)
        assert record["rank"] == order.tolist().index(final[position])


def test_the_last_layer_says_what_the_model_said(capture: Capture) -> None:
    table, lines = host.run("logit-lens", View(capture, capture.ids()), {"top_k": "5"})
    assert isinstance(table, Table) and isinstance(lines, Lines)
    last = [record for record in records(table) if record["layer"] == 3]
    for record, trace in zip(last, capture.select(), strict=True):
        assert [record[f"top{k + 1}"] for k in range(5)] == [
            token.token for token in trace.manifest.next_tokens
        ]
        assert (record["kl"], record["kl_reverse"], record["rank"]) == (0, 0, 0)
    assert lines.series[1].y[-1] == 0 and all(y > 0 for y in lines.series[1].y[:-1] if y is not None)


def test_a_token_can_be_tracked_by_text_or_id(capture: Capture) -> None:
    by_text, _ = host.run("logit-lens", View(capture, capture.ids()), {"track": " t7"})
    by_id, _ = host.run(
        "logit-lens", View(capture, capture.ids()), {"track": f"#{capture.vocab('synthetic').index(' t7')}"}
    )
    assert by_text == by_id
    (failed,) = host.run("logit-lens", View(capture, capture.ids()), {"track": "no such"})
    assert isinstance(failed, Failed) and "no single token is 'no such'" in failed.reason


def test_a_capture_without_a_lens_says_what_to_type(tmp_path_factory: pytest.TempPathFactory) -> None:
    import msgspec

    capture = write_synthetic(tmp_path_factory.mktemp("none") / "x.tshark", traces=0)
    model = capture.model("synthetic")
    none = msgspec.structs.replace(model.lens, storage="none", sha256="", size=0)
    bare = msgspec.structs.replace(model, name="bare", fingerprint="00" * 32, lens=none)
    name = capture.add_model(bare, None, capture.vocab("synthetic")).name
    manifest, tensors, stats = synthetic_trace(capture, "no lens here", {}, seed=1)
    with capture.writer(sync=False) as writer:
        writer.commit(msgspec.structs.replace(manifest, model=name), tensors, stats)
    (absent,) = host.run("logit-lens", View(capture, capture.ids()))
    assert isinstance(absent, NotCaptured) and "--lens-file embed" in absent.remedy
