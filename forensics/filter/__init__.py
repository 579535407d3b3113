"""The display filter: Wireshark's language, on layers, heads and positions. See docs/filter.md.

    parse("label.category == \\"injection\\" and resid_post.norm#12[-1] > 90").select(index)

Text becomes a syntax tree (`parser`, `tree`), is checked against the fields (`checker`, `fields`), and is
then a predicate that says itself in words and answers for all traces at once (`predicates`, `operands`).
lark and RE2 are imported when the first filter is parsed, not before.
"""

from tensorshark.forensics.filter.completion import Completion, complete
from tensorshark.forensics.filter.display import (
    Check,
    Cost,
    Filter,
    SortKey,
    check,
    expression,
    parse,
    select,
    sort_key,
    values,
)
from tensorshark.forensics.filter.reader import Cancelled

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
