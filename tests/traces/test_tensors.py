"""safetensors files: ours round-trip bit for bit, and broken ones are refused, row by row."""

import itertools
import json
import os
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tensorshark.traces import tensors
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError, UsageError
from tensorshark.traces.files import ReadFile
from tensorshark.traces.tensors import Array

_TYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def _bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _any_bits(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int) -> Array:
    """Every bit pattern: infinities, NaNs with payloads, subnormals, negative zeros."""
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(raw, dtype).reshape(shape)


def _header(path: Path) -> dict[str, tensors.Entry]:
    with ReadFile(path) as file:
        return tensors.read_header(file)


def _all(path: Path, expected: str) -> dict[str, Array]:
    with ReadFile(path) as file:
        return tensors.read_all(file, expected)


@given(
    dtype=st.sampled_from(_TYPES),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    seed=st.integers(0, 2**32),
)
def test_any_bits_come_back(
    tmp_path_factory: pytest.TempPathFactory, dtype: Any, shape: Any, seed: int
) -> None:
    path = tmp_path_factory.mktemp("t") / "a.safetensors"
    array = _any_bits(dtype, shape, seed)
    given_tensors = {"a.b": array, "c": np.arange(3, dtype=np.float32)}
    written = tensors.write(path, given_tensors, each=True, sync=False)
    described = {tensor.name: tensor for tensor in written.tensors}["a.b"]
    with ReadFile(path) as file:
        entries = tensors.read_header(file, written.file.sha256)
        back = tensors.read(file, entries["a.b"], described.sha256)
        assert file.size == written.file.size
    assert (back.dtype, back.shape, _bits(back)) == (array.dtype, array.shape, _bits(array))
    assert (described.dtype, tuple(described.shape)) == (array.dtype.name, array.shape)
    assert not back.flags.writeable
    once = tensors.write(path.with_name("b"), given_tensors, sync=False)
    assert path.with_name("b").read_bytes() == path.read_bytes()
    assert once.tensors == []
    assert _bits(_all(path, once.file.sha256)["a.b"]) == _bits(array)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(dtype=st.sampled_from(_TYPES), seed=st.integers(0, 2**32))
def test_nan_inf_and_absmax_are_counted(
    tmp_path_factory: pytest.TempPathFactory, dtype: np.dtype[Any], seed: int
) -> None:
    array = _any_bits(dtype, (40,), seed)
    path = tmp_path_factory.mktemp("t") / "a"
    tensor = tensors.write(path, {"a": array}, each=True, sync=False).tensors[0]
    wide = array.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    assert (tensor.nan, tensor.inf) == (np.isnan(wide).sum(), np.isinf(wide).sum())
    assert tensor.absmax == (finite.max() if finite.size else 0.0)


def test_other_tools_read_what_we_write(tmp_path: Path) -> None:
    ours = {
        "blocks.0.hook_mlp_out": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.arange(3, dtype=np.float16),
        "brain": np.arange(5).astype(ml_dtypes.bfloat16),
    }
    tensors.write(tmp_path / "a.safetensors", ours)
    theirs = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert {name: (_bits(a), a.dtype, a.shape) for name, a in theirs.items()} == {
        name: (_bits(a), a.dtype, a.shape) for name, a in ours.items()
    }


def test_we_read_what_other_tools_write(tmp_path: Path) -> None:
    theirs = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.ones((1, 4), np.float16)}
    safetensors.numpy.save_file(theirs, tmp_path / "a.safetensors", metadata={"format": "np"})
    entries = _header(tmp_path / "a.safetensors")
    with ReadFile(tmp_path / "a.safetensors") as file:
        for name, array in theirs.items():
            assert _bits(tensors.read(file, entries[name], tensors.digest(array))) == _bits(array)


def test_a_view_that_is_not_contiguous_or_not_little_endian_is_stored_as_its_values(tmp_path: Path) -> None:
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    written = tensors.write(tmp_path / "a", {"t": grid.T, "big": grid.astype(">f4")})
    read = _all(tmp_path / "a", written.file.sha256)
    assert np.array_equal(read["t"], grid.T)
    assert np.array_equal(read["big"], grid)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a\n", "a\x1b", "é", "a..b", ".", "x" * 65])
def test_a_name_that_could_be_more_than_a_name_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        tensors.write(tmp_path / "a", {name: np.zeros(1, np.float32)})


def test_a_type_that_has_no_place_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="complex64"):
        tensors.write(tmp_path / "a", {"x": np.zeros(1, np.complex64)})


# --- files that were made to mislead: research/reliability.md, table 2.1 ---


def _file(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def _one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


_BAD: dict[str, tuple[Any, bytes]] = {
    "duplicate name": (
        b'{"a":{"dtype":"I32","shape":[2],"data_offsets":[0,8]},'
        b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "duplicate metadata key": (b'{"__metadata__":{"x":"1","x":"2"}}', b""),
    "duplicate field": (b'{"a":{"dtype":"I32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "trailing bytes": (_one(), bytes(9)),
    "missing bytes": (_one(), bytes(7)),
    "hole before": (_one(data_offsets=[4, 12]), bytes(12)),
    "hole between": (_one() | {"b": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}, bytes(16)),
    "overlap": (_one() | {"b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
    "the same bytes twice": (
        _one() | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
        bytes(8),
    ),
    "shape overflow": (_one(shape=[2**63, 2]), bytes(8)),
    "zero times huge": (_one(shape=[0, 2**62], data_offsets=[0, 0]), b""),
    "huge times zero": (_one(shape=[2**40, 0], data_offsets=[0, 0]), b""),
    "negative size": (_one(shape=[-2]), bytes(8)),
    "size that is true": (_one(shape=[True, 2]), bytes(8)),
    "size that is 2.0": (_one(shape=[2.0]), bytes(8)),
    "size as text": (_one(shape=["2"]), bytes(8)),
    "rank 65": (_one(shape=[1] * 64 + [2]), bytes(8)),
    "rank 1,000": (_one(shape=[1] * 999 + [2]), bytes(8)),
    "size and offsets disagree": (_one(shape=[3]), bytes(8)),
    "offsets backwards": (_one(data_offsets=[8, 0]), bytes(8)),
    "one offset": (_one(data_offsets=[0]), bytes(8)),
    "bool type": (_one(dtype="BOOL", shape=[8]), bytes(8)),
    "F4 type": (_one(dtype="F4", shape=[16]), bytes(8)),
    "F8 type": (_one(dtype="F8_E4M3", shape=[8]), bytes(8)),
    "type of no kind": (_one(dtype=["F32"]), bytes(8)),
    "path as name": ({"../../etc/passwd": _one()["a"]}, bytes(8)),
    "empty name": ({"": _one()["a"]}, bytes(8)),
    "escape in name": ({"a\x1b[2J": _one()["a"]}, bytes(8)),
    "nul in name": ({"a\x00b": _one()["a"]}, bytes(8)),
    "lone surrogate in name": (b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "extra field": (_one(extra=1), bytes(8)),
    "missing field": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "tensor that is a list": ({"a": []}, b""),
    "leading space": (b" " + json.dumps(_one()).encode(), bytes(8)),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(_one()).encode(), bytes(8)),
    "bad utf-8": (b'{"a\xff":1}', b""),
    "not json": (b"{", b""),
    "two documents": (b"{}{}", b""),
    "not an object": (b"[]", b""),
    "deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
    "a number of 4,000 digits": (b'{"a":' + b"9" * 4_400 + b"}", b""),
}


@pytest.mark.parametrize("kind", _BAD)
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, kind: str) -> None:
    path = _file(tmp_path / "a.safetensors", *_BAD[kind])
    with pytest.raises(UntrustedError, match=r"a\.safetensors") as caught:
        _header(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("length", [2**63, 100_000_001, 8 << 21, 300])
def test_a_header_that_is_longer_than_file_or_cap_is_refused(tmp_path: Path, length: int) -> None:
    path = _file(tmp_path / "a", _one(), bytes(8), length=length)
    with pytest.raises(UntrustedError, match="does not fit"):
        _header(path)


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_without_a_header_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(bytes(size))
    with pytest.raises(UntrustedError, match="too short"):
        _header(tmp_path / "a")


def test_a_header_over_8_mib_is_refused_unparsed(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", b"{" + b" " * (8 << 20) + b"}")
    with pytest.raises(UntrustedError, match="does not fit"):
        _header(path)


def test_more_tensors_than_the_cap_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path = _file(tmp_path / "a", {f"t{index}": entry for index in range(tensors.MAX_TENSORS + 1)})
    with pytest.raises(UntrustedError, match="cap"):
        _header(path)


def test_a_sparse_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    size = tensors.MAX_NBYTES + 8
    path = _file(
        tmp_path / "a", _one(dtype="U8", shape=[2**23, size >> 23], data_offsets=[0, size >> 23 << 23])
    )
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + (size >> 23 << 23))
    assert _header(path)  # exactly at the cap
    over = [2**23, (size >> 23) + 1]
    path = _file(tmp_path / "b", _one(dtype="U8", shape=over, data_offsets=[0, over[0] * over[1]]))
    os.truncate(path, path.stat().st_size + over[0] * over[1])
    with pytest.raises(UntrustedError, match="cap"):
        _header(path)


@pytest.mark.timeout(10)
def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    real = _file(tmp_path / "a", _one(), bytes(8))
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(UntrustedError):
            _header(tmp_path / name)
    with pytest.raises(NotFoundError):
        _header(tmp_path / "nothing")


def test_the_well_formed_twin_of_all_these_is_read(tmp_path: Path) -> None:
    entries = _header(_file(tmp_path / "a", _one(), bytes(8)))
    assert entries["a"].shape == (2,)


def test_every_byte_of_a_file_is_under_one_hash_and_damage_to_any_is_found(tmp_path: Path) -> None:
    """Header bytes by the file's hash, before they are parsed; data bytes by that of their tensor alone."""
    given_tensors = {name: np.full((3, 4), value, np.float32) for value, name in enumerate("ab")}
    whole = tensors.write(tmp_path / "whole", given_tensors).file.sha256
    written = tensors.write(tmp_path / "each", given_tensors, each=True)
    expected = {tensor.name: tensor.sha256 for tensor in written.tensors}
    good = (tmp_path / "each").read_bytes()
    first = len(good) - sum(array.nbytes for array in given_tensors.values())
    path = tmp_path / "damaged"
    for position, bit in itertools.product(range(len(good)), (0x01, 0x80)):
        data = bytearray(good)
        data[position] ^= bit
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            _all(path, whole)
        with ReadFile(path) as file:
            if position < first:
                with pytest.raises(IntegrityError, match="header"):
                    tensors.read_header(file, written.file.sha256)
                continue
            damaged = []
            for name, entry in tensors.read_header(file, written.file.sha256).items():
                try:
                    assert _bits(tensors.read(file, entry, expected[name])) == _bits(given_tensors[name])
                except IntegrityError:
                    damaged.append(name)
        assert damaged == ["a" if position < first + 48 else "b"]


def test_a_header_that_is_not_the_committed_one_is_not_parsed(tmp_path: Path) -> None:
    for header in (_one(), b"not json", _one(shape=[3])):
        path = _file(tmp_path / "a", header, bytes(8))
        with ReadFile(path) as file, pytest.raises(IntegrityError, match="header"):
            tensors.read_header(file, "0" * 64)
    path.write_bytes(b"\0" * 7)
    with ReadFile(path) as file, pytest.raises(IntegrityError, match="header"):
        tensors.read_header(file, "0" * 64)
