"""Which module of a model computes which site.

TransformerLens names the sites. Its adapters say, per architecture, which module's output is
`hook_attn_out`, where the blocks are and which module is the final norm. Importing it takes seconds,
so the layouts of common architectures are written down here; a test shows that each equals the
adapter's answer, and any other architecture is asked for (`from_bridge`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Layout:
    """Module paths: `blocks`, `final_norm`, `unembed` from the model, the others from a block.

    resid_pre is a block's input and resid_post its output.
    """

    blocks: str
    attention: str
    """Returns (output, attention weights) under eager attention."""
    attn_out: str | None
    """The module whose output is added to the residual stream; None where no module computes it."""
    mlp_out: str | None
    final_norm: str
    unembed: str = "lm_head"
    parallel: bool = False
    """True where attention and MLP read the same residual stream."""


_LLAMA = Layout("model.layers", "self_attn", "self_attn", "mlp", "model.norm")
_POST_NORM = Layout(
    "model.layers", "self_attn", "post_attention_layernorm", "post_feedforward_layernorm", "model.norm"
)

KNOWN: dict[str, Layout] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "MixtralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": _LLAMA,
    "Qwen3ForCausalLM": _LLAMA,
    "Phi3ForCausalLM": _LLAMA,
    "GemmaForCausalLM": _LLAMA,
    "Gemma2ForCausalLM": _POST_NORM,
    "Gemma3ForCausalLM": _POST_NORM,
    "Olmo2ForCausalLM": _POST_NORM,
    "GPT2LMHeadModel": Layout("transformer.h", "attn", "attn", "mlp", "transformer.ln_f"),
}
"""Class name -> layout, for classes whose layout no setting changes."""


def layout_of(model: PreTrainedModel) -> Layout:
    """The layout of a Hugging Face causal language model.

    Raises UsageError when TransformerLens has no adapter for the architecture.
    """
    name = type(model).__name__
    if name == "GPTNeoXForCausalLM":
        return Layout(
            "gpt_neox.layers",
            "attention",
            "attention",
            "mlp",
            "gpt_neox.final_layer_norm",
            parallel=bool(model.config.use_parallel_residual),
        )
    return KNOWN.get(name) or from_bridge(model)


def from_bridge(model: PreTrainedModel) -> Layout:
    """The same from TransformerLens's architecture adapter, without touching the model. Seconds to import."""
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.generalized_components import ParallelBlockBridge
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    name = type(model).__name__
    try:
        config = build_bridge_config_from_hf(model.config, name, "model", model.dtype)
        parts: Any = ArchitectureAdapterFactory.select_architecture_adapter(config).get_component_mapping()
        blocks = parts["blocks"]
        layout = Layout(
            blocks=blocks.name,
            attention=blocks.submodules["attn"].name,
            attn_out=_module_of(blocks, "hook_attn_out"),
            mlp_out=_module_of(blocks, "hook_mlp_out"),
            final_norm=parts["ln_final"].name,
            unembed=parts["unembed"].name,
            parallel=isinstance(blocks, ParallelBlockBridge),
        )
        for path in (layout.blocks, layout.final_norm, layout.unembed):
            model.get_submodule(path)
    except (KeyError, ValueError, AttributeError) as error:
        reason = safe_text(str(error).splitlines()[0], 200) if str(error) else type(error).__name__
        raise UsageError(
            f"{safe_text(name, 80)}: TransformerLens knows no decoder blocks in it ({reason}); "
            "models that generate text token by token can be captured"
        ) from None
    return layout


def _module_of(blocks: Any, alias: str) -> str | None:
    """`hook_attn_out` -> `ln1_post.hook_out` -> the module's path inside a block of the model."""
    *names, hook = (blocks.hook_aliases.get(alias) or "").split(".")
    if hook != "hook_out" or not names:
        return None
    path, part = [], blocks
    for name in names:
        part = part.submodules[name]
        if part.name is not None:
            path.append(part.name)
    return ".".join(path)


def block_modules(model: Module, layout: Layout) -> list[Module]:
    """The model's blocks, first to last."""
    return list(model.get_submodule(layout.blocks).children())
