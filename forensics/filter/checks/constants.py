"""From constants to relations: what `> 90`, `contains "x"` or `in {1, 3..5}` ask of a value of some type."""

from __future__ import annotations

import math

from tensorshark.forensics.filter.checks.complaint import A_TYPE, LITERALS, Complaint
from tensorshark.forensics.filter.checks.tokens import Tokens
from tensorshark.forensics.filter.fields import SEVERITIES
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.arithmetic import operation
from tensorshark.forensics.filter.values.operands import Value
from tensorshark.forensics.filter.values.relations import (
    Constant,
    Contains,
    During,
    Matches,
    Order,
    Range,
    Relation,
    Severity,
    Stretch,
)
from tensorshark.traces.errors import FilterError

_KINDS = {tree.Number: "number", tree.Text: "text", tree.Truth: "truth", tree.Date: "time"}
_ORDER_OF_SEVERITIES = f"a severity is {', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}"


class Constants:
    """Relations of one filter."""

    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint
        self.error = complaint.error
        self.later = complaint.later
        self.tokens = Tokens(complaint)

    def relation(self, value: Value, operator: str, node: tree.Expression, said: tree.Place) -> Relation:
        """`operator node` as a question to a value of this type. Raises FilterError."""
        if value.type == "severity":
            return Severity(operator, self.severity(node))
        if value.type == "time":
            date = self.date(node)
            return During(operator, date.start, date.stop, self.complaint.said(node))
        if isinstance(node, tree.Text) and node.token:
            return Order(operator, self.tokens.text(node, value))
        constant = self.constant(node)
        if _KINDS[type(node)] != value.type:
            raise self.mismatch(value, node)
        if value.type == "truth" and operator not in ("==", "!="):
            raise self.error(f"true and false are not ordered; {operator} does not compare them", said)
        return Order(operator, constant)

    def member(self, value: Value, item: tree.Item) -> Relation:
        """One member of a set, as a question to the value."""
        upper = None if item.high is None else self.folded(item.high)
        item = tree.Item(item.place, self.folded(item.low), upper)
        if item.high is None:
            return self.relation(value, "==", item.low, item.place)
        if value.type == "time":
            start, stop = self.date(item.low), self.date(item.high)
            shown = f"{self.complaint.said(item.low)} to {self.complaint.said(item.high)}"
            self.check_range(start.start > stop.start, item)
            return Stretch("==", start.start, stop.stop, shown)
        if value.type != "number":
            raise self.error(f"{A_TYPE[value.type]} has no ranges; list the members", item.place)
        low, high = self.number(item.low), self.number(item.high)
        self.check_range(low > high, item)
        return Range(low, high)

    def check_range(self, empty: bool, item: tree.Item) -> None:
        """Raise FilterError for a range from large to small."""
        if empty:
            raise self.error("this range is empty: its first end is the larger one", item.place)

    def searched(self, value: Value, operator: str, said: tree.Place, node: tree.Expression) -> Relation:
        """`contains` or `matches`. Raises FilterError."""
        if value.type != "text":
            raise self.error(f"{operator} searches text, and the left side is {A_TYPE[value.type]}", said)
        if not isinstance(node, tree.Text):
            raise self.error(f"{operator} needs a text in quotes", node.place)
        part = str(self.constant(node))
        if operator == "contains":
            return Contains(part)
        from tensorshark.forensics.filter.checks import patterns

        if reason := patterns.refused(part):
            raise self.error(reason, node.place)
        return Matches(part, patterns.required(part))

    def folded(self, node: tree.Expression) -> tree.Expression:
        """A number where the node is arithmetic of numbers alone; otherwise the node."""
        match node:
            case tree.Negative():
                inner = self.folded(node.value)
                if isinstance(inner, tree.Number):
                    return tree.Number(node.place, -inner.value, inner.unit)
            case tree.Arithmetic():
                left, right = self.folded(node.left), self.folded(node.right)
                if isinstance(left, tree.Number) and isinstance(right, tree.Number):
                    return self.computed(node, float(self.number(left)), float(self.number(right)))
        return node

    def computed(self, node: tree.Arithmetic, left: float, right: float) -> tree.Number:
        """What an operation makes of two numbers as typed."""
        value = float(operation(node.operator, left, right))
        if not math.isfinite(value):
            raise self.error("this is no number that anything can be compared with", node.place)
        whole = value.is_integer() and abs(value) < 2**53
        return tree.Number(node.place, int(value) if whole else value, "")

    def constant(self, node: tree.Expression) -> Constant:
        """The constant that a literal stands for."""
        match node:
            case tree.Number() if node.unit:
                far = f"{self.complaint.said(node)} is a distance from the mean"
                reason = f"{far}; it is compared with <, <=, > or >="
                raise self.error(reason, node.place)
            case tree.Text() if node.token:
                raise self.error('t"…" is one token; search with a text in quotes', node.place)
            case tree.Number() | tree.Text() | tree.Truth():
                return node.value
            case tree.Date():
                return node.start
            case _:
                raise self.error("a constant belongs here", node.place)

    def number(self, node: tree.Expression) -> int | float:
        """A number, one end of a range."""
        if not isinstance(node, tree.Number):
            raise self.error("a range goes from a number to a number", node.place)
        self.constant(node)
        return node.value

    def date(self, node: tree.Expression) -> tree.Date:
        """A date, also one in quotes."""
        if isinstance(node, tree.Text):
            from tensorshark.forensics.filter.syntax import dates

            if found := dates.date(node.value):
                return tree.Date(node.place, *found)
        if not isinstance(node, tree.Date):
            typing = self.complaint.ends(node.place) and set(self.complaint.said(node)) <= set("0123456789-")
            reason = "a time is compared with a date: 2026-08-01 or 2026-08-01T10:30"
            raise self.error(reason, node.place, typing)
        return node

    def severity(self, node: tree.Expression) -> str:
        """`note`, `warn` or `error`, in quotes or not."""
        name = ""
        if isinstance(node, tree.Text):
            name = node.value
        elif isinstance(node, tree.Field) and node.place == node.named:
            name = node.name
        if name not in SEVERITIES:
            typing = self.complaint.ends(node.place) and any(known.startswith(name) for known in SEVERITIES)
            raise self.error(_ORDER_OF_SEVERITIES, node.place, typing)
        return name

    def mismatch(self, value: Value, node: tree.Expression) -> FilterError:
        """The constant is of another type than the value."""
        quotable = value.type == "text" and isinstance(node, LITERALS)
        remedy = f"; put {self.complaint.said(node)} in quotes" if quotable else ""
        wrong = A_TYPE[_KINDS[type(node)]]
        return self.error(f"the left side is {A_TYPE[value.type]}, and this is {wrong}{remedy}", node.place)
