"""The parser, from `grammar.lark` by way of `tables.json`, which saves 0.1 s at every start.

    python -m tensorshark.forensics.filter.tables      writes tables.json anew

The tables say which grammar and which lark made them. When either differs, or they are not there, the
grammar is compiled on the spot: slower, never wrong.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

GRAMMAR = Path(__file__).with_name("grammar.lark")
TABLES = Path(__file__).with_name("tables.json")


@functools.cache
def parser() -> lark.Lark:
    """The LALR(1) parser of the filter language."""
    try:
        tables = json.loads(TABLES.read_bytes())
        if tables["made_by"] == _made_by():
            table = tables["data"]["parser"]["parser"]
            states = {state: _integers(actions) for state, actions in table["states"].items()}
            table["states"], table["tokens"] = _integers(states), _integers(table["tokens"])
            made: lark.Lark = lark.Lark._load_from_dict(  # type: ignore[no-untyped-call]
                tables["data"], _integers(tables["memo"])
            )
            return made
    except (OSError, ValueError, KeyError):
        pass
    return compiled()


def compiled() -> lark.Lark:
    """The parser made from the grammar itself."""
    return lark.Lark(
        GRAMMAR.read_text("utf-8"), parser="lalr", propagate_positions=True, maybe_placeholders=True
    )


def dump() -> str:
    """What tables.json should hold."""
    data, memo = compiled().memo_serialize([TerminalDef, Rule])
    tables = {"made_by": _made_by(), "data": data, "memo": memo}
    return json.dumps(tables, separators=(",", ":"), sort_keys=True) + "\n"


def _made_by() -> list[str]:
    return [lark.__version__, hashlib.sha256(GRAMMAR.read_bytes()).hexdigest()]


def _integers(keyed: dict[str, Any]) -> dict[int, Any]:
    """JSON's keys are text; lark's are integers."""
    return {int(key): value for key, value in keyed.items()}


if __name__ == "__main__":
    TABLES.write_text(dump(), "utf-8")
