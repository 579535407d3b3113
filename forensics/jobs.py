"""What crosses the border to the worker process: jobs go in, messages come out, one JSON line each.

Never pickle: a worker runs other people's plugins, and what it says is decoded into these structs or refused.
Arrays travel as base64 with their type and shape, so NaN stays NaN.
"""

from __future__ import annotations

import base64
from typing import Any, get_origin

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.results import AnyResult

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

_DTYPES = ("float32", "float64", "int64")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one job may use; a job that uses more has failed, and others are not harmed."""

    seconds: float | None = None
    """Wall time from its start."""
    bytes: int | None = None
    """Memory beyond what the worker has when it starts."""


class LensJob(msgspec.Struct, frozen=True, kw_only=True, tag_field="job", tag="lens"):
    """Read the residual stream of one trace through the logit lens. A newer one replaces one that waits."""

    capture: str
    """Absolute path."""
    trace: str
    """Id."""
    layers: list[int]
    positions: list[int]
    """0-based."""
    top_k: int = 5
    track: int | None = None
    """Token id whose rank is wanted; None: of the final layer's first token, at each position."""
    limits: Limits = Limits()


class RunJob(msgspec.Struct, frozen=True, kw_only=True, tag_field="job", tag="run"):
    """Run an analyzer over some traces."""

    analyzer: str
    capture: str
    """Absolute path."""
    ids: list[str] | None = None
    """Traces in this order; None: those that `filter` matches."""
    filter: str = ""
    options: dict[str, str] = {}
    limits: Limits = Limits()


class MeasureJob(msgspec.Struct, frozen=True, kw_only=True, tag_field="job", tag="measure"):
    """Measure one field of an analyzer in some traces."""

    field: str
    capture: str
    """Absolute path."""
    asked: list[AskedCells]
    limits: Limits = Limits()


class AskedCells(msgspec.Struct, frozen=True, array_like=True):
    """Which cells of one trace."""

    trace: str
    """Id."""
    number: int
    layers: list[int]
    heads: list[int]
    positions: list[int]
    """0-based."""


Job = LensJob | RunJob | MeasureJob


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of what a job says, besides the results of an analyzer (`forensics.results`)."""


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """How far a job is."""

    done: int
    total: int


class Done(Message, frozen=True, kw_only=True, tag="done"):
    """It has said everything."""


class JobFailed(Message, frozen=True, kw_only=True, tag="job-failed"):
    """It could not be done; `reason` is safe to print."""

    reason: str
    crashed: bool = False
    """True when the worker process was lost; the next job gets a new one."""
    exit_code: int = 7
    """What a command would end with."""
    error: str = "AnalyzerError"
    """Class of ours that fits best."""


class JobCancelled(Message, frozen=True, kw_only=True, tag="job-cancelled"):
    """Nobody wants it any more: it was cancelled, or a newer job took its place."""


class LensGrid(Message, frozen=True, kw_only=True, tag="lens-grid"):
    """What the lens says at every (layer, position) asked for. Distances are in nats; NaN where unknown."""

    trace: str
    layers: list[int]
    positions: list[int]
    token_ids: Integers
    """(layer, pos, k) most likely first; -1 where the state is not finite."""
    tokens: list[list[list[str]]]
    """(layer, pos, k) the same as strings; untrusted text."""
    probs: Floats
    """(layer, pos, k)"""
    entropy: Floats
    """(layer, pos) of the distribution over the whole vocabulary."""
    kl: Floats
    """(layer, pos) KL(layer ‖ final)."""
    kl_reverse: Floats
    """(layer, pos) KL(final ‖ layer)."""
    rank: Integers
    """(layer, pos) how many tokens are likelier than the tracked one; -1 where unknown."""
    tracked: Integers
    """(pos,) id of the token that `rank` is about; -1 where unknown."""


class MeasuredCells(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of one field of one trace."""

    shape: list[int]
    numbers: Doubles
    """(cell,), NaN where absent; empty where they are texts or truths."""
    others: list[str | bool | None] = []
    """Texts or truths, one per cell."""


class Measured(Message, frozen=True, kw_only=True, tag="measured"):
    """What an analyzer made of one trace."""

    number: int
    """Of the trace."""
    fields: dict[str, MeasuredCells] = {}
    reason: str = ""
    """Why there is nothing; safe to print."""
    lasting: bool = False
    """True when another try would end the same."""


Ending = Done | JobFailed | JobCancelled
"""The last message of every job is one of these."""
AnyMessage = Progress | Done | JobFailed | JobCancelled | LensGrid | Measured | AnyResult


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One line to the worker."""

    number: int
    """Of the job; its messages carry it."""
    job: Job | None = None
    """None: cancel the job of that number."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One line from the worker."""

    number: int
    message: AnyMessage


def encode(line: Request | Reply) -> bytes:
    """One line of JSON, with its newline."""
    return _encoder.encode(line) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises msgspec.MsgspecError."""
    return _requests.decode(line)


def decode_reply(line: bytes) -> Reply:
    """Raises msgspec.MsgspecError for anything that is not a reply."""
    return _replies.decode(line)


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).data).decode()
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    raise NotImplementedError(f"{type(value).__name__} is not JSON")


def _unpack(kind: type, value: Any) -> Any:
    if get_origin(kind) is not np.ndarray:
        raise NotImplementedError(str(kind))
    if value["dtype"] not in _DTYPES:
        raise ValueError(f"arrays of {value['dtype']} are not sent")
    return np.frombuffer(base64.b64decode(value["data"]), value["dtype"]).reshape(value["shape"])


_encoder = msgspec.json.Encoder(enc_hook=_pack)
_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply, dec_hook=_unpack)
