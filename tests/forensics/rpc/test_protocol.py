"""Messages by the letter of JSON-RPC 2.0, the ordinary ones and what only looks like one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tensorshark.forensics.rpc import protocol
from tensorshark.forensics.rpc.protocol import Call, Fault
from tensorshark.traces.errors import FilterError, IntegrityError


def read(message: Any) -> Any:
    """One message, as bytes or as what becomes JSON."""
    return protocol.read(message if isinstance(message, bytes) else json.dumps(message).encode())


def test_a_request_and_a_notification() -> None:
    assert read({"jsonrpc": "2.0", "id": 7, "method": "x", "params": {"a": 1}}) == Call("x", {"a": 1}, 7)
    assert read({"jsonrpc": "2.0", "method": "x", "params": [1]}) == Call("x", [1], UNSET)
    assert read({"jsonrpc": "2.0", "id": None, "method": "x"}) == Call("x", {}, None)
    assert read({"jsonrpc": "2.0", "id": "7", "method": "x"}).id == "7"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',  # from the specification
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[" * 200_000,
        b'{"a": ' * 50_000,
        b'"\\ud800"',
        b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "x"}',
        b'{"jsonrpc": "2.0", "method": "x"} {}',
    ],
    ids=range(12),
)
def test_what_is_not_json(line: bytes) -> None:
    fault = read(line)
    assert isinstance(fault, Fault) and (fault.code, fault.id) == (-32700, None)
    assert fault.message.isprintable() and len(fault.message) < 300


@pytest.mark.parametrize(
    ("message", "id"),
    [
        (1, None),
        ("x", None),
        (None, None),
        ({}, None),
        ({"jsonrpc": "2.0", "method": 1, "params": "bar"}, None),  # from the specification
        ({"jsonrpc": "1.0", "id": 1, "method": "x"}, 1),
        ({"jsonrpc": 2.0, "id": 1, "method": "x"}, 1),
        ({"id": 1, "method": "x"}, 1),
        ({"jsonrpc": "2.0", "id": 1}, 1),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "x", "params": 1}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "x", "params": None}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "x", "parms": {}}, 1),
        ({"jsonrpc": "2.0", "id": True, "method": "x"}, None),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "x"}, None),
        ({"jsonrpc": "2.0", "id": [1], "method": "x"}, None),
        ({"jsonrpc": "2.0", "id": {}, "method": "x"}, None),
        ({"jsonrpc": "2.0", "id": 1 << 53, "method": "x"}, None),
        ({"jsonrpc": "2.0", "id": "x" * 257, "method": "x"}, None),
        ([], None),
        ([{}] * 257, None),
    ],
    ids=str,
)
def test_what_is_no_request(message: Any, id: Any) -> None:
    fault = read(message)
    assert isinstance(fault, Fault) and (fault.code, fault.id) == (-32600, id)


def test_a_batch_is_read_one_by_one() -> None:
    found = read([1, {"jsonrpc": "2.0", "id": 1, "method": "x"}, []])
    assert [type(each) for each in found] == [Fault, Call, Fault]


def test_what_a_terminal_would_obey_is_escaped_and_comes_back() -> None:
    text = "\x1b[2J \x7f \x9b1m \u202e \U000e0041 \u2028 é 😀 \ufeff"
    line = protocol.answer(1, text)
    assert line.decode().isprintable() and b"\n" not in line
    assert "é 😀" in line.decode(), "what can be read stays as it is"
    assert json.loads(line) == {"jsonrpc": "2.0", "id": 1, "result": text}


@given(st.text(), st.text())
def test_text_comes_back_exactly(key: str, value: str) -> None:
    if not (key + value).isprintable():
        key, value = key.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode()
    line = protocol.answer(None, {key: value})
    assert line.decode().isprintable()
    assert json.loads(line)["result"] == {key: value}


def test_numbers_that_are_not_finite_are_null() -> None:
    assert json.loads(protocol.answer(1, [float("nan"), float("-inf"), 0.1]))["result"] == [None, None, 0.1]


def test_an_answer_that_is_too_large_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_ANSWER", 100)
    with pytest.raises(Fault) as caught:
        protocol.answer(1, "x" * 100)
    assert caught.value.code == -32011 and "ask for less" in caught.value.message


def test_our_errors_say_what_they_have_to_say() -> None:
    fault = protocol.fault_of(FilterError("no such field", "abc == 1", 4, 3, incomplete=True))
    assert json.loads(protocol.failure(fault, 3)) == {
        "jsonrpc": "2.0",
        "id": 3,
        "error": {
            "code": -32002,
            "message": "no such field",
            "data": {
                "exit_code": 2,
                "kind": "FilterError",
                "text": "abc == 1",
                "column": 4,
                "length": 3,
                "incomplete": True,
            },
        },
    }
    fault = protocol.fault_of(IntegrityError("damaged", "0123456789abcdef"))
    assert fault.code == -32004 and fault.data and fault.data.trace == "0123456789abcdef"


def test_other_errors_keep_what_they_hold_to_themselves() -> None:
    def crash() -> None:
        raise KeyError("the secret prompt")

    with pytest.raises(KeyError) as caught:
        crash()
    fault = protocol.fault_of(caught.value)
    assert fault.code == -32603 and "secret" not in fault.message
    assert "KeyError at rpc/test_protocol.py:" in fault.message and "in crash" in fault.message
    assert protocol.fault_of(MemoryError()).code == -32011
    assert protocol.fault_of(OSError(28, "No space left on device")).message == "No space left on device"


@given(st.binary(max_size=200))
def test_no_bytes_break_reading(line: bytes) -> None:
    protocol.read(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.fixed_dictionaries(
        {}, optional={"jsonrpc": JSON | st.just("2.0"), "id": JSON, "method": JSON, "params": JSON, "x": JSON}
    )
)
def test_no_shape_breaks_reading(message: dict[str, Any]) -> None:
    found = read(message)
    assert isinstance(found, Call | Fault)
    if isinstance(found, Call):
        assert isinstance(found.method, str) and isinstance(found.params, dict | list)
        json.loads(protocol.answer(None if found.id is UNSET else found.id, None))
