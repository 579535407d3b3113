"""The exported lens, read by the lens that people will read it with, gives the model's own logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tensorshark.forensics import lens as logit_lens
from tensorshark.forensics.capture.forward import Recorder
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.tiny import CONFIGS
from tensorshark.forensics.capture.unembed import export
from tensorshark.traces.sites import SITES

from .conftest import loaded

pytestmark = pytest.mark.model

IDS = [5, 9, 12, 40, 3]


def assert_last_layer_is_the_logits(model: LoadedModel, ids: list[int]) -> None:
    """resid_post of the last layer through the exported lens, at every position."""
    found = export(model)
    assert found is not None
    last = SITES["resid_post"].at(model.layers - 1)
    [row] = Recorder(model, ["resid_post"], [model.layers - 1], 1).run([ids])
    got = logit_lens.logits(row.tensors[last], found.tensors, found.formula)
    with torch.inference_mode():
        expected = model.hf(torch.tensor([ids])).logits[0].float().numpy()
    assert np.abs(got - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_lens_of_every_architecture(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    """RMS and layer norms, Gemma's offset and softcap, Cohere's and Granite's scale, biases."""
    assert_last_layer_is_the_logits(loaded(tiny(name)), IDS)


def test_the_lens_of_the_default_model(smollm2: Path) -> None:
    model = loaded(smollm2)
    assert_last_layer_is_the_logits(model, model.tokenizer("The capital of France is").input_ids)


def test_the_formula_says_what_the_architecture_does(tiny: Callable[[str], Path], home: Path) -> None:
    def norm(name: str) -> tuple[str, float]:
        found = export(loaded(tiny(name)))
        assert found is not None
        return found.formula.norm.kind, found.formula.norm.offset

    assert norm("llama") == ("rms", 0.0)
    assert norm("gemma2") == ("rms", 1.0)
    assert norm("gpt2") == norm("cohere") == ("layer", 0.0)
    gemma, cohere, granite = (export(loaded(tiny(name))) for name in ("gemma2", "cohere", "granite"))
    assert gemma is not None and cohere is not None and granite is not None
    assert gemma.formula.softcap == 30.0
    assert cohere.formula.scale == 0.25
    assert granite.formula.scale == 0.25


def test_a_model_with_other_logits_has_no_lens(tiny: Callable[[str], Path], home: Path) -> None:
    """Rather than one that lies: here something happens between the final norm and the unembedding."""
    model = loaded(tiny("llama"))
    model.hf.lm_head.register_forward_hook(lambda _, __, logits: logits.flip(-1))
    assert export(model) is None


def test_weights_keep_the_checkpoints_dtype(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    """A bfloat16 checkpoint that computes in float32 is stored in bfloat16: half the bytes, every bit."""
    import transformers

    folder = tmp_path / "half"
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny("llama"), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tiny("llama")).save_pretrained(folder)
    found = export(loaded(folder))
    assert found is not None
    assert {array.dtype.name for array in found.tensors.values()} == {"bfloat16"}
    expected = model.lm_head.weight.detach().float().numpy()
    assert np.array_equal(found.tensors["unembed.weight"].astype(np.float32), expected)
    full = export(loaded(tiny("llama")))
    assert full is not None
    assert {array.dtype.name for array in full.tensors.values()} == {"float32"}
    assert math.isclose(found.formula.norm.eps, full.formula.norm.eps)
