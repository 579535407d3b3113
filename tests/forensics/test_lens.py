"""The logit lens against scipy, torch and the logits of real (tiny, random) Hugging Face models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tensorshark.forensics import lens
from tensorshark.forensics.lens import ABSENT, distribution, readout, token_strings
from tensorshark.traces.errors import UsageError
from tensorshark.traces.manifest import Lens, Norm
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

D, VOCAB = 12, 1000


def settings(kind: str = "rms", offset: float = 0.0, scale: float = 1.0, softcap: float = 0.0) -> Lens:
    norm = Norm(kind=kind, eps=1e-5, offset=offset)
    return Lens(storage="embed", source="", sha256="", size=0, norm=norm, scale=scale, softcap=softcap)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"norm.weight": (D,), "norm.bias": (D,), "unembed.weight": (VOCAB, D), "unembed.bias": (VOCAB,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def states() -> np.ndarray:
    """(layer, pos, d_model)"""
    return np.random.default_rng(1).normal(scale=3, size=(5, 7, D)).astype(np.float32)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("lens") / "x.tshark", traces=2, layers=4)


@pytest.mark.parametrize(
    "how",
    [
        settings(),
        settings("layer"),
        settings(offset=1.0),
        settings(scale=0.25),
        settings("layer", offset=1.0, scale=0.5, softcap=30.0),
    ],
)
def test_logits_are_torchs(how: Lens, weights: dict[str, np.ndarray], states: np.ndarray) -> None:
    import torch
    from torch.nn import functional

    x, w = torch.from_numpy(states[0]).double(), {k: torch.from_numpy(v).double() for k, v in weights.items()}
    gain = w["norm.weight"] + how.norm.offset
    if how.norm.kind == "layer":
        normed = functional.layer_norm(x, (D,), gain, w["norm.bias"], how.norm.eps)
    else:
        normed = functional.rms_norm(x, (D,), gain, how.norm.eps) + w["norm.bias"]
    expected = how.scale * functional.linear(normed, w["unembed.weight"], w["unembed.bias"])
    if how.softcap:
        expected = how.softcap * torch.tanh(expected / how.softcap)
    assert np.abs(lens.logits(states[0], weights, how) - expected.numpy()).max() < 1e-4


def test_numbers_are_scipys(weights: dict[str, np.ndarray], states: np.ndarray) -> None:
    found = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=4)
    scores = np.stack([lens.logits(layer, weights, settings()) for layer in states]).astype(np.float64)
    p = scipy.special.softmax(scores, axis=-1)  # (layer, pos, vocab)
    assert np.allclose(found.entropy, scipy.stats.entropy(p, axis=-1), atol=1e-5)
    assert np.allclose(found.kl, scipy.stats.entropy(p, p[-1][None], axis=-1), atol=1e-5)
    assert np.allclose(found.kl_reverse, scipy.special.rel_entr(p[-1], p).sum(-1), atol=1e-5)
    order = np.argsort(-scores, axis=-1, kind="stable")
    assert np.array_equal(found.token_ids, order[..., :4])
    assert np.allclose(found.probs, np.take_along_axis(p, order[..., :4], -1), atol=1e-6)
    first = scores[-1].argmax(-1)
    assert np.array_equal(found.tracked, first)
    places = [
        [scipy.stats.rankdata(-s, method="min")[t] - 1 for s, t in zip(row, first, strict=True)]
        for row in scores
    ]
    assert np.array_equal(found.rank, places)
    assert (found.rank[-1] == 0).all()


def test_kl_has_a_direction_and_is_never_negative(weights: dict[str, np.ndarray], states: np.ndarray) -> None:
    found = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=1)
    assert (found.kl >= 0).all() and (found.kl_reverse >= 0).all()
    assert not np.allclose(found.kl[0], found.kl_reverse[0])


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_blocks_change_nothing(
    rows: int, weights: dict[str, np.ndarray], states: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=3)
    monkeypatch.setattr(lens, "ROWS", rows)
    parts = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=3)
    assert np.array_equal(whole.token_ids, parts.token_ids) and np.array_equal(whole.rank, parts.rank)
    for name in ("probs", "entropy", "kl", "kl_reverse"):
        assert np.allclose(getattr(whole, name), getattr(parts, name), atol=1e-5)


@pytest.mark.parametrize("vocab", [1, 5, 63, 64, 65, 640, 1000])
@pytest.mark.parametrize("k", [1, 2, 10])
def test_top_is_a_sort(vocab: int, k: int) -> None:
    scores = np.random.default_rng(vocab).normal(size=(3, 2, vocab)).astype(np.float32)
    assert np.array_equal(lens.top(scores, k), np.argsort(-scores, axis=-1, kind="stable")[..., :k])


def test_a_tracked_token_is_ranked_instead(weights: dict[str, np.ndarray], states: np.ndarray) -> None:
    first = states[:, :1]
    found = readout(first, first[-1], weights, settings(), list(range(5)), [0], top_k=VOCAB, track=17)
    assert found.tracked.tolist() == [17]
    assert [ids.tolist().index(17) for ids in found.token_ids[:, 0]] == found.rank[:, 0].tolist()
    with pytest.raises(UsageError, match="outside the vocabulary of 1,000"):
        readout(first, None, weights, settings(), list(range(5)), [0], top_k=1, track=VOCAB)


def test_without_the_last_layer_there_is_no_distance(
    weights: dict[str, np.ndarray], states: np.ndarray
) -> None:
    found = readout(states, None, weights, settings(), list(range(5)), list(range(7)), top_k=1)
    assert np.isnan(found.kl).all() and np.isnan(found.kl_reverse).all() and (found.rank == ABSENT).all()
    assert np.isfinite(found.entropy).all()


def test_a_state_that_is_not_finite_says_nothing(weights: dict[str, np.ndarray], states: np.ndarray) -> None:
    whole = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=2)
    states[2, 3, 0], states[-1, 5, 1] = np.nan, np.inf
    found = readout(states, states[-1], weights, settings(), list(range(5)), list(range(7)), top_k=2)
    assert (found.token_ids[2, 3] == ABSENT).all() and np.isnan(found.probs[2, 3]).all()
    assert np.isnan([found.entropy[2, 3], found.kl[2, 3]]).all() and found.rank[2, 3] == ABSENT
    assert np.isnan(found.kl[:, 5]).all() and (found.rank[:, 5] == ABSENT).all()
    assert np.isfinite(found.entropy[:4, 5]).all()  # those layers are well; only the last one is not
    others = [p for p in range(7) if p not in (3, 5)]
    assert np.array_equal(found.token_ids[:, others], whole.token_ids[:, others])
    assert np.array_equal(found.rank[:, others], whole.rank[:, others])
    assert np.allclose(found.kl[:, others], whole.kl[:, others], atol=1e-5)
    assert token_strings(found.token_ids[2:3, 3:4], ["x"] * VOCAB) == [[["", ""]]]


def test_extreme_logits_do_not_overflow() -> None:
    rows = distribution(np.array([[1e4, 0.0, -1e4]], dtype=np.float32))
    assert lens.entropy(rows)[0] == 0 and rows.p[0].tolist() == [1, 0, 0]
    assert lens.kl(rows, rows)[0] == 0


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_narrow_states_are_read_in_float32(
    stored: str, weights: dict[str, np.ndarray], states: np.ndarray
) -> None:
    narrow = states.astype(ml_dtypes.bfloat16 if stored == "bfloat16" else np.float16)
    narrow[1, 2, 0] = np.nan
    wide = narrow.astype(np.float32)
    a, b = (
        readout(x, x[-1], weights, settings(), list(range(5)), list(range(7)), top_k=2)
        for x in (narrow, wide)
    )
    assert np.array_equal(a.token_ids, b.token_ids) and np.array_equal(a.kl, b.kl, equal_nan=True)


def test_wrong_widths_and_kinds_are_refused(weights: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="width 12"):
        lens.logits(np.zeros((2, D + 1), np.float32), weights, settings())
    with pytest.raises(UsageError, match="kind 'batch'"):
        lens.logits(np.zeros((2, D), np.float32), weights, settings("batch"))


def test_a_stored_trace_is_read_from_the_captures_own_lens_file(capture: Capture) -> None:
    trace = capture.trace(capture.ids()[0])
    last = len(trace.token_ids) - 1
    found = lens.read(trace, [0, 3], [0, last], top_k=5)
    listed = trace.manifest.next_tokens
    assert found.token_ids[1, 1].tolist() == [token.id for token in listed]
    assert np.allclose(found.probs[1, 1], [token.p for token in listed], atol=1e-6)
    assert (found.kl[1] == 0).all() and (found.kl_reverse[1] == 0).all() and (found.kl[0] > 0).all()
    names = token_strings(found.token_ids, capture.vocab(trace.manifest.model))
    assert names[1][1] == [token.token for token in listed]


def test_weights_are_read_once_and_follow_the_file(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens, "_prepared", {})
    first = lens.weights_of(capture, "synthetic")
    assert lens.weights_of(Capture.open(capture.path), "synthetic") is first
    assert all(weight.dtype == np.float32 for weight in first.values())


# ------------------------------------------------------------------ real models


def tiny(architecture: str) -> Any:
    import torch
    import transformers

    common: dict[str, Any] = {
        "vocab_size": 500,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    small = {**common, "intermediate_size": 96, "num_key_value_heads": 2, "head_dim": 16}
    configs = {
        "llama": lambda: transformers.LlamaConfig(**small),
        "gemma2": lambda: transformers.Gemma2Config(**small, final_logit_softcapping=5.0),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=500, n_embd=64, n_layer=3, n_head=4),
        "cohere": lambda: transformers.CohereConfig(**small, logit_scale=0.25),
    }
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        configs[architecture](), attn_implementation="eager"
    )
    for name, parameter in model.named_parameters():
        if "norm" in name or "ln_f" in name:  # as initialised, norms do nothing that a test could see
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    return model.eval()


@pytest.mark.model
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "cohere"])
def test_the_last_layer_gives_the_models_logits(architecture: str) -> None:
    import torch

    model = tiny(architecture)
    seen: list[Any] = []
    norm = model.transformer.ln_f if architecture == "gpt2" else model.model.norm
    norm.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.inference_mode():
        expected = model(torch.arange(20)[None]).logits[0].numpy()
    states = seen[0][0].numpy()  # (pos, d_model): resid_post of the last layer
    weights = {
        "norm.weight": norm.weight.detach().numpy(),
        "unembed.weight": model.lm_head.weight.detach().numpy(),
    }
    if architecture == "gpt2":
        weights["norm.bias"] = norm.bias.detach().numpy()
    how = {
        "llama": settings(),
        "gemma2": settings(offset=1.0, softcap=5.0),
        "gpt2": settings("layer"),
        "cohere": settings("layer", scale=0.25),
    }[architecture]
    eps = getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None)
    how = msgspec.structs.replace(how, norm=msgspec.structs.replace(how.norm, eps=float(eps)))
    assert np.abs(lens.logits(states, weights, how) - expected).max() <= 1e-4


def test_the_lens_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from tensorshark.traces.synthetic import write_synthetic\n"
        "from tensorshark.forensics.lens import read\n"
        f"capture = write_synthetic({str(tmp_path / 'x.tshark')!r}, traces=1)\n"
        "trace = capture.trace(capture.ids()[0])\n"
        "assert read(trace, [0], [0]).probs[0, 0, 0] > 0\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
