"""Synthetic captures: the same every time, and true to the arithmetic that tests of others rely on."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy

from tensorshark.traces.sites import SITES
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import CATEGORIES, append_synthetic, write_synthetic


def test_the_same_arguments_give_the_same_traces(tmp_path: Path) -> None:
    one, two = (write_synthetic(tmp_path / name, seed=3) for name in "ab")
    other = write_synthetic(tmp_path / "c", seed=4)
    assert one.ids() == two.ids()
    assert not set(one.ids()) & set(other.ids())
    for first, second in zip(one.select(), two.select(), strict=True):
        assert [tensor.sha256 for tensor in first.manifest.tensors] == [
            tensor.sha256 for tensor in second.manifest.tensors
        ]


def test_writing_again_adds_nothing_and_more_adds_more(capture: Capture) -> None:
    write_synthetic(capture.path)
    assert len(capture) == 8
    assert len(append_synthetic(capture, traces=3)) == 3
    assert append_synthetic(capture, traces=3) == []
    assert len(capture) == 11


def test_all_six_categories_are_there(capture: Capture) -> None:
    assert {trace.labels["category"] for trace in capture.select()} == set(CATEGORIES)


def test_prompts_and_labels_are_what_was_asked_for(tmp_path: Path) -> None:
    hostile = ["\x1b]52;c;x\x07", "[@click=app.quit]x[/]", "a\0b", "", "\u202eabc", "x" * 10_000]
    capture = write_synthetic(tmp_path / "a", traces=6, prompts=hostile, labels=[{"k": "1"}, {"k": "2"}])
    assert [trace.prompt for trace in capture.select()] == hostile
    assert ["".join(trace.tokens) for trace in capture.select()] == hostile
    assert [trace.labels["k"] for trace in capture.select()] == ["1", "2"] * 3


def test_statistics_are_those_of_the_tensors(tmp_path: Path) -> None:
    for trace in write_synthetic(tmp_path / "a", patterns=True).select():
        for layer in range(4):
            for site in ("resid_pre", "attn_out", "mlp_out", "resid_post"):
                values = trace.load(SITES[site].at(layer))
                assert np.allclose(trace.stats[f"norm.{site}"][layer], np.linalg.norm(values, axis=-1))
                assert np.array_equal(trace.stats[f"absmax.{site}"][layer], np.abs(values).max(-1))
            pattern = trace.load(SITES["pattern"].at(layer))  # head, query, key
            assert np.allclose(pattern.sum(-1), 1, atol=1e-6)
            assert np.all(np.triu(pattern, 1) == 0)
            assert np.allclose(trace.stats["attn.entropy"][layer], entropy(pattern, axis=-1), atol=1e-5)
            assert np.array_equal(trace.stats["attn.sink"][layer], pattern[..., 0])
            assert np.allclose(
                trace.stats["attn.entropy_rest"][layer][:, 1:],
                entropy(pattern[:, 1:, 1:], axis=-1),
                atol=1e-5,
            )
            assert np.all(trace.stats["attn.entropy_rest"][layer][:, 0] == 0)


def test_norms_grow_with_depth_and_the_first_token_stands_out(capture: Capture) -> None:
    for trace in capture.select():
        norms = trace.stats["norm.resid_post"]
        assert norms[-1].mean() > norms[0].mean()
        assert norms[-1].argmax() == 0


def test_next_tokens_come_out_of_the_lens(capture: Capture) -> None:
    lens, words = capture.lens("synthetic"), capture.vocab("synthetic")
    for trace in capture.select():
        last = trace.load("blocks.3.hook_resid_post")[-1].astype(np.float64)
        logits = lens["unembed.weight"] @ (last / np.sqrt(np.mean(last**2) + 1e-5) * lens["norm.weight"])
        p = np.exp(logits) / np.exp(logits).sum()
        assert [token.id for token in trace.manifest.next_tokens] == list(np.argsort(-p)[:5])
        assert [token.p for token in trace.manifest.next_tokens] == pytest.approx(
            np.sort(p)[::-1][:5], rel=1e-4
        )
        assert [token.token for token in trace.manifest.next_tokens] == [
            words[token.id] for token in trace.manifest.next_tokens
        ]
