"""What it takes to read a lens without the model: final norm, unembedding, and the formula between them.

The formula is not taken on trust: the norm's kind is the one that reproduces the module, and the whole lens
must reproduce the model's logits before it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tensorshark.forensics import lens as logit_lens
from tensorshark.forensics.capture.forward import to_numpy
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.traces.manifest import Lens, Norm

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Array = np.ndarray[Any, np.dtype[Any]]

_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest difference of a logit, relative to the largest logit, by the dtype the model computes in."""


@dataclass(frozen=True)
class LensWeights:
    """The tensors of lens.safetensors and how to use them."""

    tensors: dict[str, Array]
    """norm.weight, norm.bias?, unembed.weight (vocab, d_model), unembed.bias?"""
    formula: Lens
    """With storage `none`: where the tensors go is for the caller to decide."""


def export(model: LoadedModel) -> LensWeights | None:
    """The model's lens, or None when its logits are not softcap(scale * (norm(x) @ unembed.T + bias)).

    Weights are copied in the checkpoint's dtype when that holds them exactly, else in the compute dtype.
    """
    final_norm: Any = model.hf.get_submodule(model.layout.final_norm)
    unembed: Any = model.hf.get_submodule(model.layout.unembed)
    weight = getattr(final_norm, "weight", None)
    if weight is None:
        weight = torch.ones(model.d_model)
    with torch.inference_mode():
        norm = _norm_formula(final_norm, weight, model)
        if norm is None:
            return None
        tensors = {"norm.weight": weight, "unembed.weight": unembed.weight}
        for name, module in (("norm.bias", final_norm), ("unembed.bias", unembed)):
            if getattr(module, "bias", None) is not None:
                tensors[name] = module.bias
        found = LensWeights(
            {name: to_numpy(_narrowed(tensor, model)) for name, tensor in tensors.items()},
            Lens(
                storage="none",
                source=model.source.origin,
                sha256="",
                size=0,
                norm=norm,
                scale=_scale(model.hf.config.get_text_config()),
                softcap=float(
                    getattr(model.hf.config.get_text_config(), "final_logit_softcapping", None) or 0.0
                ),
            ),
        )
        return found if _reproduces(found, model, final_norm) else None


def _norm_formula(module: Module, weight: Tensor, model: LoadedModel) -> Norm | None:
    """The kind and offset whose formula gives what the module gives, on one random state."""
    eps = next(
        (
            float(value)
            for name in ("eps", "variance_epsilon")
            if (value := getattr(module, name, None)) is not None
        ),
        1e-5,
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, model.d_model, generator=generator).to(model.device, weight.dtype)
    expected = module(x).float().cpu().numpy()
    weights = {"norm.weight": weight.float().cpu().numpy()}
    if getattr(module, "bias", None) is not None:
        weights["norm.bias"] = module.bias.float().cpu().numpy()  # type: ignore[operator]
    for kind, offset in (("rms", 0.0), ("rms", 1.0), ("layer", 0.0), ("layer", 1.0)):
        norm = Norm(kind=kind, eps=eps, offset=offset)
        formula = Lens(storage="none", source="", sha256="", size=0, norm=norm, scale=1.0, softcap=0.0)
        got = logit_lens.norm(x.float().cpu().numpy(), weights, formula)
        if _close(got, expected, model.dtype):
            return norm
    return None


def _scale(config: Any) -> float:
    """Cohere multiplies the logits, Granite divides them."""
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return float(scale if scale is not None else 1.0) / float(divisor or 1.0)


def _reproduces(found: LensWeights, model: LoadedModel, final_norm: Module) -> bool:
    """True when the lens of the state before the final norm is the model's logits, on a few tokens."""
    states: list[Tensor] = []
    handle = final_norm.register_forward_pre_hook(lambda _, args: states.append(args[0]))
    try:
        ids = torch.arange(min(4, model.vocab), device=model.device)[None]
        logits = model.hf(input_ids=ids).logits[0].float().cpu().numpy()  # (pos, vocab)
    finally:
        handle.remove()
    if len(states) != 1:
        return False
    got = logit_lens.logits(states[0][0].float().cpu().numpy(), found.tensors, found.formula)
    return got.shape == logits.shape and _close(got, logits, model.dtype)


def _close(got: Array, expected: Array, dtype: str) -> bool:
    scale = max(1.0, float(np.abs(expected).max()))
    return bool(np.abs(got - expected).max() <= _TOLERANCE[dtype] * scale)


def _narrowed(weight: Tensor, model: LoadedModel) -> Tensor:
    """A copy in the checkpoint's dtype where no bit is lost: half the bytes for most published models."""
    kept = getattr(torch, model.checkpoint_dtype, weight.dtype)
    narrow = weight.detach().to(kept)
    lossless = narrow.element_size() < weight.element_size() and torch.equal(narrow.to(weight.dtype), weight)
    return narrow if lossless else weight.detach().clone()
