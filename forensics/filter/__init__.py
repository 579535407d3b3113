"""The display filter: Wireshark's language, on layers, heads and positions. See docs/filter.md.

    parse('label.category == "injection" and resid_post.norm#12[-1] > 90').select(index)

Text becomes a syntax tree (`syntax`), is checked against the tables of fields and functions (`checks`), and
is then a predicate over values (`values`) that says itself in words and answers for all traces (`answers`).
The parser runs tables that lark made beforehand; RE2 is imported when a pattern is checked.
"""

from typing import TYPE_CHECKING, Any

from tensorshark.forensics.filter.answers.costs import Cost
from tensorshark.forensics.filter.columns import SortKey, expression, sort_key, values
from tensorshark.forensics.filter.display import Check, Filter, check, parse, select
from tensorshark.forensics.filter.values.reader import Cancelled

if TYPE_CHECKING:
    from tensorshark.forensics.filter.completion import Completion, complete

__all__ = [
    "Cancelled",
    "Check",
    "Completion",
    "Cost",
    "Filter",
    "SortKey",
    "check",
    "complete",
    "expression",
    "parse",
    "select",
    "sort_key",
    "values",
]


def __getattr__(name: str) -> Any:
    """`complete` and `Completion`, which only a person who types needs."""
    if name in ("Completion", "complete"):
        from tensorshark.forensics.filter import completion

        return getattr(completion, name)
    raise AttributeError(name)
