"""Models in memory: GGUF files, settings that matter, and what no decoder is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from tensorshark.forensics.capture.forward import Recorder
from tensorshark.forensics.capture.loading import load
from tensorshark.forensics.capture.models import find
from tensorshark.forensics.capture.settings import CaptureSettings, Progress
from tensorshark.forensics.capture.unembed import export
from tensorshark.traces.errors import UsageError
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES

from .conftest import loaded

pytestmark = pytest.mark.model

MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
"""Hugging Face's names -> GGUF's."""


def write_gguf(folder: Path, path: Path) -> None:
    """The tiny qwen2 of `folder` as a GGUF file, unquantised, as llama.cpp's converter lays it out."""
    model = loaded(folder)
    config, tokenizer = model.hf.config, model.tokenizer
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    ids = tokenizer.get_vocab()
    tokens = [*sorted(ids, key=lambda token: ids[token]), "th"]
    tokens += [f"<unused{n}>" for n in range(config.vocab_size - len(tokens))]
    special = [3 if token.startswith("<") and len(token) > 1 else 1 for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(special)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(str(tokenizer.chat_template))
    for name, value in model.hf.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module not in MODULES:
            _, _, layer, module = module.split(".", 3)
            writer.add_tensor(f"blk.{layer}.{MODULES[module]}.{kind}", value.numpy())
        else:
            writer.add_tensor(f"{MODULES[module]}.{kind}", value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_the_same_model(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    """Tokens, template, every captured bit and the lens; progress instead of a bar on stderr."""
    path = tmp_path / "tiny.gguf"
    write_gguf(tiny("qwen2"), path)
    steps: list[Progress] = []
    ours = load(find(str(path)), CaptureSettings(), steps.append)
    theirs = loaded(tiny("qwen2"))
    assert ours.tokenizer("Hello, 東京").input_ids == theirs.tokenizer("Hello, 東京").input_ids
    assert ours.tokenizer.bos_token_id == theirs.tokenizer.bos_token_id
    assert ours.chat_template == theirs.chat_template
    assert [file.name for file in ours.weights] == ["tiny.gguf"]
    assert not hasattr(ours.hf.config, "quantization_config") and not ours.hf.is_quantized
    assert {step.text for step in steps} == {"dequantising"}

    def capture(model: Any) -> Any:
        [row] = Recorder(model, (*DEFAULT_SITES, ATTENTION), range(3), 5).run([[5, 6, 7, 8]])
        return row

    expected = capture(theirs)
    for name, array in capture(ours).tensors.items():
        assert np.array_equal(array.view("u4"), expected.tensors[name].view("u4")), name
    assert export(ours) is not None


def test_a_loaded_model_is_ready_to_be_captured(tiny: Callable[[str], Path], home: Path) -> None:
    model = loaded(tiny("llama"), dtype="bfloat16")
    assert model.hf.dtype == torch.bfloat16
    assert model.hf.config._attn_implementation == "eager"
    assert not model.hf.training
    assert not any(parameter.requires_grad for parameter in model.hf.parameters())
    assert (model.layers, model.heads, model.kv_heads, model.d_model, model.vocab) == (3, 4, 2, 64, 300)
    assert model.max_positions == 64
    assert {"input_ids", "attention_mask", "position_ids"} <= model.arguments


def test_encoder_decoders_are_refused(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    import transformers

    config = transformers.BartConfig(
        vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
    )  # fmt: skip
    transformers.BartForConditionalGeneration(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny("llama")).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="an encoder-decoder; only decoders can be captured"):
        loaded(tmp_path)


def test_pickled_weights_load_when_they_are_allowed(
    tmp_path: Path, tiny: Callable[[str], Path], home: Path
) -> None:
    import shutil

    place = tmp_path / "m"
    shutil.copytree(tiny("llama"), place)
    (place / "model.safetensors").unlink()
    torch.save(loaded(tiny("llama")).hf.state_dict(), place / "pytorch_model.bin")
    source = find(str(place), allow_pickle=True)
    model = load(source, CaptureSettings(allow_pickle=True))
    expected = loaded(tiny("llama")).hf.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.hf.state_dict().items())
    assert [file.name for file in model.weights] == ["pytorch_model.bin"]
