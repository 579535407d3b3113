"""From `grammar.lark` to `tables.json`: lark makes the LALR(1) tables once, nobody waits for it again.

    python -m tensorshark.forensics.filter.syntax.tables      writes tables.json anew

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
    rules = {key: _made_of(rule) for key, rule in memo.items() if rule["__type__"] == "Rule"}
    listed = sorted(rules.values())
    places = {key: listed.index(rule) for key, rule in rules.items()}
    rows = {
        state: _row({table["tokens"][token]: action for token, action in actions.items()}, places)
        for state, actions in table["states"].items()
    }
    numbers = _numbers(rows, table["start_states"]["filter"])
    ignored = data["parser"]["lexer_conf"]["ignore"]
    scanner, words = _scanner([terminal for terminal in parser.terminals if terminal.name not in ignored])
    made = {
        "scanner": scanner,
        "words": words,
        "rules": [[origin, len(parts)] for origin, parts in listed],
        "states": [_renumbered(rows[state], numbers) for state in numbers],
        "start": numbers[table["start_states"]["filter"]],
        "end": numbers[table["end_states"]["filter"]],
    }
    return json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n"


def _made_of(rule: dict[str, Any]) -> tuple[str, list[str]]:
    """What a rule makes, and of which symbols."""
    return rule["origin"]["name"], [symbol["name"] for symbol in rule["expansion"]]


def _numbers(rows: dict[int, dict[str, int] | int], start: int) -> dict[int, int]:
    """lark's number of each state -> ours, by the order in which they are met: lark's vary with each run."""
    numbers = {start: 0}
    for state in iter(met := [start]):  # which grows while it is walked
        row = rows[state]
        for _, action in sorted(row.items()) if isinstance(row, dict) else ():
            if action >= 0 and action not in numbers:
                numbers[action] = len(numbers)
                met.append(action)
    return numbers


def _renumbered(row: dict[str, int] | int, numbers: dict[int, int]) -> dict[str, int] | int:
    if isinstance(row, int):
        return row
    return {symbol: numbers[action] if action >= 0 else action for symbol, action in row.items()}


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
