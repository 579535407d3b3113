"""Tensors in safetensors files, every byte of them under one hash.

The safetensors library alone reads 24 % of randomly damaged files silently wrong, takes the last of two
tensors with one name, and maps the file. So the header is checked here against every rule of the format
and our own caps, and no value is returned before its bytes have been hashed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import IntegrityError, UntrustedError, UsageError
from tensorshark.traces.files import ReadFile, shown, write_file
from tensorshark.traces.manifest import StoredFile, StoredTensor, no_duplicates
from tensorshark.traces.text import safe_text

Array = NDArray[Any]

_INFINITY = {"F32": 0x7F80_0000, "F16": 0x7C00, "BF16": 0x7F80, "F64": 0x7FF0 << 48}

MAX_HEADER = 8 << 20
MAX_TENSORS = 65_536
MAX_RANK = 8
MAX_DIM = 1 << 31
MAX_NBYTES = 8 << 30
"""Of one tensor: it is read into memory."""

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,7}")


@cache
def _dtypes() -> dict[str, np.dtype[Any]]:
    """safetensors code -> numpy type; any other code is refused."""
    import ml_dtypes  # 10 ms, and a list of traces reads no tensor

    return {
        "F32": np.dtype(np.float32),
        "F16": np.dtype(np.float16),
        "BF16": np.dtype(ml_dtypes.bfloat16),
        "F64": np.dtype(np.float64),
        "I32": np.dtype(np.int32),
        "I64": np.dtype(np.int64),
        "U8": np.dtype(np.uint8),
    }


@cache
def _codes() -> dict[np.dtype[Any], str]:
    return {dtype: code for code, dtype in _dtypes().items()}


@cache
def _type_names() -> dict[str, str]:
    """By code: `dtype.name` is put together anew by numpy each time, in 2 µs."""
    return {code: dtype.name for code, dtype in _dtypes().items()}


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies in its file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    """First byte, from the start of the file."""
    nbytes: int


@dataclass(frozen=True)
class Written:
    """What a file that was just written holds."""

    file: StoredFile
    """Its hash is over the header where the tensors have hashes of their own, else over all of it."""
    tensors: list[StoredTensor]
    """With `each`; else empty."""


def write(path: Path, tensors: Mapping[str, Array], *, each: bool = False, sync: bool = True) -> Written:
    """Create the safetensors file `path` and flush it; every byte is hashed once, from memory.

    `each`: a hash per tensor, to be read one by one with `read_header` and `read`, and one over the header.
    Else one over the whole file, for `read_all`. Wider types come first, so that every tensor is aligned.
    Raises UsageError for a name or type that cannot be stored, OSError when the disk refuses.
    """
    codes = {name: _code(name, value.dtype) for name, value in tensors.items()}
    ordered = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    head, size = _head({name: (codes[name], tensors[name].shape) for name in ordered})
    digest = hashlib.sha256(head)
    parts: list[memoryview] = []
    stored: list[StoredTensor] = []
    for name in ordered:
        array = np.ascontiguousarray(tensors[name], dtype=_dtypes()[codes[name]])
        parts.append(as_bytes(array))
        if each:
            stored.append(_describe(name, codes[name], tensors[name].shape, array))
        else:
            digest.update(parts[-1])
    write_file(path, head, *parts, sync=sync)
    return Written(StoredFile(name=path.name, size=size, sha256=digest.hexdigest()), stored)


def file_size(tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> int:
    """Bytes that `write` would write for tensors of these types and shapes."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1][0].itemsize)
    return _head({name: (_code(name, dtype), shape) for name, (dtype, shape) in ordered})[1]


def read_header(file: ReadFile, expected: str | None = None) -> dict[str, Entry]:
    """Names in file order -> where they lie. Raises UntrustedError for anything but a well-formed file.

    Stricter than the library: no duplicate names, no unknown keys or types, names of plain characters,
    and tensors that cover the file exactly, without holes, overlap or trailing bytes. With `expected`,
    IntegrityError before anything is parsed unless the header, its length included, hashes to that.
    """
    where = shown(file.path)
    try:
        head = file.read(_head_size(file.read(min(8, file.size)), file.size, where))
    except UntrustedError:
        if expected is None:
            raise
        head = bytearray()
    if expected is not None and sha256(head) != expected:
        raise IntegrityError(f"{where}: its header is damaged")
    return _parse(head, file.size, where)


def _head_size(data: bytes | bytearray, size: int, where: str) -> int:
    """Bytes before the first tensor, of a file of `size` bytes that starts with `data`."""
    if len(data) < 8:
        raise UntrustedError(f"{where}: {size} bytes is too short for a safetensors file")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER or 8 + length > size:
        raise UntrustedError(f"{where}: a safetensors header of {length:,} bytes does not fit")
    return 8 + length


def _parse(head: bytes | bytearray, size: int, where: str) -> dict[str, Entry]:
    """Length and header of a file of `size` bytes -> where its tensors lie."""
    text = head[8:]
    if not text.startswith(b"{"):
        raise UntrustedError(f"{where}: the safetensors header does not start with an object")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UntrustedError(f"{where}: not a safetensors header: {safe_text(str(error), 200)}") from None
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise UntrustedError(f"{where}: {len(header):,} tensors; the cap is {MAX_TENSORS:,}")
    end = len(head)
    entries = {name: _entry(name, fields, end, where) for name, fields in header.items()}
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if entry.offset != end:
            raise UntrustedError(f"{where}: tensor {name} leaves a hole or overlaps the one before")
        end += entry.nbytes
    if end != size:
        raise UntrustedError(f"{where}: {size - end:,} bytes after the last tensor or missing from it")
    return entries


def read(file: ReadFile, entry: Entry, expected: str) -> Array:
    """One tensor, read-only. IntegrityError unless its bytes hash to `expected`."""
    buffer = file.read(entry.nbytes, entry.offset)
    if sha256(buffer) != expected:
        raise IntegrityError(f"{shown(file.path)}: bytes of a tensor are not those that were committed")
    array = np.frombuffer(buffer, dtype=entry.dtype).reshape(entry.shape)
    array.flags.writeable = False
    return array


def read_all(file: ReadFile, expected: str) -> dict[str, Array]:
    """Every tensor of a file whose whole hash is `expected`, read-only.

    The file is read once: what was hashed is what is returned. Raises IntegrityError or UntrustedError.
    """
    data = file.read(file.size)
    where = shown(file.path)
    if sha256(data) != expected:
        raise IntegrityError(f"{where}: not the bytes that were committed")
    arrays = {}
    for name, entry in _parse(data[: _head_size(data, len(data), where)], len(data), where).items():
        array = np.frombuffer(data, np.uint8, entry.nbytes, entry.offset).view(entry.dtype)
        arrays[name] = array.reshape(entry.shape)
        arrays[name].flags.writeable = False
    return arrays


def digest(array: Array) -> str:
    """sha256 of a tensor's bytes: little-endian, C order."""
    return sha256(as_bytes(np.ascontiguousarray(array)))


def sha256(data: bytes | bytearray | memoryview) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()


def as_bytes(array: Array) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def type_name(name: str, dtype: np.dtype[Any]) -> str:
    """How a manifest calls the type of tensor `name`. UsageError for one that cannot be stored."""
    return _type_names()[_code(name, dtype)]


def infinity(dtype: np.dtype[Any]) -> int | None:
    """Its bits: without their sign, those of finite numbers are below and those of NaNs above.

    None for a type that has none.
    """
    return _INFINITY.get(_codes().get(dtype, ""))


def bits(array: Array) -> Array:
    """As whole numbers of the same size."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def magnitudes(array: Array) -> Array:
    """The bits of floating-point numbers without their sign, which are in the order of the magnitudes."""
    return bits(array) & ((1 << (8 * array.itemsize - 1)) - 1)


def _head(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """What comes before the data of tensors in this order, by code and shape; and the size of the file."""
    header: dict[str, Any] = {}
    end = 0
    for name, (code, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * _dtypes()[code].itemsize
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    return head, len(head) + end


def _code(name: str, dtype: np.dtype[Any]) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{safe_text(name, 80)!r} cannot be a tensor's name; use letters, digits, '_' and '.'"
        )
    code = _codes().get(dtype) or _codes().get(dtype.newbyteorder("<"))
    if code is None:
        raise UsageError(
            f"{name}: type {dtype} cannot be stored; use one of {', '.join(_type_names().values())}"
        )
    return code


def _describe(name: str, code: str, shape: tuple[int, ...], array: Array) -> StoredTensor:
    """In whole numbers: the same on every machine, and for 16 bits ten times as fast."""
    nan = inf = 0
    limit = infinity(array.dtype)
    if limit is None:
        absmax = float(np.abs(array.astype(np.float64)).max(initial=0))
    else:
        sizes = magnitudes(array)
        largest = sizes.max(initial=0)
        if largest >= limit:
            nan, inf = int((sizes > limit).sum()), int((sizes == limit).sum())
            largest = sizes[sizes < limit].max(initial=0)
        absmax = float(largest.view(array.dtype))
    return StoredTensor(
        name=name,
        dtype=_type_names()[code],
        shape=list(shape),
        sha256=digest(array),
        nan=nan,
        inf=inf,
        absmax=absmax,
    )


def _entry(name: str, fields: object, base: int, where: str) -> Entry:
    """One header line, checked. `base` is where the data starts in the file."""

    def refuse(reason: str) -> UntrustedError:
        return UntrustedError(f"{where}: tensor {safe_text(name, 80)}: {reason}")

    if not _NAME.fullmatch(name):
        raise refuse("not an allowed name")
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise refuse("needs dtype, shape and data_offsets, and nothing else")
    shape, offsets = fields["shape"], fields["data_offsets"]
    dtype = _dtypes().get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        raise refuse(f"type not supported; supported are {', '.join(_dtypes())}")
    if not _counts(shape) or len(shape) > MAX_RANK or any(dim >= MAX_DIM for dim in shape):
        raise refuse("not an allowed shape")
    if not _counts(offsets) or len(offsets) != 2:
        raise refuse("not a pair of offsets")
    nbytes = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != nbytes:
        raise refuse("shape, type and offsets disagree")
    if nbytes > MAX_NBYTES:
        raise refuse(f"{nbytes:,} bytes; the cap is {MAX_NBYTES:,}")
    return Entry(dtype, tuple(shape), base + offsets[0], nbytes)


def _counts(value: object) -> bool:
    """A list of whole numbers from 0; True is not a number."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
