"""Tiny random models of many architectures, written like published ones: for tests, benches and plugins.

Three layers of width 64 with four heads, and a byte-level tokenizer: a forward pass takes milliseconds and
nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def _write_tokenizer(folder: Path, adds_bos: bool = False, template: str | None = TEMPLATE) -> None:
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
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=template,
    )
    fast.save_pretrained(folder)


def write_tiny_model(
    folder: Path, name: str = "llama", adds_bos: bool = False, template: str | None = TEMPLATE
) -> Path:
    """A seeded random model of one of CONFIGS as a Hugging Face folder; norms and biases are random too."""
    import torch
    import transformers

    config_class, arguments = CONFIGS[name]
    config = getattr(transformers, config_class)(**arguments)
    torch.manual_seed(0)
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    _write_tokenizer(folder, adds_bos, template)
    return folder
