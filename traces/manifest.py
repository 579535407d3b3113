"""The manifest, `trace.json`: everything about a trace but its numbers, and a hash over every byte of these.

Written as canonical JSON (RFC 8785), so equal manifests are equal bytes and a hash means something.
Reading is strict: a wrong type, a duplicate key or a required feature we do not know is refused.

Every byte of a trace is under exactly one hash, so that a commit hashes it once. The journal has that of
trace.json. stats.safetensors is read whole and hashed whole: `StoredFile.sha256`. tensors.safetensors is read
a tensor at a time: `StoredTensor.sha256` covers the tensor's bytes, `StoredFile.sha256` the bytes before the
first one (8 of length, then the header), and a header whose tensors do not fill the rest of the file exactly
is refused. What is derived has no bytes of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import rfc8785

from tensorshark.traces.errors import UntrustedError

FORMAT = 1
FEATURES = frozenset[str]()
"""Features a manifest may list in `requires`; a reader that lacks one must refuse the trace."""
MAX_BYTES = 16 << 20
_EXACT = (1 << 53) - 1
"""JSON's numbers are whole up to here."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is written as JSON."""


class Message(Record, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: str
    content: str


class Span(Record, frozen=True, kw_only=True):
    """A named token range: `prompt`, `response`, `system`, `user.2`."""

    name: str
    start: int
    """First token, 0-based."""
    stop: int
    """One past the last token."""


class StoredSite(Record, frozen=True, kw_only=True):
    """One site of this trace: which layers, which axes, what type."""

    name: str
    """As in `traces.sites.SITES`."""
    layers: list[int]
    """Ascending, 0-based."""
    axes: list[str]
    """Axes of one layer's tensor."""
    dtype: str
    """`float32`, `float16` or `bfloat16`: what the model computed in."""


class StoredTensor(Record, frozen=True, kw_only=True):
    """A tensor that is in `tensors.safetensors`, with the hash that is checked on every read."""

    name: str
    dtype: str
    shape: list[int]
    sha256: str
    """Over the tensor's bytes, little-endian, C order."""
    nan: int
    inf: int
    absmax: float
    """Largest finite magnitude; 0.0 when there is none."""


class DerivedTensor(Record, frozen=True, kw_only=True):
    """A tensor that is not stored because it is the sum, bit for bit, of tensors that are.

    It has no hash of its own: which parts make it up is under the manifest's, their bytes are under theirs,
    and IEEE 754 gives their sum one value, which the writer has compared with the captured one. Hashing it
    would cost a third of a commit's hashing and tell nothing more.
    """

    name: str
    of: list[str]
    """Added left to right in `dtype`; a single name means the same bits."""
    dtype: str
    shape: list[int]


class StoredFile(Record, frozen=True, kw_only=True):
    """A file beside the manifest, or a model's."""

    name: str
    size: int
    """Bytes, all of them."""
    sha256: str
    """Over the whole file; of tensors.safetensors over what comes before its first tensor."""


class NextToken(Record, frozen=True, kw_only=True):
    """One candidate for the token after the last one."""

    id: int
    token: str
    p: float
    """Probability under the model's own logits."""


class Expert(Record, frozen=True, kw_only=True):
    """A finding about the evidence itself."""

    severity: str
    """`note`, `warn` or `error`."""
    code: str
    """Stable, short, for filters: `bos`, `nan`, `massive`, `truncated`."""
    text: str


class Provenance(Record, frozen=True, kw_only=True):
    """How the numbers came to be; enough to capture them again."""

    model_fingerprint: str
    """sha256 over the hashes of all weight files and the configuration."""
    tokenizer_sha256: str
    bos: str
    """`auto`, `always` or `never`, as asked for."""
    bos_added: bool
    """True when a BOS token was put before the text."""
    chat_template_sha256: str | None
    dtype: str
    device: str
    attention: str
    """Attention implementation, `eager` or `sdpa`."""
    threads: int
    batch: list[int]
    """Shape of the padded batch that this trace was a row of: (batch, pos)."""
    versions: dict[str, str]
    seed: int | None
    generation: dict[str, str] | None
    interventions: list[str]
    argv: list[str]


class TraceManifest(Record, frozen=True, kw_only=True):
    """One trace: one prompt or conversation through one model."""

    format: int
    requires: list[str]
    id: str
    """16 hex digits; see `trace_id`."""
    model: str
    """Folder name under `models/`."""
    captured_at: str
    """UTC, ISO 8601, microseconds, ending in Z."""
    prompt: str
    """As given."""
    messages: list[Message] | None
    text: str
    """What was tokenised: the prompt, or the rendered chat template."""
    token_ids: list[int]
    tokens: list[str]
    """Each token decoded alone; not always valid text by itself."""
    attention_mask: list[int]
    spans: list[Span]
    labels: dict[str, str]
    sites: list[StoredSite]
    tensors: list[StoredTensor]
    derived: list[DerivedTensor]
    files: list[StoredFile]
    next_tokens: list[NextToken]
    """Most likely first."""
    experts: list[Expert]
    provenance: Provenance

    @property
    def all_tensors(self) -> list[StoredTensor | DerivedTensor]:
        """What can be loaded: first the stored, then the derived, in an order that rebuilds them."""
        return [*self.tensors, *self.derived]


class Norm(Record, frozen=True, kw_only=True):
    """The final norm, so that a lens can be computed without the model."""

    kind: str
    """`rms` or `layer`."""
    eps: float
    offset: float
    """Added to the stored weight: 1.0 in Gemma, else 0.0."""


class Lens(Record, frozen=True, kw_only=True):
    """How to go from a residual stream to logits with `lens.safetensors`.

    logits = softcap * tanh(scale * (norm(x) @ unembed.T + bias) / softcap); a softcap of 0 means none.
    """

    storage: str
    """`embed` (the file is here), `link` (at `source`), `none`."""
    source: str
    """Where the weights came from: a path or a Hugging Face id."""
    sha256: str
    """Of lens.safetensors; empty when storage is `none`."""
    size: int
    norm: Norm
    scale: float
    softcap: float


class ModelRecord(Record, frozen=True, kw_only=True):
    """`model.json`: which model, to the last weight."""

    format: int
    requires: list[str]
    name: str
    """The folder name under `models/`: readable, unique in the capture."""
    source: str
    revision: str
    fingerprint: str
    weights: list[StoredFile]
    tokenizer_sha256: str
    vocab_sha256: str = ""
    """Of vocab.json, the token strings by id; empty when there is none."""
    architecture: str
    layers: int
    heads: int
    kv_heads: int
    d_model: int
    vocab: int
    bos_token_id: int | None
    sequential: bool
    """False for parallel blocks, where residuals are not sums of stored parts."""
    lens: Lens


class CaptureRecord(Record, frozen=True, kw_only=True):
    """`capture.json`."""

    format: int
    requires: list[str]
    uuid: str
    created_at: str
    tool: str


R = TypeVar("R", bound=Record)


def trace_id(
    *,
    model_fingerprint: str,
    token_ids: Sequence[int],
    attention_mask: Sequence[int],
    sites: Sequence[StoredSite],
    dtype: str,
    generation: Mapping[str, str] | None = None,
    interventions: Sequence[str] = (),
) -> str:
    """16 hex digits that name an experiment: the same one captured twice is one trace."""
    experiment = {
        "model_fingerprint": model_fingerprint,
        "token_ids": [int(token) for token in token_ids],
        "attention_mask": [int(mask) for mask in attention_mask],
        "sites": [msgspec.to_builtins(site) for site in sorted(sites, key=lambda site: site.name)],
        "dtype": dtype,
        "generation": None if generation is None else dict(generation),
        "interventions": list(interventions),
    }
    return hashlib.sha256(rfc8785.dumps(experiment)).hexdigest()[:16]


def encode(record: Record) -> bytes:
    """Canonical JSON (RFC 8785). ValueError for NaN, infinity, a lone surrogate or a number past 2^53."""
    return msgspec.json.encode(_canonical(msgspec.to_builtins(record)), order="sorted")


def _canonical(value: Any) -> Any:
    """What msgspec writes otherwise than RFC 8785 - floats and the order of odd keys - is left to rfc8785.

    A third of the time of rfc8785 for all. Lists of a record are of one type, so their first item tells.
    """
    if isinstance(value, dict):
        if not all(map(str.isascii, value)):
            return msgspec.Raw(rfc8785.dumps(value))
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list, float)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > _EXACT):
        return msgspec.Raw(rfc8785.dumps(value))
    return value


def decode(data: bytes, kind: type[R], where: str) -> R:
    """Strict: nothing is coerced, duplicate keys and unknown required features are refused.

    Raises UntrustedError, naming `where`, for anything else than a well-formed record.
    """
    if len(data) > MAX_BYTES:
        raise UntrustedError(f"{where}: {len(data):,} bytes of JSON; the cap is {MAX_BYTES:,}")
    try:
        json.loads(data, object_pairs_hook=_only_check, parse_constant=_no_constant)
        record = msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UntrustedError(f"{where}: not a valid {kind.__name__}: {error}") from None
    version, requires = getattr(record, "format", FORMAT), getattr(record, "requires", [])
    if version != FORMAT:
        raise UntrustedError(f"{where}: format {version}; this version reads format {FORMAT}")
    if unknown := sorted(set(requires) - FEATURES):
        raise UntrustedError(f"{where}: needs features this version does not have: {', '.join(unknown)}")
    return record


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` for json.loads: ValueError when a key appears twice."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key appears twice")
    return record


def _only_check(pairs: list[tuple[str, Any]]) -> None:
    """As `no_duplicates`, and forgets: 16 MB of `{}` would be 400 MB of dictionaries."""
    no_duplicates(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
