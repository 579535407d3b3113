"""docs/serve.md is what the table says, and everything on it is true: each example is sent to a server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tensorshark.forensics.rpc import document, protocol
from tensorshark.forensics.rpc.methods import METHODS, NOTIFICATIONS
from tensorshark.traces.store import Capture
from tensorshark.tui.cli import main

from .conftest import Client, Start

PAGE = document.PAGE.read_text("utf-8")
SCHEMA = json.loads(document.schema())
PAIRS = re.findall(r"^--> (.*)\n<-- (.*)$", PAGE, re.MULTILINE)
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is what a JSON Schema says, as far as ours go."""
    if "$ref" in schema:
        return fits(value, SCHEMA["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "type" not in schema:
        return True
    if not isinstance(value, KINDS[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        return False
    if isinstance(value, list):
        return all(fits(each, schema.get("items") or {}) for each in value)
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        there = set(schema.get("required", ())) <= value.keys() <= known.keys()
        return there and all(fits(each, known[name]) for name, each in value.items())
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return all(fits(each, schema["additionalProperties"]) for each in value.values())
    return True


def matches(value: Any, pattern: Any) -> bool:
    """Whether a value is what an example shows, where `…` stands for anything."""
    if pattern == "…":
        return True
    if isinstance(pattern, dict) and isinstance(value, dict):
        wanted = pattern.keys() - {"…"}
        return (wanted <= value.keys() if "…" in pattern else wanted == value.keys()) and all(
            matches(value[name], pattern[name]) for name in wanted
        )
    if isinstance(pattern, list) and isinstance(value, list):
        first = pattern[:-1] if len(pattern) > 1 and pattern[-1] == "…" else pattern
        enough = len(value) >= len(first) if len(first) < len(pattern) else len(value) == len(first)
        return enough and all(map(matches, value, first))
    return bool(value == pattern and type(value) is type(pattern))


def test_the_page_is_fresh() -> None:
    assert document.page() == PAGE, "stale: run `make docs`"
    assert "@" not in re.sub(r"\S+@\S+\.\S+", "", PAGE), "a place that nothing was put into"


def test_the_page_names_everything() -> None:
    for name in (*METHODS, *(note.name for note in NOTIFICATIONS)):
        assert f"### `{name}`" in PAGE
    for code in protocol.CODES:
        assert f"| {code} |" in PAGE
    for link in re.findall(r"\]\(#(\w+)\)", PAGE):
        assert re.search(rf"^### {link}$", PAGE, re.MULTILINE | re.IGNORECASE), link
    for name, component in SCHEMA["components"]["schemas"].items():
        assert component["description"].endswith("."), name


def test_every_method_has_an_example() -> None:
    assert {json.loads(request)["method"] for request, _ in PAIRS if request != "nonsense"} == METHODS.keys()


@pytest.mark.parametrize(("request_line", "answer"), PAIRS, ids=lambda text: text[24:80])
def test_the_examples_are_true(client: Client, request_line: str, answer: str) -> None:
    client.write(request_line.replace(r"\|", "|").encode())
    wanted = json.loads(answer.replace(r"\|", "|"))
    got = client.answer(wanted["id"])
    assert matches(got, wanted), got
    if "result" in got:
        name = json.loads(request_line)["method"]
        [method] = [each for each in SCHEMA["methods"] if each["name"] == name]
        assert fits(got["result"], method["result"]["schema"]), got["result"]
    else:
        assert fits(got["error"].get("data", {}), {"$ref": "#/components/schemas/Trouble"}) or not got[
            "error"
        ].get("data")
    client.ask("follow", {"on": False})


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    assert SCHEMA["openrpc"].startswith("1.")
    assert [each["name"] for each in SCHEMA["methods"]] == list(METHODS)


def test_parameters_are_what_the_schema_says(example: Capture, serve: Start) -> None:
    """Required ones are required, and what is not there is refused."""
    client = serve(example.path, "--stdio")
    for method in SCHEMA["methods"]:
        required = {each["name"] for each in method["params"] if each["required"]}
        if required:
            assert client.refuse(method["name"])["code"] == -32602, method["name"]
        assert client.refuse(method["name"], {"nobody knows": 1})["code"] == -32602, method["name"]
