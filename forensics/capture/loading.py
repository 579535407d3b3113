"""A model in memory, ready to be captured: eager attention, no gradients, and its identity hashed."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tensorshark.forensics.capture.hashes import stored_files
from tensorshark.forensics.capture.layout import Layout, block_modules, layout_of
from tensorshark.forensics.capture.models import Source, weight_files
from tensorshark.forensics.capture.settings import CaptureSettings, OnProgress, Progress, no_progress
from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.manifest import StoredFile
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
    "tekken.json",
)
_CONFIG_NOISE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Keys of config.json that say nothing about what the model computes."""


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model, its tokenizer, and everything that a manifest says about them."""

    source: Source
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layout: Layout
    device: torch.device
    dtype: str
    """What it computes in: `float32`, `bfloat16` or `float16`."""
    checkpoint_dtype: str
    """What the weights were published in, as the configuration says; empty when it does not."""
    fingerprint: str
    weights: list[StoredFile]
    tokenizer_sha256: str
    layers: int
    heads: int
    kv_heads: int
    d_model: int
    vocab: int
    max_positions: int
    """Longest sequence that it was made for; 0 when the configuration does not say."""
    arguments: frozenset[str]
    """Which arguments its forward takes."""

    @property
    def architecture(self) -> str:
        """The Hugging Face class, e.g. `LlamaForCausalLM`."""
        return type(self.hf).__name__

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's own (the default one, where there are several)."""
        template = self.tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        return template if isinstance(template, str) else None


def load(source: Source, settings: CaptureSettings, on_progress: OnProgress = no_progress) -> LoadedModel:
    """Load weights and tokenizer from this machine only; nothing is fetched here.

    Raises NotFoundError or UsageError, naming the model, when it cannot be loaded or is no decoder.
    """
    import torch

    quiet_transformers()
    device = _device(settings.device)
    config_file = _config_file(source)
    if config_file.get("is_encoder_decoder"):
        raise UsageError(f"{_named(source)}: an encoder-decoder; only decoders can be captured")
    model, tokenizer = _from_files(source, settings, getattr(torch, settings.dtype), on_progress)
    model.to(device)  # type: ignore[arg-type]  # the decorated method loses its types
    model.requires_grad_(False).eval()  # type: ignore[no-untyped-call]
    config = model.config.get_text_config()
    layout = layout_of(model)
    unembed: Any = model.get_submodule(layout.unembed)
    heads = int(config.num_attention_heads)
    weights = stored_files(weight_files(source))
    return LoadedModel(
        source=source,
        hf=model,
        tokenizer=tokenizer,
        layout=layout,
        device=device,
        dtype=settings.dtype,
        checkpoint_dtype=str(config_file.get("dtype") or config_file.get("torch_dtype") or ""),
        fingerprint=_fingerprint(config_file, weights),
        weights=weights,
        tokenizer_sha256=_tokenizer_sha256(source, weights),
        layers=len(block_modules(model, layout)),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        d_model=int(config.hidden_size),
        vocab=unembed.weight.shape[0],
        max_positions=_max_positions(config),
        arguments=frozenset(inspect.signature(model.forward).parameters),
    )


def quiet_transformers() -> None:
    """No bars and warnings of the library on stderr: progress is ours to draw, and errors are raised."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", module=r"(transformers|gguf|torch)\b.*")


@contextmanager
def reading_gguf(on_progress: OnProgress = no_progress) -> Iterator[None]:
    """While transformers reads a GGUF file: its bar on stderr becomes our progress."""
    module: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    original = module.tqdm

    def counted(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors):
            on_progress(Progress("model", "dequantising", done, len(tensors)))
            yield tensor

    module.tqdm = counted
    try:
        yield
    finally:
        module.tqdm = original


def clear_quantisation(model: Any) -> None:
    """Forget that the weights came quantised: they are plain now, and saving must not refuse them."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _from_files(
    source: Source, settings: CaptureSettings, dtype: torch.dtype, on_progress: OnProgress
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {
        "local_files_only": True,
        "trust_remote_code": settings.trust_remote_code,
    }
    if source.gguf:
        options["gguf_file"] = source.gguf
    weights_options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager"}
    if not source.gguf:
        weights_options["use_safetensors"] = None if settings.allow_pickle else True
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **options)
        with reading_gguf(on_progress) if source.gguf else nullcontext():
            model = AutoModelForCausalLM.from_pretrained(source.folder, **options, **weights_options)
    except OSError as error:
        raise NotFoundError(f"{_named(source)}: cannot be loaded: {_first_line(error)}") from None
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UsageError(f"{_named(source)}: cannot be loaded: {_first_line(error)}") from None
    if source.gguf:
        clear_quantisation(model)
    return model, tokenizer


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(f"--device {safe_text(name, 40)}: {_first_line(error)}; cpu always works") from None
    return device


def _max_positions(config: Any) -> int:
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        if isinstance(length := getattr(config, name, None), int):
            return length
    return 0


def _config_file(source: Source) -> dict[str, Any]:
    """config.json as it is on disk; a GGUF file contains its own, and this is empty."""
    if source.gguf:
        return {}
    try:
        config: dict[str, Any] = json.loads((source.folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"{_named(source)}: its config.json cannot be read: {_first_line(error)}"
        ) from None
    return config


def _fingerprint(config: dict[str, Any], weights: list[StoredFile]) -> str:
    """sha256 over the hashes of the weight files and the configuration."""
    kept = {key: value for key, value in config.items() if key not in _CONFIG_NOISE}
    identity = {"weights": sorted(file.sha256 for file in weights), "config": kept}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _tokenizer_sha256(source: Source, weights: list[StoredFile]) -> str:
    """sha256 over the hashes of the tokenizer's files (a GGUF file contains its own)."""
    if source.gguf:
        return weights[0].sha256
    files = stored_files(path for name in _TOKENIZER_FILES if (path := source.folder / name).is_file())
    identity = json.dumps({file.name: file.sha256 for file in files}, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def _named(source: Source) -> str:
    return safe_text(source.origin, 200)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return safe_text(lines[0], 300) if lines else type(error).__name__
