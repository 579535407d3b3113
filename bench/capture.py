"""Capturing: the four sites and attention summaries, beside what people use today.

Each round runs every variant once on the same token ids, so that a machine that slows down slows all of
them; the table gives medians over rounds and ratios to the bare forward pass of the same round.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorshark.forensics.capture import CaptureSettings, capture
from tensorshark.forensics.capture.engine import load_model
from tensorshark.forensics.capture.forward import Recorder
from tensorshark.forensics.capture.models import find
from tensorshark.forensics.capture.prompts import Prompt
from tensorshark.forensics.capture.settings import no_progress
from tensorshark.traces.sites import SITES

SHAPES = ((1, 8), (8, 32), (16, 64))
"""(prompts, tokens each)"""
ROUNDS = 5
FOUR = ("resid_pre", "attn_out", "mlp_out", "resid_post")


def main() -> None:
    """Print one table per shape, and bytes on disk."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = find(CaptureSettings().model).folder
    bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    variants = Variants(bare, folder)
    print(
        f"## capture: SmolLM2-135M, float32, {torch.get_num_threads()} threads, median of {ROUNDS} rounds\n"
    )
    for batch, length in SHAPES:
        variants.prepare(batch, length)
        table(variants.all(), batch)
    variants.close()


def table(variants: dict[str, Callable[[], float | None]], batch: int) -> None:
    """Interleave the variants and print traces/s and the ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(ROUNDS + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            own = run()
            taken = time.perf_counter() - start if own is None else own
            if round_:  # the first round warms caches
                seconds[name].append(taken)
    first = next(iter(seconds.values()))
    for name, taken in seconds.items():
        ratios = [mine / bare for mine, bare in zip(taken, first, strict=True)]
        rate, ratio = batch / statistics.median(taken), statistics.median(ratios)
        spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{name:<58} {rate:8.1f} traces/s   {ratio:5.2f}x bare   {spread}")
    print()


class Variants:
    """The same work done by everyone."""

    def __init__(self, bare: Any, folder: Path) -> None:
        import torch
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.bare = bare
        self.ours = load_model(CaptureSettings(), no_progress)
        self.recorder = Recorder(self.ours, (*FOUR, "attn"), range(self.ours.layers), 10)
        self.four_only = Recorder(self.ours, FOUR, range(self.ours.layers), 10)
        lens = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.bridge = TransformerBridge.boot_transformers(str(folder), hf_model=lens, tokenizer=tokenizer)
        self.names = {SITES[site].at(layer) for site in FOUR for layer in range(self.ours.layers)}
        self.temporary = Path(tempfile.mkdtemp(prefix="bench-"))

    def prepare(self, batch: int, length: int) -> None:
        """Random token ids of one shape."""
        import torch

        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(100, 40_000, (batch, length), generator=generator)
        self.mask = torch.ones_like(self.ids)
        words = [self.ours.tokenizer.decode(row.tolist()) for row in self.ids]
        self.prompts = [Prompt(text) for text in words]
        print(f"### {batch} prompts of {length} tokens")

    def all(self) -> dict[str, Callable[[], float | None]]:
        """The bare pass first: ratios are to it."""
        return {
            "bare Hugging Face forward (sdpa, full logits)": self.forward,
            "plain forward hooks, four sites cloned": self.plain_hooks,
            "TransformerLens run_with_cache, the same four names": self.run_with_cache,
            "tensorshark in memory, four sites": self.record_four,
            "tensorshark in memory, four sites + attention summaries": self.record,
            "tensorshark committed: hashed, fsynced, on disk": self.commit,
        }

    def forward(self) -> None:
        """Nothing kept."""
        import torch

        with torch.inference_mode():
            self.bare(input_ids=self.ids, attention_mask=self.mask, use_cache=False)

    def plain_hooks(self) -> None:
        """What an experienced user writes by hand."""
        import torch

        kept: dict[str, Any] = {}
        handles = []

        def keep(name: str) -> Callable[..., None]:
            def hook(module: Any, args: Any, output: Any) -> None:
                kept[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

            return hook

        def keep_input(name: str) -> Callable[..., None]:
            def hook(module: Any, args: Any) -> None:
                kept[name] = args[0].detach().clone()

            return hook

        for layer, block in enumerate(self.bare.model.layers):
            handles.append(block.register_forward_pre_hook(keep_input(f"{layer}.pre")))
            handles.append(block.self_attn.register_forward_hook(keep(f"{layer}.attn")))
            handles.append(block.mlp.register_forward_hook(keep(f"{layer}.mlp")))
            handles.append(block.register_forward_hook(keep(f"{layer}.post")))
        with torch.inference_mode():
            self.bare(input_ids=self.ids, attention_mask=self.mask, use_cache=False)
        for handle in handles:
            handle.remove()

    def run_with_cache(self) -> None:
        """TransformerLens as its documentation shows it."""
        import torch

        with torch.inference_mode():
            self.bridge.run_with_cache(self.ids, names_filter=lambda name: name in self.names)

    def record_four(self) -> None:
        """Ours, the four sites only."""
        self.four_only.run(self.ids.tolist())

    def record(self) -> None:
        """Ours, with attention entropy, sink share, norms and the next token."""
        self.recorder.run(self.ids.tolist())

    def commit(self) -> float:
        """Ours to the disk; loading the model is not counted, tokenising is."""
        target = self.temporary / "bench.tshark"
        shutil.rmtree(target, ignore_errors=True)
        settings = CaptureSettings(batch_size=len(self.prompts), lens_file="none")
        return capture(self.prompts, target, settings).seconds

    def close(self) -> None:
        """Print what the last commit left on disk, and remove it."""
        settings = CaptureSettings(lens_file="none")
        target = self.temporary / "size.tshark"
        done = capture(self.prompts, target, settings)
        print("### bytes on disk, four sites, lossless")
        print(f"plain float32 layout   {done.plain_bytes:>13,}   1.000x")
        print(
            f"tensors as stored      {done.tensor_bytes:>13,}   {done.tensor_bytes / done.plain_bytes:.3f}x"
        )
        print(f"with manifest, stats   {done.bytes:>13,}   {done.bytes / done.plain_bytes:.3f}x\n")
        shutil.rmtree(self.temporary, ignore_errors=True)
