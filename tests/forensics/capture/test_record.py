"""The model's side of a capture: names that are folders, and one record per model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tensorshark.forensics.capture.record import EMBED_BELOW, add_model, folder_name, storage
from tensorshark.traces.store import Capture

from .conftest import loaded


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("org/Model v2", "org-Model-v2"),
        ("../../etc/passwd", "etc-passwd"),
        ("\x1b[31mred", "31mred"),
        ("x" * 99, "x" * 48),
    ],
)
def test_names_become_folders(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_a_name_of_nothing_but_signs_still_gets_a_folder() -> None:
    assert folder_name("東京").startswith("model-")
    assert folder_name("東京") != folder_name("京都")


def test_small_lenses_are_embedded() -> None:
    assert storage("auto", EMBED_BELOW - 1) == "embed"
    assert storage("auto", EMBED_BELOW) == "link"
    assert [storage(choice, 1) for choice in ("embed", "link", "none")] == ["embed", "link", "none"]  # type: ignore[arg-type]


@pytest.mark.model
def test_a_model_is_recorded_once(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    """The same weights from another folder are the same model; other weights of one name get their own."""
    import shutil

    capture = Capture.create(tmp_path / "c.tshark")
    first, _ = add_model(capture, loaded(tiny("llama")), "auto")
    shutil.copytree(tiny("llama"), tmp_path / "elsewhere")
    assert add_model(capture, loaded(tmp_path / "elsewhere"), "auto")[0] == first
    shutil.copytree(tiny("gpt2"), tmp_path / "llama")
    other, _ = add_model(capture, loaded(tmp_path / "llama"), "auto")
    assert other.name == f"llama-{other.fingerprint[:8]}"
    assert set(capture.models()) == {"llama", other.name}


@pytest.mark.model
def test_a_lens_that_would_lie_is_left_out_with_a_word(
    tmp_path: Path, tiny: Callable[[str], Path], home: Path
) -> None:
    model = loaded(tiny("llama"))
    model.hf.lm_head.register_forward_hook(lambda _, __, logits: logits.flip(-1))
    record, remark = add_model(Capture.create(tmp_path / "c.tshark"), model, "auto")
    assert record.lens.storage == "none"
    assert remark.startswith("no lens file: the logits of LlamaForCausalLM")
