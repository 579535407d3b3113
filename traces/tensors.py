"""Tensors in safetensors files, written and read with a hash each; residuals rebuilt from their parts.

The safetensors library alone reads 24 % of randomly damaged files silently wrong, takes the last of two
tensors with one name, and maps the file. So the header is checked here against every rule of the format
and our own caps, and no value is returned before its bytes have been hashed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tensorshark.traces.errors import IntegrityError, UntrustedError, UsageError
from tensorshark.traces.files import ReadFile, shown, write_file
from tensorshark.traces.manifest import DerivedTensor, StoredFile, StoredTensor, no_duplicates
from tensorshark.traces.sites import SITES, order, parse
from tensorshark.traces.text import safe_text

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F64": np.dtype(np.float64),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
}
"""safetensors code -> numpy type; any other code is refused."""
_CODES = {dtype.name: code for code, dtype in DTYPES.items()}

MAX_HEADER = 8 << 20
MAX_TENSORS = 65_536
MAX_RANK = 8
MAX_DIM = 1 << 31
MAX_NBYTES = 8 << 30
"""Of one tensor: it is read into memory."""

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,7}")


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
    tensors: list[StoredTensor]


def write(
    path: Path, tensors: Mapping[str, Array], digests: Mapping[str, str] | None = None, sync: bool = True
) -> Written:
    """Create the safetensors file `path` and flush it; every byte is hashed from memory, none read back.

    `digests` are hashes of tensors that are known already. Wider types come first, so that every tensor
    is aligned. Raises UsageError for a name or type that cannot be stored, OSError when the disk refuses.
    """
    known = digests or {}
    codes = {name: _code(name, value.dtype) for name, value in tensors.items()}
    ordered = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    head, size = _head({name: (codes[name], tensors[name].shape) for name in ordered})
    parts: list[memoryview] = []
    stored: list[StoredTensor] = []
    whole = hashlib.sha256(head)
    for name in ordered:
        array = np.ascontiguousarray(tensors[name], dtype=DTYPES[codes[name]])
        data = as_bytes(array)
        whole.update(data)
        parts.append(data)
        stored.append(_describe(name, array, tensors[name].shape, known.get(name) or sha256(data)))
    write_file(path, head, *parts, sync=sync)
    return Written(StoredFile(name=path.name, size=size, sha256=whole.hexdigest()), stored)


def file_size(tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> int:
    """Bytes that `write` would write for tensors of these types and shapes."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1][0].itemsize)
    return _head({name: (_code(name, dtype), shape) for name, (dtype, shape) in ordered})[1]


def read_header(file: ReadFile) -> dict[str, Entry]:
    """Names in file order -> where they lie. Raises UntrustedError for anything but a well-formed file.

    Stricter than the library: no duplicate names, no unknown keys or types, names of plain characters,
    and tensors that cover the file exactly, without holes, overlap or trailing bytes.
    """
    where = shown(file.path)
    if file.size < 8:
        raise UntrustedError(f"{where}: {file.size} bytes is too short for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER or 8 + length > file.size:
        raise UntrustedError(f"{where}: a safetensors header of {length:,} bytes does not fit")
    text = bytes(file.read(length, 8))
    if not text.startswith(b"{"):
        raise UntrustedError(f"{where}: the safetensors header does not start with an object")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UntrustedError(f"{where}: not a safetensors header: {safe_text(str(error), 200)}") from None
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise UntrustedError(f"{where}: {len(header):,} tensors; the cap is {MAX_TENSORS:,}")
    entries = {name: _entry(name, fields, 8 + length, where) for name, fields in header.items()}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if entry.offset != end:
            raise UntrustedError(f"{where}: tensor {name} leaves a hole or overlaps the one before")
        end += entry.nbytes
    if end != file.size:
        raise UntrustedError(f"{where}: {file.size - end:,} bytes after the last tensor or missing from it")
    return entries


def read(file: ReadFile, entry: Entry, expected: str | None) -> Array:
    """One tensor, read-only. IntegrityError unless its bytes hash to `expected` (None: already checked)."""
    buffer = file.read(entry.nbytes, entry.offset)
    if expected is not None and sha256(memoryview(buffer)) != expected:
        raise IntegrityError(f"{shown(file.path)}: bytes of a tensor are not those that were committed")
    array = np.frombuffer(buffer, dtype=entry.dtype).reshape(entry.shape)
    array.flags.writeable = False
    return array


def read_all(path: Path, cap: int, expected: str, below: Path | None = None) -> dict[str, Array]:
    """Every tensor of a file of at most `cap` bytes whose whole hash is `expected`.

    The file is read once: what was hashed is what is returned. Raises IntegrityError or UntrustedError.
    """
    with ReadFile(path, cap, below) as file:
        data = file.read(file.size)
        if sha256(memoryview(data)) != expected:
            raise IntegrityError(f"{shown(path)}: not the bytes that were committed")
        entries = read_header(file)
    arrays = {}
    for name, entry in entries.items():
        array = np.frombuffer(data, np.uint8, entry.nbytes, entry.offset).view(entry.dtype)
        arrays[name] = array.reshape(entry.shape)
        arrays[name].flags.writeable = False
    return arrays


def split(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], list[DerivedTensor], dict[str, str]]:
    """Which tensors to store and which are, bit for bit, sums of others; and hashes known so far.

    resid_post[l] = (resid_pre[l] + attn_out[l]) + mlp_out[l] in sequential blocks, the same summed as
    (attn_out + mlp_out) + resid_pre in parallel ones, and resid_pre[l+1] = resid_post[l]. Each is tried
    on the bits; what fails is stored. A derived tensor comes after everything that it is made of.
    """
    stored: dict[str, Array] = {}
    derived: list[DerivedTensor] = []
    digests: dict[str, str] = {}
    for name in sorted(tensors, key=order):
        array = tensors[name]
        of = next(
            (of for of in _candidates(name) if _is_sum(array, [tensors.get(part) for part in of])), None
        )
        if of is None:
            stored[name] = array
            continue
        if len(of) == 1:
            source = digests.get(of[0]) or digests.setdefault(of[0], digest(tensors[of[0]]))
        else:
            source = digest(array)
        digests[name] = source
        derived.append(
            DerivedTensor(
                name=name, of=list(of), dtype=array.dtype.name, shape=list(array.shape), sha256=source
            )
        )
    return stored, derived, digests


def rebuild(parts: Sequence[Array]) -> Array:
    """Left to right in the parts' own type; a single part is itself."""
    with np.errstate(all="ignore"):  # an overflow is a value like any other here
        return reduce(np.add, parts)


def digest(array: Array) -> str:
    """sha256 of a tensor's bytes: little-endian, C order."""
    return sha256(as_bytes(np.ascontiguousarray(array)))


def sha256(data: bytes | bytearray | memoryview) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()


def as_bytes(array: Array) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _candidates(name: str) -> Iterator[tuple[str, ...]]:
    """What a residual may be the sum of, likeliest first."""
    site, layer = parse(name)
    if site.name == "resid_pre" and layer > 0:
        yield (SITES["resid_post"].at(layer - 1),)
    if site.name == "resid_post":
        before, attention, mlp = (SITES[part].at(layer) for part in ("resid_pre", "attn_out", "mlp_out"))
        yield before, attention, mlp
        yield attention, mlp, before


def _is_sum(array: Array, parts: Sequence[Array | None]) -> bool:
    """True when rebuilding gives the very bits, here and on any machine."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts) or any(
        part.dtype != array.dtype or part.shape != array.shape for part in present
    ):
        return False
    total = rebuild(present)
    if not np.array_equal(_bits(total), _bits(array)):
        return False
    # Which NaN a sum of NaNs is differs between processors; such a tensor is stored.
    return len(parts) == 1 or not np.isnan(total).any()


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _head(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """What comes before the data of tensors in this order, by code and shape; and the size of the file."""
    header: dict[str, Any] = {}
    end = 0
    for name, (code, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * DTYPES[code].itemsize
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
    code = _CODES.get(dtype.name)
    if code is None:
        raise UsageError(f"{name}: type {dtype} cannot be stored; use one of {', '.join(_CODES)}")
    return code


def _describe(name: str, array: Array, shape: tuple[int, ...], digest: str) -> StoredTensor:
    """One pass when all values are finite, which is nearly always."""
    values = array if array.dtype.itemsize >= 4 else array.astype(np.float32)
    nan = inf = 0
    absmax = float(max(values.max(), -values.min())) if values.size else 0.0
    if not math.isfinite(absmax):
        nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        absmax = float(np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max())
    return StoredTensor(
        name=name, dtype=array.dtype.name, shape=list(shape), sha256=digest, nan=nan, inf=inf, absmax=absmax
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
    dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if dtype is None:
        raise refuse(f"type not supported; supported are {', '.join(DTYPES)}")
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
