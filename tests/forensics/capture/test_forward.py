"""What is captured is what the model computed: against Hugging Face, its own hooks, and TransformerLens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tensorshark.forensics.capture.forward import Recorder, Row
from tensorshark.forensics.capture.layout import block_modules
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.tiny import ARCHITECTURES
from tensorshark.traces.residuals import split
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES, SITES

from .conftest import loaded

pytestmark = pytest.mark.model

ALL = (*DEFAULT_SITES, ATTENTION, "pattern")
IDS = [256, 72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100]
TEXTS = ["The capital of France is", "def add(a, b):\n    return", "Grüße aus Köln, 東京", "x"]


def record(model: LoadedModel, *batch: Sequence[int], sites: Sequence[str] = ALL) -> list[Row]:
    """One pass that keeps every layer."""
    return Recorder(model, sites, range(model.layers), top_k=5).run(batch)


def plain(model: LoadedModel, ids: Sequence[int]) -> Any:
    """The model as anybody would call it."""
    with torch.inference_mode():
        return model.hf(torch.tensor([list(ids)]), output_hidden_states=True, output_attentions=True)


def site(row: Row, name: str, layer: int) -> np.ndarray[Any, Any]:
    return row.tensors[SITES[name].at(layer)]


def assert_equals_hugging_face(model: LoadedModel, ids: Sequence[int], exact: bool) -> None:
    """Hidden states, attentions, and what forward hooks of our own see on the modules."""

    def same(ours: np.ndarray[Any, Any], theirs: torch.Tensor, what: str) -> None:
        expected = theirs.reshape(ours.shape).numpy()
        if exact:
            assert np.array_equal(ours.view("u4"), expected.view("u4")), what
        else:
            assert np.abs(ours - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max()), what

    [row] = record(model, ids)
    seen: dict[tuple[str, int], torch.Tensor] = {}
    handles = []
    for layer, block in enumerate(block_modules(model.hf, model.layout)):
        for name in ("attn_out", "mlp_out"):

            def keep(_: Any, __: Any, output: Any, key: tuple[str, int] = (name, layer)) -> None:
                seen[key] = (output[0] if isinstance(output, tuple) else output).clone()

            handles.append(block.get_submodule(getattr(model.layout, name)).register_forward_hook(keep))
    out = plain(model, ids)
    for handle in handles:
        handle.remove()
    for layer in range(model.layers):
        same(site(row, "resid_pre", layer), out.hidden_states[layer][0], f"resid_pre {layer}")
        same(site(row, "attn_out", layer), seen["attn_out", layer], f"attn_out {layer}")
        same(site(row, "mlp_out", layer), seen["mlp_out", layer], f"mlp_out {layer}")
        same(site(row, "pattern", layer), out.attentions[layer][0], f"pattern {layer}")
        if layer < model.layers - 1:
            same(site(row, "resid_post", layer), out.hidden_states[layer + 1][0], f"resid_post {layer}")
    last = torch.from_numpy(site(row, "resid_post", model.layers - 1).copy())[None]
    with torch.inference_mode():
        normed = model.hf.get_submodule(model.layout.final_norm)(last)[0]
    same(normed.numpy(), out.hidden_states[-1][0], "the final norm of the last resid_post")
    best = out.logits[0, -1].softmax(-1).topk(5)
    assert row.next_ids == best.indices.tolist()
    assert row.next_p == pytest.approx(best.values.tolist(), rel=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equals_hugging_face(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    """Bit for bit, but for gpt2 and its kin, whose matrix products are fused differently."""
    model = loaded(tiny(name))
    exact = name not in ("gpt2", "gptj", "bloom")
    assert_equals_hugging_face(model, IDS, exact)


def test_equals_hugging_face_on_the_default_model(smollm2: Path) -> None:
    model = loaded(smollm2)
    for text in TEXTS:
        assert_equals_hugging_face(model, model.tokenizer(text).input_ids, exact=True)


def assert_equals_bridge(model: LoadedModel, ids: Sequence[int], tolerance: float) -> None:
    """TransformerLens's run_with_cache on a copy of the model gives the same four sites and patterns."""
    from transformer_lens.model_bridge import TransformerBridge

    [row] = record(model, ids)
    bridge = TransformerBridge.boot_transformers(
        "copy", device="cpu", hf_model=copy.deepcopy(model.hf), tokenizer=copy.deepcopy(model.tokenizer)
    )
    wanted = set(row.tensors)
    # the names that we store are aliases of the bridge's own
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([list(ids)]))
    for name in wanted:
        ours, theirs = row.tensors[name], cache[name][0].numpy()
        if tolerance == 0:
            assert np.array_equal(ours.view("u4"), theirs.view("u4")), name
        else:
            assert np.abs(ours - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max()), name


@pytest.mark.parametrize("name", ["llama", "qwen2", "mistral", "gemma2", "neox", "gpt2"])
def test_equals_the_bridge(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    assert_equals_bridge(loaded(tiny(name)), IDS, tolerance=1e-6 if name == "gpt2" else 0)


def test_equals_the_bridge_on_the_default_model(smollm2: Path) -> None:
    model = loaded(smollm2)
    assert_equals_bridge(model, model.tokenizer(TEXTS[0]).input_ids, tolerance=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_padded_batch_equals_single_runs(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    """Rows of other lengths in the batch change nothing but the last bits, in tensors and statistics."""
    model = loaded(tiny(name))
    batch = [IDS[:3], IDS, IDS[:1], IDS[2:9]]
    assert_close(record(model, *batch), [record(model, ids)[0] for ids in batch])


def test_a_padded_batch_equals_single_runs_on_the_default_model(smollm2: Path) -> None:
    model = loaded(smollm2)
    batch = [model.tokenizer(text).input_ids for text in TEXTS]
    assert_close(record(model, *batch), [record(model, ids)[0] for ids in batch])


def assert_close(rows: Sequence[Row], singles: Sequence[Row]) -> None:
    """Within 1e-5 of the largest value of each tensor; probabilities and entropies within 1e-4."""
    for row, single in zip(rows, singles, strict=True):
        assert row.next_ids[0] == single.next_ids[0]
        for name, expected in single.tensors.items():
            got = row.tensors[name]
            assert got.shape == expected.shape, name
            assert np.abs(got - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max()), name
        for name, expected in single.stats.items():
            np.testing.assert_allclose(row.stats[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["llama", "qwen2", "mistral", "gemma2", "gpt2", "neox-sequential"])
def test_residuals_are_sums_bit_for_bit(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    """In sequential blocks resid_post is three parts added up, and every later resid_pre the one before."""
    model = loaded(tiny(name))
    [row] = record(model, IDS, sites=DEFAULT_SITES)
    stored, derived = split(row.tensors)
    assert len(stored) == 1 + 2 * model.layers
    assert len(derived) == 2 * model.layers - 1


def test_only_what_was_asked_for(tiny: Callable[[str], Path], home: Path) -> None:
    model = loaded(tiny("llama"))
    [row] = Recorder(model, ["mlp_out"], [0, 2], top_k=0).run([IDS])
    assert set(row.tensors) == {SITES["mlp_out"].at(0), SITES["mlp_out"].at(2)}
    assert {name: array.shape for name, array in row.stats.items()} == {
        "norm.mlp_out": (2, len(IDS)),
        "absmax.mlp_out": (2, len(IDS)),
    }
    assert row.next_ids == []


def test_statistics_are_those_of_the_tensors(tiny: Callable[[str], Path], home: Path) -> None:
    """(layer, pos), of the values that are stored."""
    model = loaded(tiny("llama"))
    [row] = record(model, IDS)
    for name in DEFAULT_SITES:
        values = np.stack([site(row, name, layer) for layer in range(model.layers)])
        np.testing.assert_allclose(row.stats[f"norm.{name}"], np.linalg.norm(values, axis=-1), rtol=1e-5)
        assert np.array_equal(row.stats[f"absmax.{name}"], np.abs(values).max(-1))


def test_captured_arrays_are_copies(tiny: Callable[[str], Path], home: Path) -> None:
    """A second pass leaves the first one's numbers alone."""
    model = loaded(tiny("gpt2"))
    recorder = Recorder(model, ALL, range(model.layers), top_k=1)
    [first] = recorder.run([IDS])
    before = {name: array.copy() for name, array in first.tensors.items()}
    recorder.run([list(reversed(IDS))])
    assert all(np.array_equal(first.tensors[name], array) for name, array in before.items())


def test_hooks_are_gone_after_a_pass_and_after_a_failure(tiny: Callable[[str], Path], home: Path) -> None:
    model = loaded(tiny("llama"))
    record(model, IDS)
    with pytest.raises(IndexError):
        record(model, [100_000])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.hf.modules())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_its_bits(dtype: str, tiny: Callable[[str], Path], home: Path) -> None:
    """Stored in what the model computed in; bfloat16 through ml_dtypes."""
    model = loaded(tiny("llama"), dtype=dtype)
    [row] = record(model, IDS, sites=DEFAULT_SITES)
    out = plain(model, IDS)
    for layer in range(model.layers):
        ours = site(row, "resid_pre", layer)
        assert ours.dtype.name == dtype
        assert np.array_equal(ours.view("i2"), out.hidden_states[layer][0].view(torch.int16).numpy())
