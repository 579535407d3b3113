"""Small numbers taken from large tensors while they are at hand, in the dtype the model computed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def residual_stats(x: Tensor) -> tuple[Tensor, Tensor]:
    """L2 norm and largest magnitude over the last axis: (batch, pos, d_model) -> two of (batch, pos).

    NaN and infinity go through, so that they are seen.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    low, high = torch.aminmax(x, dim=-1)
    return norm, torch.maximum(low.neg(), high).float()


def attention_summaries(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entropy, entropy without the first token, and share on the first token, of each query's attention.

    (batch, head, q_pos, k_pos) -> three of (batch, head, q_pos), float32. Entropy is -sum(p ln p) in nats.
    Without the first token the rest is renormalised: with R = sum of the rest, H_rest = S_rest / R + ln R;
    where nothing is left (the first query) it is 0. Large attention on the first token ("sink", Xiao et al.
    2023) makes the entropy fall without any focus on content, which H_rest tells apart.
    """
    p = weights.float()
    surprise = torch.special.entr(p)
    rest_mass = p[..., 1:].sum(-1)
    rest_entropy = surprise[..., 1:].sum(-1)
    sink = p[..., 0].clone()
    entropy = rest_entropy + surprise[..., 0]
    rest = torch.where(rest_mass > 0, rest_entropy / rest_mass + rest_mass.log(), 0.0)
    return entropy, rest.clamp_min(0.0), sink


def next_tokens(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Ids and probabilities of the likeliest next tokens: (batch, vocab) -> two of (batch, count)."""
    best = logits.float().softmax(-1).topk(min(count, logits.shape[-1]), dim=-1)
    return best.indices, best.values
