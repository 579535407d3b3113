"""diff against scikit-learn, on traces that differ in known ways."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from tensorshark.forensics import Failed, Heatmap, NotApplicable, Result, Table, Text, host
from tensorshark.forensics.view import View
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic

PROMPTS = ["The cat sat on the mat", "The old cat sat on a mat", "completely different words here now"]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "x.tshark", traces=3, layers=3, d_model=200, vocab=900, prompts=PROMPTS)


def diff(capture: Capture, a: str, b: str, **options: str) -> list[Result]:
    return list(host.run("diff", View(capture, capture.ids()), {"a": a, "b": b, **options}))


def commit(capture: Capture, prompt: str, change: str, seed: int = 7) -> str:
    """A trace like another, changed in one way."""
    manifest, tensors, stats = synthetic_trace(capture, prompt, {}, seed=seed)
    if change == "one state":
        tensors = {**tensors, "blocks.1.hook_mlp_out": tensors["blocks.1.hook_mlp_out"].copy()}
        tensors["blocks.1.hook_mlp_out"][3] += 1.0
    elif change == "sites":
        sites = [site for site in manifest.sites if site.name != "mlp_out"]
        manifest = msgspec.structs.replace(manifest, sites=sites)
        tensors = {k: v for k, v in tensors.items() if not k.endswith("mlp_out")}
    elif change == "model":
        other = msgspec.structs.replace(capture.model("synthetic"), name="other", fingerprint="11" * 32)
        record = capture.add_model(other, capture.lens("synthetic"), capture.vocab("synthetic"))
        manifest = msgspec.structs.replace(manifest, model=record.name)
    provenance = msgspec.structs.replace(manifest.provenance, interventions=[change])
    manifest = msgspec.structs.replace(manifest, provenance=provenance, id=f"{abs(hash(change)):016x}"[:16])
    with capture.writer(sync=False) as writer:
        committed = writer.commit(manifest, tensors, stats)
    assert committed
    return committed.id


def test_rows_are_other_libraries_numbers_on_aligned_tokens(capture: Capture) -> None:
    table, text, heat = diff(capture, "#1", "#2")
    assert isinstance(table, Table) and isinstance(text, Text) and isinstance(heat, Heatmap)
    a, b = (capture.trace(trace_id) for trace_id in capture.ids()[:2])
    pairs = [(0, 0), (1, 2), (2, 3), (3, 4), (5, 6)]  # The cat sat on mat
    assert [(row[2], row[3]) for row in table.rows[:5]] == pairs
    assert len(table.rows) == 3 * 4 * len(pairs)
    for layer, site, i, j, token, cosine, l2, mae, jaccard in table.rows:
        x, y = (t.load(f"blocks.{layer}.hook_{site}")[p].astype(np.float64) for t, p in ((a, i), (b, j)))
        assert token == a.tokens[i]
        assert cosine == pytest.approx(cosine_similarity([x], [y])[0, 0], abs=1e-7)
        assert l2 == pytest.approx(np.linalg.norm(x - y)) and mae == pytest.approx(np.abs(x - y).mean())
        tops = [set(np.argsort(-np.abs(v))[:2].tolist()) for v in (x, y)]
        assert jaccard == pytest.approx(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
    assert heat.columns == [a.tokens[i] for i, _ in pairs]
    assert "5 tokens align, of 6 and 7. Tokens first part at 1: `·cat` and `·old`." in text.text


def test_where_they_part_is_the_state_that_was_changed(capture: Capture) -> None:
    same, changed = commit(capture, PROMPTS[0], "same"), commit(capture, PROMPTS[0], "one state")
    _, text, _ = diff(capture, same, changed)
    assert isinstance(text, Text)
    assert "The tokens are the same. States first part at token 3 `·on`, layer 1, mlp_out" in text.text


def test_equal_states_are_said_to_be_equal(capture: Capture) -> None:
    table, text, _ = diff(capture, commit(capture, PROMPTS[0], "same"), commit(capture, PROMPTS[0], "again"))
    assert isinstance(table, Table) and isinstance(text, Text)
    assert "All 72 states compared are equal." in text.text  # 3 layers, 4 sites, 6 tokens
    assert {row[6] for row in table.rows} == {0.0} and {row[8] for row in table.rows} == {1.0}


def test_a_trace_with_itself_is_not_a_question(capture: Capture) -> None:
    (result,) = diff(capture, "#1", capture.ids()[0])
    assert isinstance(result, NotApplicable) and "same trace" in result.reason


@pytest.mark.parametrize(
    ("change", "said"), [("sites", "mlp_out was not captured alike"), ("model", "different models")]
)
def test_what_cannot_be_compared_fairly_is_refused_unless_forced(
    capture: Capture, change: str, said: str
) -> None:
    a, b = commit(capture, PROMPTS[0], "same"), commit(capture, PROMPTS[0], change)
    (refused,) = diff(capture, a, b)
    assert isinstance(refused, Failed) and said in refused.reason and "-o force=true" in refused.reason
    table, *_ = diff(capture, a, b, force="true")
    assert isinstance(table, Table)
    assert len({row[1] for row in table.rows}) == (3 if change == "sites" else 4)


def test_nothing_in_common_is_said(capture: Capture) -> None:
    (result,) = diff(capture, "#1", "#3")
    assert isinstance(result, NotApplicable) and "no token in common" in result.reason


def test_noise_below_the_tolerance_is_not_a_parting(capture: Capture) -> None:
    a, b = commit(capture, PROMPTS[0], "same"), commit(capture, PROMPTS[0], "one state")
    _, text, _ = diff(capture, a, b, tolerance="10")
    assert isinstance(text, Text) and "No state differs by more than 10 of its length" in text.text
