"""docs/serve.md and `tensorshark serve --schema`, made from the table of methods and its structs.

    python -m tensorshark.forensics.rpc.document        writes docs/serve.md of the checkout anew

A test says when the page is stale, and another sends every example on it to a server.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tensorshark.forensics.rpc import lanes, protocol, shapes
from tensorshark.forensics.rpc.calls import PROTOCOL
from tensorshark.forensics.rpc.methods import NOTIFICATIONS, TABLE, Method

TEMPLATE = Path(__file__).with_name("page.md")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "serve.md"

Schema = dict[str, Any]


def schema() -> str:
    """One line of JSON: an OpenRPC document, with the notifications as `x-notifications`."""
    components = _components()
    document = {
        "openrpc": "1.3.2",
        "info": {
            "title": "tensorshark serve",
            "version": str(PROTOCOL),
            "description": "JSON-RPC 2.0, one message per line of UTF-8, over stdin and stdout.",
        },
        "methods": [_described(method, components) for method in TABLE],
        "components": {"schemas": components},
        "x-notifications": [
            {"name": each.name, "summary": each.help, "params": _ref(each.gives)} for each in NOTIFICATIONS
        ],
    }
    return json.dumps(document, ensure_ascii=False)


def page() -> str:
    """The text of docs/serve.md: page.md with tables in the places of their names."""
    components = _components()
    numbers = {
        "request": f"{protocol.MAX_REQUEST >> 20} MiB",
        "answer": f"{protocol.MAX_ANSWER >> 20} MiB",
        "batch": str(protocol.MAX_BATCH),
        "waiting": str(lanes.MAX_WAITING),
        "page": f"{shapes.MAX_PAGE:,}",
        "values": f"{shapes.MAX_VALUES:,}",
        "cells": f"{shapes.MAX_CELLS:,}",
        "version": str(PROTOCOL),
    }
    tables = {
        "methods": (line for method in TABLE for line in _method(method, components)),
        "notifications": _notifications(components),
        "codes": _codes(),
        "types": _types(components),
        "trouble": _fields(components["Trouble"]),
    }
    text = TEMPLATE.read_text("utf-8")
    for name, lines in tables.items():
        text = text.replace(f"@{name}@", "\n".join(lines).rstrip())
    for name, number in numbers.items():
        text = text.replace(f"@{name}@", number)
    return text


def _components() -> dict[str, Schema]:
    """Name -> schema of every struct that is spoken, with the sentence under each field."""
    spoken: list[type[msgspec.Struct]] = [protocol.Trouble]
    spoken += [each for method in TABLE for each in (method.takes, method.gives)]
    spoken += [each.gives for each in NOTIFICATIONS]
    template = "#/components/schemas/{name}"
    _, components = msgspec.json.schema_components(spoken, ref_template=template)
    taken = {method.takes.__name__ for method in TABLE}
    structs = _structs(spoken)
    for name, component in components.items():
        about = _sentences(structs[name])
        for field, property in component.get("properties", {}).items():
            if name not in taken:
                component["properties"][field] = property = _nullable(property)
            if field in about:
                property["description"] = about[field]
        component["description"] = " ".join(component.get("description", "").split())
    return components


def _structs(spoken: list[type[msgspec.Struct]]) -> dict[str, type]:
    """Name -> class of these and of all that is inside them."""
    found: dict[str, type] = {}
    todo: list[object] = list(msgspec.inspect.multi_type_info(spoken))
    while todo:
        one = todo.pop()
        if isinstance(one, msgspec.inspect.StructType) and one.cls.__name__ not in found:
            found[one.cls.__name__] = one.cls
            todo += [field.type for field in one.fields]
        for name in ("types", "item_type", "item_types", "key_type", "value_type", "type"):
            inside = getattr(one, name, ())
            todo += inside if isinstance(inside, tuple) else [inside]
    return found


def _sentences(cls: type) -> dict[str, str]:
    """Field -> the text under it in the source, its own or its base's."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base in (object, msgspec.Struct) or not base.__module__.startswith("tensorshark."):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _nullable(value: Any) -> Any:
    """What is sent: a number that is not finite is null."""
    if isinstance(value, list):
        return [_nullable(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "number":
        return {"anyOf": [value, {"type": "null"}]}
    changed = {key: _nullable(each) for key, each in value.items()}
    if "anyOf" in changed:  # `number or null` was there already
        flat: list[Any] = [
            x for each in changed["anyOf"] for x in (each["anyOf"] if set(each) == {"anyOf"} else [each])
        ]
        changed["anyOf"] = [each for at, each in enumerate(flat) if each not in flat[:at]]
    return changed


def _ref(cls: type) -> Schema:
    return {"$ref": f"#/components/schemas/{cls.__name__}"}


def _described(method: Method, components: dict[str, Schema]) -> Schema:
    """One method as OpenRPC has it."""
    takes = components[method.takes.__name__]
    return {
        "name": method.name,
        "summary": method.help,
        "paramStructure": "either",
        "params": [
            {"name": name, "required": name in takes.get("required", ()), "schema": each}
            for name, each in takes.get("properties", {}).items()
        ],
        "result": {"name": method.gives.__name__, "schema": _ref(method.gives)},
        "errors": [{"code": code, "message": text} for code, text in protocol.CODES.items()],
        "examples": [
            {
                "name": method.name,
                "params": [{"name": name, "value": value} for name, value in method.example.items()],
                "result": {"name": "result", "value": method.answer},
            }
        ],
    }


def _method(method: Method, components: dict[str, Schema]) -> Iterator[str]:
    """The method's section of the page."""
    yield f"### `{method.name}`\n"
    yield f"{method.help}\n"
    takes = components[method.takes.__name__]
    if takes.get("properties"):
        yield from _fields(takes, "parameter")
        yield ""
    gives = components[method.gives.__name__]
    yield from _fields(gives, "result")
    request = {"jsonrpc": "2.0", "id": 1, "method": method.name, "params": method.example}
    answer = {"jsonrpc": "2.0", "id": 1, "result": method.answer}
    yield f"\n```text\n--> {_json(request)}\n<-- {_json(answer)}\n```\n"


def _notifications(components: dict[str, Schema]) -> Iterator[str]:
    for each in NOTIFICATIONS:
        yield f"### `{each.name}`\n\n{each.help} {components[each.gives.__name__]['description']}\n"
        yield from _fields(components[each.gives.__name__], "parameter")
        yield ""


def _types(components: dict[str, Schema]) -> Iterator[str]:
    """What results are made of."""
    known = {each.__name__ for method in TABLE for each in (method.takes, method.gives)}
    known |= {"Trouble", *(each.gives.__name__ for each in NOTIFICATIONS)}
    for name, component in components.items():
        if name not in known:
            yield f"### {name}\n\n{component['description']}\n"
            yield from _fields(component)
            yield ""


def _codes() -> Iterator[str]:
    yield "| code | when |"
    yield "|---|---|"
    yield from (f"| {code} | {text} |" for code, text in protocol.CODES.items())


def _fields(component: Schema, title: str = "field") -> Iterator[str]:
    """A table of the fields; parameters with their defaults."""
    defaults = title == "parameter" and any("default" in each for each in component["properties"].values())
    yield f"| {title} | type |{' default |' if defaults else ''} |"
    yield "|---|---|---|---|" if defaults else "|---|---|---|"
    for name, each in component["properties"].items():
        default = f" `{_json(each['default'])}` |" if "default" in each else " |"
        about = each.get("description", "").replace("|", r"\|")
        yield f"| `{name}` | {_type(each)} |{default if defaults else ''} {about} |"


def _type(each: Schema) -> str:
    """A schema in words."""
    if "$ref" in each:
        name = each["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in each:
        return " or ".join(dict.fromkeys(map(_type, each["anyOf"])))
    if "enum" in each:
        return " or ".join(f"`{_json(value)}`" for value in each["enum"])
    kind = each.get("type", "anything")
    if kind == "array":
        most = f", {each['maxItems']:,} at most" if "maxItems" in each else ""
        items = each.get("items") or {}
        return f"array of {_type(items)}{most}" if items else f"array{most}"
    if kind == "object":
        return (
            f"object of {_type(each['additionalProperties'])}" if each.get("additionalProperties") else kind
        )
    low, high = each.get("minimum"), each.get("maximum")
    limits = f" {low} to {high:,}" if high is not None else f" ≥ {low}" if low is not None else ""
    return f"{kind}{limits}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
