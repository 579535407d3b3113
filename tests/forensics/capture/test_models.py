"""Names, folders, GGUF files and Hugging Face ids; what is missing or not to be trusted is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tensorshark.forensics.capture import models
from tensorshark.forensics.capture.settings import DEFAULT_MODEL
from tensorshark.traces.errors import NotFoundError, StorageError, UntrustedError, UsageError

from .conftest import loaded

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder(path: Path, weights: str = "model.safetensors") -> Path:
    """What looks like a model, without its numbers."""
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / weights).write_bytes(b"1234")
    return path


@pytest.fixture
def hub(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache with one model in it, `some/model`."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--some--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return folder(repository / "snapshots" / COMMIT)


def test_a_folder(tmp_path: Path, home: Path) -> None:
    place = folder(tmp_path / "My-Model")
    source = models.find(str(place))
    assert source == models.Source("My-Model", str(place), "", place)
    assert models.weight_files(source) == [place / "model.safetensors"]


def test_a_gguf_file(tmp_path: Path, home: Path) -> None:
    (tmp_path / "small.Q4.gguf").write_bytes(b"GGUF")
    source = models.find(str(tmp_path / "small.Q4.gguf"))
    assert source.name == "small.Q4"
    assert (source.folder, source.gguf) == (tmp_path, "small.Q4.gguf")
    assert models.weight_files(source) == [tmp_path / "small.Q4.gguf"]


def test_a_hugging_face_id_from_the_cache(hub: Path) -> None:
    source = models.find("some/model")
    assert source == models.Source("model", "some/model", COMMIT, hub)
    assert models.find("some/model", revision=COMMIT).folder == hub


def test_what_is_not_here_and_cannot_be_had(hub: Path) -> None:
    with pytest.raises(NotFoundError, match="other/model: not on this machine, and HF_HUB_OFFLINE is set"):
        models.find("other/model")


@pytest.mark.parametrize("name", ["./nope", "/nope", "nope.gguf", "a/b/c", "a b"])
def test_paths_that_lead_nowhere(name: str, home: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder or file"):
        models.find(name)


def test_what_is_no_model(tmp_path: Path, home: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no config\.json in it"):
        models.find(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NotFoundError, match="no weights in it"):
        models.find(str(tmp_path))
    with pytest.raises(UsageError, match=r"config\.json: not a model"):
        models.find(str(tmp_path / "config.json"))


def test_pickles_are_refused_unless_asked_for(tmp_path: Path, home: Path) -> None:
    place = folder(tmp_path / "m", "pytorch_model.bin")
    with pytest.raises(UntrustedError, match=r"pickles, which can run code; refused.*--allow-pickle"):
        models.find(str(place))
    assert models.find(str(place), allow_pickle=True).folder == place


def test_remote_code_needs_a_commit(hub: Path) -> None:
    for revision in (None, "main", COMMIT[:10]):
        with pytest.raises(UsageError, match="needs --revision with a full commit"):
            models.find("some/model", trust_remote_code=True, revision=revision)
    assert models.find("some/model", trust_remote_code=True, revision=COMMIT).revision == COMMIT


def test_names(tmp_path: Path, hub: Path) -> None:
    place = folder(tmp_path / "m")
    assert models.add("Mine", str(place)) == models.Entry("mine", str(place), ready=True, size=6)
    models.add("theirs", "some/model")
    models.add("far", "not/here")
    assert models.find("MINE") == models.Source("MINE", str(place), "", place)
    assert models.find("theirs").origin == "some/model"
    listed = {entry.name: entry for entry in models.entries()}
    assert list(listed) == [DEFAULT_MODEL, "far", "mine", "theirs"]
    assert listed[DEFAULT_MODEL].built_in and not listed[DEFAULT_MODEL].ready
    assert listed["theirs"].ready and listed["theirs"].size == 6
    assert not listed["far"].ready and listed["far"].fetchable
    assert models.remove("mine") == 0
    assert place.is_dir()
    with pytest.raises(NotFoundError, match="no model is called 'mine'"):
        models.remove("mine")


def test_names_that_cannot_be(tmp_path: Path, home: Path) -> None:
    place = folder(tmp_path / "m")
    for name in ("", "-x", "a b", "a/b", "x" * 65, "\x1b[2J"):
        with pytest.raises(UsageError, match="cannot be a name"):
            models.add(name, str(place))
    with pytest.raises(UsageError, match="is built in"):
        models.add(DEFAULT_MODEL, str(place))
    with pytest.raises(NotFoundError, match="no such folder or file"):
        models.add("x", "./nothing")


def test_a_damaged_list_of_names_is_not_overwritten(home: Path) -> None:
    (home / "models.json").write_text("{")
    with pytest.raises(StorageError, match=r"models\.json: cannot be read.*mend or delete it"):
        models.entries()
    (home / "models.json").write_text('{"a": 1}')
    with pytest.raises(UntrustedError, match="not a list of model names"):
        models.entries()


def test_removing_the_default_model_deletes_its_copy(home: Path) -> None:
    place = folder(home / "models" / DEFAULT_MODEL)
    assert models.find(DEFAULT_MODEL.upper()).folder == place
    assert models.remove(DEFAULT_MODEL) == 6
    assert not place.exists()


@pytest.mark.model
def test_the_fingerprint_is_the_weights_and_the_configuration(
    tmp_path: Path, tiny: Callable[[str], Path], home: Path
) -> None:
    """The same files elsewhere are the same model; another number anywhere, or another setting, is not."""
    import shutil

    original = loaded(tiny("llama"))
    copy = tmp_path / "copy"
    shutil.copytree(tiny("llama"), copy)
    assert loaded(copy).fingerprint == original.fingerprint
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps(config | {"transformers_version": "9", "_name_or_path": "x"})
    )
    assert loaded(copy).fingerprint == original.fingerprint
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert loaded(copy).fingerprint != original.fingerprint
    (copy / "config.json").write_text(json.dumps(config))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert loaded(copy).fingerprint != original.fingerprint


@pytest.mark.model
def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path, home: Path) -> None:
    place = folder(tmp_path / "m")
    with pytest.raises((NotFoundError, UsageError), match="cannot be loaded: ") as caught:
        loaded(place)
    assert "\n" not in str(caught.value)


@pytest.mark.model
def test_code_that_comes_with_a_model_does_not_run(
    tmp_path: Path, tiny: Callable[[str], Path], home: Path
) -> None:
    import shutil

    place = tmp_path / "m"
    shutil.copytree(tiny("llama"), place)
    config = json.loads((place / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    }
    (place / "config.json").write_text(json.dumps(config))
    (place / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()")
    with pytest.raises((NotFoundError, UsageError), match="cannot be loaded"):
        loaded(place)
    assert not (tmp_path / "ran").exists()


@pytest.mark.model
def test_a_device_that_is_not_there(tiny: Callable[[str], Path], home: Path) -> None:
    with pytest.raises(UsageError, match=r"--device nonsense: .*cpu always works"):
        loaded(tiny("llama"), device="nonsense")
