"""A dry run says to the byte what the run then writes, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.forensics.capture import CaptureSettings, Prompt, capture, plan
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES

pytestmark = pytest.mark.model

PROMPTS = [Prompt("Hi"), Prompt("Hi"), Prompt("The capital of France is"), Prompt("東京"), Prompt("")]


def written(path: Path, name: str) -> int:
    return sum(file.stat().st_size for file in path.rglob(name))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("llama", {}),
        ("llama", {"sites": (*DEFAULT_SITES, ATTENTION, "pattern"), "layers": "0,2", "dtype": "bfloat16"}),
        ("llama", {"sites": ("resid_post",), "lens_file": "none"}),
        ("neox", {"bos": "always"}),
        ("gpt2", {"lens_file": "link"}),
    ],
)
def test_to_the_byte(
    tmp_path: Path, tiny: Callable[[str], Path], home: Path, model: str, settings: dict[str, Any]
) -> None:
    path = tmp_path / "c.tshark"
    chosen = CaptureSettings(model=str(tiny(model)), **settings)
    planned = plan(PROMPTS, path, chosen)
    assert not path.exists()
    made = capture(PROMPTS, path, chosen)
    assert planned.traces == made.captured
    assert (planned.skipped, planned.failed) == (made.skipped, made.failed)
    assert planned.tokens == made.tokens
    assert planned.tensor_bytes == made.tensor_bytes == written(path, "tensors.safetensors")
    assert planned.stats_bytes == written(path, "stats.safetensors")
    assert planned.manifest_bytes == pytest.approx(written(path, "trace.json"), rel=0.02)
    assert planned.lens_bytes == written(path, "lens.safetensors")
    assert planned.plain_bytes == made.plain_bytes


def test_what_is_there_is_not_counted(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    path = tmp_path / "c.tshark"
    settings = CaptureSettings(model=str(tiny("llama")))
    capture(PROMPTS[:1], path, settings)
    planned = plan(PROMPTS, path, settings)
    assert (planned.traces, planned.skipped, planned.lens_bytes) == (2, 2, 0)
    capture(PROMPTS, path, settings)
    nothing = plan(PROMPTS, path, settings)
    assert (nothing.traces, nothing.bytes) == (0, 0)
