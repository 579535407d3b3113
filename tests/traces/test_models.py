"""Models of a capture: added once, whole, and read with their hashes checked."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import ml_dtypes
import msgspec
import numpy as np
import pytest

from tensorshark.traces import tensors
from tensorshark.traces.errors import IntegrityError, NotFoundError, StorageError, UntrustedError, UsageError
from tensorshark.traces.manifest import Lens, ModelRecord
from tensorshark.traces.store import Capture


def _other(capture: Capture, **changes: object) -> ModelRecord:
    return msgspec.structs.replace(capture.model("synthetic"), **changes)


def test_a_model_is_there_with_its_lens_and_its_words(capture: Capture) -> None:
    record = capture.model("synthetic")
    assert capture.models() == {"synthetic": record}
    assert (record.layers, record.heads, record.d_model, record.vocab) == (4, 2, 16, 64)
    lens = capture.lens("synthetic")
    assert {name: array.shape for name, array in lens.items()} == {
        "norm.weight": (16,),
        "unembed.weight": (64, 16),
    }
    assert record.lens.size == (capture.path / "models/synthetic/lens.safetensors").stat().st_size
    assert capture.vocab("synthetic") == [f" t{index}" for index in range(64)]


def test_adding_it_again_changes_nothing(capture: Capture) -> None:
    record = capture.model("synthetic")
    before = {path: path.read_bytes() for path in (capture.path / "models").rglob("*") if path.is_file()}
    again = capture.add_model(_other(capture, source="elsewhere"), {"norm.weight": np.zeros(1)}, ["x"])
    assert again == record
    assert {
        path: path.read_bytes() for path in (capture.path / "models").rglob("*") if path.is_file()
    } == before


def test_another_model_of_the_same_name_gets_a_name_of_its_own(capture: Capture) -> None:
    poisoned = _other(capture, fingerprint="beefcafe" * 8)
    added = capture.add_model(poisoned)
    assert added.name == "synthetic-beefcafe"
    assert capture.add_model(poisoned).name == "synthetic-beefcafe"
    assert list(capture.models()) == ["synthetic", "synthetic-beefcafe"]
    assert capture.model("synthetic").fingerprint != added.fingerprint


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "a\x1b", "-x", "x" * 65])
def test_a_name_that_could_be_a_path_is_refused(capture: Capture, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        capture.add_model(_other(capture, name=name))
    with pytest.raises(NotFoundError, match="there are: synthetic"):
        capture.model(name)


def test_half_precision_stays_half_precision(capture: Capture) -> None:
    weights = {
        "norm.weight": np.ones(16, ml_dtypes.bfloat16),
        "norm.bias": np.zeros(16, ml_dtypes.bfloat16),
        "unembed.weight": np.ones((64, 16), np.float16),
        "unembed.bias": np.zeros(64, np.float32),
    }
    capture.add_model(_other(capture, name="b"), weights)
    read = Capture.open(capture.path).lens("b")
    assert {name: array.dtype for name, array in read.items()} == {n: a.dtype for n, a in weights.items()}


def test_a_capture_without_a_lens_or_words_says_so(capture: Capture) -> None:
    none = msgspec.structs.replace(capture.model("synthetic").lens, storage="none", sha256="", size=0)
    capture.add_model(_other(capture, name="bare", lens=none, vocab_sha256=""))
    with pytest.raises(NotFoundError, match="--lens-file embed"):
        capture.lens("bare")
    with pytest.raises(NotFoundError, match="vocabulary"):
        capture.vocab("bare")


def _linked(capture: Capture, path: Path, sha256: str) -> str:
    lens: Lens = msgspec.structs.replace(
        capture.model("synthetic").lens, storage="link", source=str(path), sha256=sha256
    )
    return capture.add_model(_other(capture, name="linked", lens=lens)).name


def test_a_lens_may_lie_elsewhere(capture: Capture, tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    file = tensors.write(path, capture.lens("synthetic")).file
    name = _linked(capture, path, file.sha256)
    assert Capture.open(capture.path).lens(name)["norm.weight"].shape == (16,)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(IntegrityError):
        Capture.open(capture.path).lens(name)
    path.unlink()
    with pytest.raises(NotFoundError, match="lens file is not there"):
        Capture.open(capture.path).lens(name)


@pytest.mark.parametrize(("name", "read"), [("lens.safetensors", "lens"), ("vocab.json", "vocab")])
def test_a_damaged_byte_is_never_a_weight_or_a_word(capture: Capture, name: str, read: str) -> None:
    path = capture.path / "models" / "synthetic" / name
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(IntegrityError, match="synthetic"):
            getattr(Capture.open(capture.path), read)("synthetic")


def test_the_hash_of_a_large_lens_is_checked_once(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = capture.lens("synthetic")
    monkeypatch.setattr(tensors, "read_all", lambda *_: pytest.fail("read again"))
    assert capture.lens("synthetic") is first


def test_a_record_under_another_name_is_refused(capture: Capture) -> None:
    (capture.path / "models" / "synthetic").rename(capture.path / "models" / "famous")
    with pytest.raises(UntrustedError, match="another model"):
        Capture.open(capture.path).model("famous")


def test_a_lens_of_other_things_is_refused(capture: Capture) -> None:
    capture.add_model(_other(capture, name="odd"), {"unembed.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(UntrustedError, match="final norm"):
        capture.lens("odd")


def test_words_with_a_lone_surrogate_are_not_stored(capture: Capture) -> None:
    with pytest.raises(UsageError, match="surrogate"):
        capture.add_model(_other(capture, name="odd"), None, ["a", "\ud800"])
    assert list(capture.models()) == ["synthetic"]
    assert list((capture.path / "staging").iterdir()) == []


def test_a_full_disk_leaves_no_half_model(
    capture: Capture, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    weights = {"norm.weight": np.ones(16, np.float32), "unembed.weight": np.ones((6400, 16), np.float32)}
    with file_limit(100_000), pytest.raises(StorageError, match="make room"):
        capture.add_model(_other(capture, name="big"), weights)
    assert list(capture.models()) == ["synthetic"]
    assert list((capture.path / "staging").iterdir()) == []
    assert capture.add_model(_other(capture, name="big"), weights).name == "big"


def test_two_processes_that_add_the_same_model_make_one(capture: Capture) -> None:
    pids = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                twin = _other(capture, name="b")
                status = int(
                    Capture.open(capture.path).add_model(twin, capture.lens("synthetic")).name != "b"
                )
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 6
    assert list(Capture.open(capture.path).models()) == ["b", "synthetic"]
    assert list((capture.path / "staging").iterdir()) == []
