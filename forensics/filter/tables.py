"""From `grammar.lark` to `tables.json`: lark makes the LALR(1) tables once, nobody waits for it again.

    python -m tensorshark.forensics.filter.tables      writes tables.json anew

Needed after a change of the grammar only. Reading a filter takes the tables and `lalr`, and not lark: that
saves 80 ms at every start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GRAMMAR = Path(__file__).with_name("grammar.lark")
TABLES = Path(__file__).with_name("tables.json")


def dump() -> str:
    """What tables.json should hold; see `lalr.Tables`. Raises GrammarError for an ambiguous grammar."""
    import lark
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    parser = lark.Lark(GRAMMAR.read_text("utf-8"), parser="lalr", start="filter", maybe_placeholders=False)
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    table = data["parser"]["parser"]
    rules = {key: rule for key, rule in memo.items() if rule["__type__"] == "Rule"}
    places = {key: place for place, key in enumerate(rules)}
    states = [
        _row({table["tokens"][token]: action for token, action in actions.items()}, places)
        for _, actions in sorted(table["states"].items())
    ]
    ignored = data["parser"]["lexer_conf"]["ignore"]
    scanner, words = _scanner([terminal for terminal in parser.terminals if terminal.name not in ignored])
    made = {
        "scanner": scanner,
        "words": words,
        "rules": [[rule["origin"]["name"], len(rule["expansion"])] for rule in rules.values()],
        "states": states,
        "start": table["start_states"]["filter"],
        "end": table["end_states"]["filter"],
    }
    return json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n"


def _row(actions: dict[str, Any], places: dict[int, int]) -> dict[str, int] | int:
    """What a state does: symbol -> next state, or, negative, -1 minus the rule to reduce by.

    A state that only ever reduces by one rule does so whatever comes next: then that alone is said.
    """
    row = {
        symbol: -1 - places[argument["@"]] if reduces else argument
        for symbol, (reduces, argument) in actions.items()
    }
    always = set(row.values())
    return min(always) if len(always) == 1 and min(always) < 0 else row


def _scanner(terminals: list[Any]) -> tuple[str, dict[str, str]]:
    """One pattern with a group per terminal, by priority, then longest first; and word -> terminal."""
    words = {
        terminal.pattern.value: terminal.name for terminal in terminals if terminal.pattern.value.isalpha()
    }
    signs = [terminal for terminal in terminals if terminal.name not in words.values()]
    signs.sort(key=lambda terminal: (-terminal.priority, -len(terminal.pattern.value)))
    return "|".join(f"(?P<{sign.name}>{sign.pattern.to_regexp()})" for sign in signs), words


if __name__ == "__main__":
    TABLES.write_text(dump(), "utf-8")
