"""One forward pass with plain PyTorch hooks on the modules that compute the sites.

Everything is copied inside the hook: a view would be overwritten, or keep its whole batch alive. Padding is
on the right, where causal attention keeps it from reaching any real position, and its rows are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import torch

from tensorshark.forensics.capture.layout import block_modules
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.summaries import attention_summaries, next_tokens, residual_stats
from tensorshark.traces.errors import UsageError
from tensorshark.traces.sites import ATTENTION, SITES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.utils.hooks import RemovableHandle

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Row:
    """What one prompt of the batch left behind, without padding."""

    tensors: dict[str, Array]
    """Tensor name -> (pos, d_model), or (head, q_pos, k_pos) for patterns. resid_post and the next layer's
    resid_pre are one array where the model passed one tensor on."""
    stats: dict[str, Array]
    """Statistic -> (layer, pos) or (layer, head, pos), float32."""
    next_ids: list[int]
    next_p: list[float]
    """Likeliest first."""


class Recorder:
    """Runs batches through a model and keeps the asked-for sites of the asked-for layers."""

    def __init__(self, model: LoadedModel, sites: Sequence[str], layers: Sequence[int], top_k: int) -> None:
        layout = model.layout
        for site in ("attn_out", "mlp_out"):
            if site in sites and getattr(layout, site) is None:
                raise UsageError(
                    f"no module of {model.architecture} computes {site}; "
                    "name other sites, e.g. --sites resid_pre,resid_post"
                )
        self._model = model
        self._sites = frozenset(sites)
        self._layers = list(layers)
        self._top_k = top_k
        self._blocks = block_modules(model.hf, layout)

    def run(self, batch: Sequence[Sequence[int]]) -> list[Row]:
        """One pass over token ids of any lengths; rows in the same order. Allocation errors go through."""
        lengths = [len(ids) for ids in batch]
        pass_ = _Pass(self._sites, (len(batch), max(lengths)))
        with ExitStack() as stack, torch.inference_mode():
            for layer in self._layers:
                for handle in self._hook_block(pass_, layer):
                    stack.callback(handle.remove)
            last = torch.tensor(lengths, device=self._model.device) - 1
            gathered = _Gather(last)
            unembed = self._model.hf.get_submodule(self._model.layout.unembed)
            stack.callback(unembed.register_forward_pre_hook(gathered).remove)
            logits = gathered.logits(self._model.hf(**self._inputs(batch, lengths)).logits)
            ids, p = next_tokens(logits, self._top_k)
            return pass_.rows(lengths, ids.tolist(), p.tolist())

    def _inputs(self, batch: Sequence[Sequence[int]], lengths: list[int]) -> dict[str, Any]:
        """Ids padded on the right, mask and positions, as far as the model takes them."""
        longest = max(lengths)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        positions = torch.arange(longest).expand(len(batch), -1)
        mask = (positions < torch.tensor(lengths)[:, None]).long()
        given: dict[str, Any] = {
            "input_ids": ids.to(self._model.device),
            "attention_mask": mask.to(self._model.device),
            "position_ids": positions.to(self._model.device),
            "use_cache": False,
        }
        return {name: value for name, value in given.items() if name in self._model.arguments}

    def _hook_block(self, pass_: _Pass, layer: int) -> list[RemovableHandle]:
        block, layout = self._blocks[layer], self._model.layout
        handles: list[RemovableHandle] = []

        def before(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            pass_.keep("resid_pre", layer, args[0] if args else kwargs["hidden_states"])

        def after(site: str, module: Module) -> None:
            def hook(module: Module, args: Any, output: Any) -> None:
                pass_.keep(site, layer, output[0] if isinstance(output, tuple) else output)

            handles.append(module.register_forward_hook(hook))

        def attended(module: Module, args: Any, output: Any) -> None:
            pass_.attend(layer, _weights(output, self._model.architecture))

        if "resid_pre" in self._sites:
            handles.append(block.register_forward_pre_hook(before, with_kwargs=True))
        if "attn_out" in self._sites and layout.attn_out is not None:
            after("attn_out", block.get_submodule(layout.attn_out))
        if "mlp_out" in self._sites and layout.mlp_out is not None:
            after("mlp_out", block.get_submodule(layout.mlp_out))
        if "resid_post" in self._sites:
            after("resid_post", block)
        if self._sites & {ATTENTION, "pattern"}:
            handles.append(block.get_submodule(layout.attention).register_forward_hook(attended))
        return handles


class _Gather:
    """Hands only each row's last real position to the unembedding, and finds its logits after."""

    def __init__(self, last: Tensor) -> None:
        self._rows = torch.arange(len(last), device=last.device)
        self._last = last
        self._done = False

    def __call__(self, module: Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._done = True
        return (args[0][self._rows, self._last].unsqueeze(1), *args[1:])

    def logits(self, logits: Tensor) -> Tensor:
        """(batch, 1 or pos, vocab) -> (batch, vocab)"""
        return logits[:, 0] if self._done else logits[self._rows, self._last]


@dataclass
class _Pass:
    """What the hooks of one pass collect."""

    sites: frozenset[str]
    shape: tuple[int, int]
    """(batch, pos), padded."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, list[Tensor]] = field(default_factory=dict)
    """Statistic -> one (batch, …, pos) per layer."""
    passed_on: Tensor | None = None
    """The tensor that the block before gave out, and what was kept of it."""
    kept: tuple[Tensor, Tensor, Tensor] | None = None

    def keep(self, site: str, layer: int, x: Tensor) -> None:
        """Copy a residual-stream tensor (batch, pos, d_model) and take its statistics."""
        if site == "resid_pre" and x is self.passed_on and self.kept is not None:
            kept = self.kept
        else:
            # some blocks flatten (batch, pos) around their MLP
            x = x if x.ndim == 3 else x.reshape(*self.shape, -1)
            kept = (x.clone(), *residual_stats(x))
        if site == "resid_post":
            self.passed_on, self.kept = x, kept
        self.tensors[SITES[site].at(layer)] = kept[0]
        self.stats.setdefault(f"norm.{site}", []).append(kept[1])
        self.stats.setdefault(f"absmax.{site}", []).append(kept[2])

    def attend(self, layer: int, weights: Tensor) -> None:
        """Summarise attention weights (batch, head, q_pos, k_pos), and copy them when asked to."""
        if ATTENTION in self.sites:
            for name, value in zip(
                ("entropy", "entropy_rest", "sink"), attention_summaries(weights), strict=True
            ):
                self.stats.setdefault(f"{ATTENTION}.{name}", []).append(value)
        if "pattern" in self.sites:
            self.tensors[SITES["pattern"].at(layer)] = weights.clone()

    def rows(self, lengths: list[int], ids: list[list[int]], p: list[list[float]]) -> list[Row]:
        """Split into prompts; arrays are views of the batch's copies where those are contiguous."""
        stats = {name: torch.stack(layers, dim=1).cpu().numpy() for name, layers in self.stats.items()}
        arrays: dict[int, Array] = {}
        for tensor in self.tensors.values():
            if id(tensor) not in arrays:
                arrays[id(tensor)] = to_numpy(tensor)
        rows = []
        for row, length in enumerate(lengths):
            cut = {key: _without_padding(array[row], length) for key, array in arrays.items()}
            rows.append(
                Row(
                    tensors={name: cut[id(tensor)] for name, tensor in self.tensors.items()},
                    stats={
                        name: np.ascontiguousarray(values[row][..., :length])
                        for name, values in stats.items()
                    },
                    next_ids=ids[row],
                    next_p=p[row],
                )
            )
        return rows


def _without_padding(array: Array, length: int) -> Array:
    """(pos, d_model) -> (length, d_model); (head, q_pos, k_pos) -> (head, length, length)."""
    return np.ascontiguousarray(array[:length] if array.ndim == 2 else array[:, :length, :length])


def to_numpy(tensor: Tensor) -> Array:
    """The same bits as numpy; bfloat16 through its integer view."""
    host = tensor.cpu()
    if host.dtype == torch.bfloat16:
        array: Array = host.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return array
    return host.numpy()


def _weights(output: Any, architecture: str) -> Tensor:
    """The attention weights among what an attention module returns."""
    for part in output[1:] if isinstance(output, tuple) else ():
        if isinstance(part, torch.Tensor) and part.ndim == 4 and part.shape[-1] == part.shape[-2]:
            return part
    raise UsageError(
        f"{architecture} returns no attention weights; leave {ATTENTION} and pattern out of --sites"
    )
