"""JSON-RPC 2.0 as it is spoken here: bytes -> calls, answers -> bytes. Knows no engine and no pipe.

One message is one line of UTF-8. Strict: what is not JSON, has a key twice, or is not a request in every
member is refused with the code that the specification gives it, and never guessed at.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tensorshark.traces.errors import FilterError, TensorsharkError
from tensorshark.traces.manifest import no_duplicates
from tensorshark.traces.text import safe_text

MAX_REQUEST = 8 << 20
"""Bytes of one line that is taken."""
MAX_ANSWER = 32 << 20
"""Bytes of one line that is sent; what would be longer is an error that says so."""
MAX_BATCH = 256
"""Requests in one batch."""
MAX_ID = 256
"""Characters of a request's id: it is repeated with every notification about the request."""
_EXACT = 1 << 53
"""JSON's whole numbers are exact below this."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""Minus an exit code: what `tensorshark` would end a command with."""
CANCELLED = -32010
TOO_LARGE = -32011
BUSY = -32012

CODES = {
    PARSE_ERROR: "the line is not JSON",
    INVALID_REQUEST: "it is JSON, and not a request",
    METHOD_NOT_FOUND: "there is no such method",
    INVALID_PARAMS: "the parameters are not those of the method; the message says where",
    INTERNAL_ERROR: "a fault of ours; other requests are not harmed",
    REFUSED - 2: "a filter, an expression or an option cannot be used; with a `column` in `data` for filters",
    REFUSED - 3: "no such capture, trace, site, layer, model or analyzer",
    REFUSED - 4: "bytes on disk are not what was committed",
    REFUSED - 5: "the disk is full, or refuses",
    REFUSED - 6: "untrusted input was refused",
    REFUSED - 7: "an analyzer failed",
    CANCELLED: "the request was cancelled, or the session ended first",
    TOO_LARGE: "the answer would be too large; the message says how to ask for less",
    BUSY: "too many requests are waiting; send this one again when another is answered",
}
"""Every error code -> when it is given."""

Id = int | str | None


class Trouble(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`data` of an error: what a program can act on."""

    exit_code: int
    """What the command line would end with; see `CODES`."""
    kind: str
    """The class of the error: `FilterError`, `NotFoundError`."""
    text: str | UnsetType = UNSET
    """The filter or expression in question."""
    column: int | UnsetType = UNSET
    """Where in it the trouble starts, 0-based, in characters (code points)."""
    length: int | UnsetType = UNSET
    """How many characters it covers."""
    incomplete: bool | UnsetType = UNSET
    """True when more typing could make it right."""
    trace: str | UnsetType = UNSET
    """Id of the damaged trace."""


class Fault(Exception):  # noqa: N818 - what JSON-RPC calls an error is a message
    """Something that is answered with an error."""

    def __init__(self, code: int, message: str, data: Trouble | None = None, id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.id = id
        """Of the request, where it is known."""


class Call(msgspec.Struct, frozen=True):
    """One request or notification."""

    method: str
    params: dict[str, Any] | list[Any]
    """By name or by position; empty when there are none."""
    id: Id | UnsetType = UNSET
    """UNSET for a notification, which is never answered."""


def read(line: bytes) -> Call | Fault | list[Call | Fault]:
    """One line as a call, as a batch of calls, or as what is wrong with it. Raises nothing."""
    try:
        message = msgspec.json.decode(line)
        # msgspec takes the last of two equal keys; two readers of one message must not differ.
        json.loads(line, object_pairs_hook=_only_check)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return Fault(PARSE_ERROR, f"not JSON: {safe_text(str(error), 200)}")
    if not isinstance(message, list):
        return _call(message)
    if not message:
        return Fault(INVALID_REQUEST, "an empty batch")
    if len(message) > MAX_BATCH:
        return Fault(INVALID_REQUEST, f"a batch of {len(message):,} requests; at most {MAX_BATCH}")
    return [_call(each) for each in message]


def answer(id: Id, result: object) -> bytes:
    """The line of an answer without its line end. Raises Fault TOO_LARGE."""
    line = _encode({"jsonrpc": "2.0", "id": id, "result": result})
    if len(line) > MAX_ANSWER:
        raise Fault(
            TOO_LARGE, f"the answer has {len(line):,} bytes, and {MAX_ANSWER:,} are the most; ask for less"
        )
    return line


def failure(fault: Fault, id: Id) -> bytes:
    """The line of an error."""
    error: dict[str, object] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    return _encode({"jsonrpc": "2.0", "id": id, "error": error})


def notification(method: str, params: object) -> bytes:
    """The line of a notification."""
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def batch(lines: list[bytes]) -> bytes:
    """Answers of one batch as one line."""
    return b"[" + b",".join(lines) + b"]"


def fault_of(error: BaseException) -> Fault:
    """What an exception is answered with: ours say what they have to say, others their type and place only.

    A message that we did not write may hold a prompt, and prompts are secrets as often as not.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, FilterError):
        data = Trouble(
            exit_code=error.exit_code,
            kind="FilterError",
            text=error.text,
            column=error.column,
            length=error.length,
            incomplete=error.incomplete,
        )
        return Fault(REFUSED - error.exit_code, _line(error.reason), data)
    if isinstance(error, TensorsharkError):
        trace = getattr(error, "trace_id", "") or UNSET
        data = Trouble(exit_code=error.exit_code, kind=type(error).__name__, trace=trace)
        return Fault(REFUSED - error.exit_code, _line(str(error)), data)
    if isinstance(error, OSError):
        data = Trouble(exit_code=5, kind="StorageError")
        return Fault(REFUSED - 5, _line(error.strerror or type(error).__name__), data)
    if isinstance(error, MemoryError):
        return Fault(TOO_LARGE, "it needs more memory than there is; ask for less")
    return Fault(INTERNAL_ERROR, f"internal error: {type(error).__name__}{_place(error)}")


def _call(message: object) -> Call | Fault:
    """One member of a batch, or the only one."""
    if not isinstance(message, dict):
        return Fault(INVALID_REQUEST, "a request is an object")
    id = message.get("id", UNSET)
    if not (id is UNSET or id is None or _is_id(id)):
        wanted = f"a whole number below 2^53, a string of up to {MAX_ID} characters or null"
        return Fault(INVALID_REQUEST, f"id has to be {wanted}")
    known = None if id is UNSET else id
    if message.get("jsonrpc") != "2.0":
        return Fault(INVALID_REQUEST, 'jsonrpc has to be "2.0"', id=known)
    if not isinstance(method := message.get("method"), str):
        return Fault(INVALID_REQUEST, "method has to be a string", id=known)
    if not isinstance(params := message.get("params", {}), dict | list):
        return Fault(INVALID_REQUEST, "params have to be an object or an array", id=known)
    if unknown := message.keys() - {"jsonrpc", "id", "method", "params"}:
        return Fault(INVALID_REQUEST, f"a request has no {safe_text(min(unknown), 40)!r}", id=known)
    return Call(method, params, id)


def _is_id(value: object) -> bool:
    """True of what may name a request; `true` is no number, and 1.5 no name."""
    if isinstance(value, str):
        return len(value) <= MAX_ID
    return type(value) is int and abs(value) < _EXACT


def _only_check(pairs: list[tuple[str, Any]]) -> None:
    no_duplicates(pairs)


def _encode(message: object) -> bytes:
    """One line. Numbers that are not finite are null; what a terminal would obey is escaped."""
    line = _encoder.encode(message)
    if line.isascii() and b"\x7f" not in line:
        return line  # msgspec escapes what is below a space
    text = line.decode()
    return line if text.isprintable() else "".join(map(_char, text)).encode()


def _char(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"


def _line(text: str) -> str:
    """A message of ours in one line; it is safe already, and of no more than a screenful."""
    return " ".join(text.split("\n"))[:2000]


def _place(error: BaseException) -> str:
    """Where it was raised: ` at forensics/engine.py:12 in select`."""
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1:]
    if not last:
        return ""
    name = "/".join(last[0].filename.split("/")[-2:])
    return safe_text(f" at {name}:{last[0].lineno} in {last[0].name}", 200)


_encoder = msgspec.json.Encoder()
