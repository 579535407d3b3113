"""`zscore(f)`, `rank(f)` and `f > 3sigma`: a value beside those of other traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorshark.forensics.filter.checks.complaint import A_TYPE
from tensorshark.forensics.filter.fields import POS
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.corpus import Ranked, Scored
from tensorshark.forensics.filter.values.operands import Value

if TYPE_CHECKING:
    from tensorshark.forensics.filter.answers.predicates import Predicate
    from tensorshark.forensics.filter.checks.complaint import Complaint
    from tensorshark.forensics.filter.checks.names import Names

SIGMA = "sigma"
_ORDERED = ("<", "<=", ">", ">=")


def applied(names: Names, node: tree.Call) -> Value:
    """`zscore(…)` or `rank(…)`. Raises FilterError."""
    complaint = names.complaint
    first, *rest = node.arguments or (None,)
    if first is None or first.name:
        raise complaint.error(f"{node.name}(…) takes a number first", node.place)
    inner = names.comparable(first.value)
    if inner.type != "number":
        reason = f"{node.name}(…) takes a number, not {A_TYPE[inner.type]}"
        raise complaint.error(reason, first.value.place, names.begun(first.value))
    if node.name == "zscore":
        return scored(complaint, inner, first.value, _over(complaint, node, rest))
    if rest:
        raise complaint.error("rank(…) takes one value", rest[0].place)
    if not inner.single:
        reason = "rank(…) takes one value per trace; select one cell, or take max(…)"
        raise complaint.error(reason, first.value.place)
    complaint.needs_index("rank(…), a place among all traces,", node.place)
    return Ranked(inner)


def scored(complaint: Complaint, inner: Value, node: tree.Expression, over: Predicate | None = None) -> Value:
    """The z-score of a number, which `node` is. Raises FilterError."""
    if POS in inner.axes or inner.many:
        reason = "a z-score is of one token in every trace; select one, such as [-1], or take max(…)"
        raise complaint.error(reason, node.place)
    complaint.needs_index("a z-score, which is beside all traces,", node.place)
    return Scored(inner, over)


def in_sigmas(node: tree.Expression) -> bool:
    """True for a number such as `3sigma`."""
    return isinstance(node, tree.Number) and node.unit == SIGMA


def compared(
    complaint: Complaint, value: Value, operator: str, node: tree.Expression, left: tree.Expression
) -> tuple[Value, tree.Expression]:
    """`left operator 3sigma` as the z-score of left and 3. Raises FilterError."""
    assert isinstance(node, tree.Number)
    if value.type != "number":
        raise complaint.error(f"the left side is {A_TYPE[value.type]}, and this is a number", node.place)
    if operator not in _ORDERED:
        reason = f"nothing is exactly {complaint.said(node)} from the mean; ask <, <=, > or >="
        raise complaint.error(reason, node.place)
    return scored(complaint, value, left), _plain(node)


def within(complaint: Complaint, value: Value, node: tree.Within) -> tuple[Value, tuple[tree.Item, ...]]:
    """`f in {2sigma..3sigma}` as `zscore(f) in {2..3}`; any other set as it is. Raises FilterError."""
    ends = [end for item in node.items for end in (item.low, item.high)]
    if not any(end is not None and in_sigmas(end) for end in ends):
        return value, node.items
    if value.type != "number":
        raise complaint.error(f"the left side is {A_TYPE[value.type]}, and this set is of numbers", node.set)
    for item in node.items:
        if item.high is None or not in_sigmas(item.low) or not in_sigmas(item.high):
            raise complaint.error("in a set of sigmas every member is a range: {2sigma..3sigma}", item.place)
    items = tuple(
        tree.Item(item.place, _plain(item.low), _plain(item.high))
        for item in node.items
        if item.high is not None
    )
    return scored(complaint, value, node.left), items


def _plain(node: tree.Expression) -> tree.Number:
    assert isinstance(node, tree.Number)
    return tree.Number(node.place, node.value, "")


def _over(complaint: Complaint, node: tree.Call, rest: list[tree.Argument]) -> Predicate | None:
    """The filter of `over=`."""
    if not rest:
        return None
    if len(rest) > 1 or rest[0].name != "over":
        reason = 'zscore(…) takes a number, and over=FILTER: zscore(seq_len, over=label.split == "train")'
        raise complaint.error(reason, rest[0].place)
    from tensorshark.forensics.filter.checks.checker import Checker

    checker = Checker(complaint.text)
    over = checker.predicate(rest[0].value)
    for place, what in checker.complaint.beyond:
        complaint.needs_index(what, place)
    if any(value.bound for leaf in over.leaves() for value in leaf.values):
        reason = "the traces of over=FILTER are the same for every cell; no variable stands here"
        raise complaint.error(reason, rest[0].value.place)
    return over
