"""From what was typed to what is asked: whether it makes sense, and if not, why and where."""

from __future__ import annotations

import re
from itertools import islice

import msgspec

from tensorshark.forensics.filter import fields
from tensorshark.forensics.filter.answers.correlated import Correlated
from tensorshark.forensics.filter.answers.predicates import (
    Both,
    Comparison,
    Either,
    Exclusive,
    Leaf,
    Not,
    Paired,
    Predicate,
)
from tensorshark.forensics.filter.checks import corpus
from tensorshark.forensics.filter.checks.complaint import A_TYPE, LITERALS, Complaint
from tensorshark.forensics.filter.checks.names import Names
from tensorshark.forensics.filter.checks.variables import Variable
from tensorshark.forensics.filter.functions import PREDICATES
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.operands import Value
from tensorshark.forensics.filter.values.relations import OneOf, Order, Present

_SPELLED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "~": "matches"}
_STRICT: dict[str, tuple[str, tree.Quantifier]] = {"===": ("==", "all"), "!==": ("!=", "any")}
"""Wireshark's operators that bring their own quantifier."""
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_SEARCHES = ("contains", "matches")
_TRUTHS = tree.Either | tree.Exclusive | tree.Both | tree.Not | tree.Compared | tree.Within | tree.Correlated


class Checker:
    """Checks one filter's tree against the fields."""

    def __init__(self, text: str) -> None:
        self.complaint = Complaint(text)
        self.error = self.complaint.error
        self.names = Names(self.complaint)
        self.constants = self.names.constants
        self.clauses: dict[Leaf, tree.Place] = {}
        """Every comparison, and where it first stands."""

    def predicate(self, node: tree.Expression) -> Predicate:
        """What `node` asks of a trace. Raises FilterError."""
        found = self._predicate(node)
        if isinstance(found, Leaf):
            self.clauses.setdefault(found, node.place)
        return found

    def _predicate(self, node: tree.Expression) -> Predicate:
        match node:
            case tree.Either():
                return Either(tuple(self.predicate(part) for part in node.parts))
            case tree.Exclusive():
                return Exclusive(tuple(self.predicate(part) for part in node.parts))
            case tree.Both():
                return Both(tuple(self.predicate(part) for part in node.parts))
            case tree.Not():
                return Not(self.predicate(node.part))
            case tree.Compared():
                return self.compared(node)
            case tree.Within():
                return self.within(node)
            case tree.Call() if node.name in PREDICATES:
                return self.has(node)
            case tree.Field():
                value = self.names.field(node)
                # Of a field that is true or false: is it true? Of any other: is it there?
                return Comparison(value, Order("==", True) if value.type == "truth" else Present(), "any")
            case tree.Correlated():
                return self.correlated(node)
            case tree.Quantified(value=tree.Compared() | tree.Within() as inner):
                # `all(f < 3)` is `all(f) < 3`.
                left = tree.Quantified(inner.left.place, node.quantifier, inner.left)
                return self._predicate(msgspec.structs.replace(inner, left=left))
            case tree.Quantified():
                raise self.error(f"{node.quantifier}(…) needs a comparison behind it", node.place)
            case _ if isinstance(node, LITERALS):
                raise self.error("a constant alone says nothing; compare a field with it", node.place)
            case _:
                value = self.names.value(node)
                raise self.error(f"this is {A_TYPE[value.type]}; compare it with something", node.place)

    def has(self, node: tree.Call) -> Predicate:
        """`has(field)`: is there any value?"""
        argument = node.arguments[0] if len(node.arguments) == 1 else None
        if argument is None or argument.name or isinstance(argument.value, LITERALS):
            raise self.error("has(…) takes one field", node.place)
        return Comparison(self.names.value(argument.value), Present(), "any")

    def compared(self, node: tree.Compared) -> Predicate:
        """One comparison: of a value with a constant, or of two values."""
        operator = _SPELLED.get(node.relation, node.relation)
        operator, strict = _STRICT.get(operator, (operator, None))
        left, right = self.constants.folded(node.left), self.constants.folded(node.right)
        left, right = self.constants.tokens.compared(left, right)
        if isinstance(left, LITERALS) and isinstance(right, LITERALS):
            raise self.error("two constants; one side has to be a field", node.place)
        if isinstance(left, LITERALS) and operator in _FLIPPED:
            left, right, operator = right, left, _FLIPPED[operator]
        elif isinstance(right, tree.Quantified):
            raise self.error(f"write {right.quantifier}(…) on the left side", right.place)
        value, quantifier = self.subject(left)
        if strict and quantifier:
            raise self.error(f"{node.relation} brings its own any or all", node.said)
        quantifier = quantifier or strict or ("all" if operator == "!=" else "any")
        if corpus.in_sigmas(right):
            value, right = corpus.compared(self.complaint, value, operator, right, left)
        if operator in _SEARCHES:
            return Comparison(value, self.constants.searched(value, operator, node.said, right), quantifier)
        if isinstance(right, LITERALS) or value.type in ("severity", "time"):
            return Comparison(value, self.constants.relation(value, operator, right, node.said), quantifier)
        if isinstance(right, tree.Field) and value.type == "text" and fields.find(right.name) is None:
            raise self.error(f"text needs quotes: {fields.quote(self.complaint.said(right))}", right.place)
        return self.paired(value, operator, self.operand(right), quantifier, node)

    def within(self, node: tree.Within) -> Predicate:
        """`in {…}`: one value is one of the members. `not in {…}`: there is a value, and none is."""
        node = self.constants.tokens.within(node)
        value, quantifier = self.subject(node.left)
        if not node.items:
            raise self.error("an empty set holds nothing", node.set)
        value, items = corpus.within(self.complaint, value, node)
        members = tuple(self.constants.member(value, item) for item in items)
        relation = OneOf(members, outside=node.negated)
        return Comparison(value, relation, quantifier or ("all" if node.negated else "any"))

    def paired(
        self, left: Value, operator: str, right: Value, quantifier: tree.Quantifier, node: tree.Compared
    ) -> Predicate:
        """Two values of one type, cell by cell."""
        if left.type != right.type:
            reason = f"the left side is {A_TYPE[left.type]}, and this is {A_TYPE[right.type]}"
            raise self.error(reason, node.right.place)
        self.names.check_pair(left, right, node.left, node.right)
        return Paired(left, operator, right, quantifier)

    def correlated(self, node: tree.Correlated) -> Predicate:
        """`any(l, p: …)`: comparisons about the same cell."""
        variables = self.names.variables
        if variables:
            raise self.error("an any(l: …) or all(l: …) does not stand within another", node.place)
        for name, place in zip(node.variables, self.places(node), strict=True):
            if name in variables:
                raise self.error(f"{name} stands here twice", place)
            variables[name] = Variable(name, place, variables)
        body = self.predicate(node.body)
        self.names.variables = {}
        for variable in variables.values():
            if variable.axis is None:
                remedy = f"write #{variable.name}, :{variable.name} or [{variable.name}] behind a field"
                raise self.error(f"the variable {variable.name} is not used; {remedy}", variable.place)
        if any(fields.POS in leaf.torn for leaf in body.leaves()):  # thousands, each beside thousands
            reason = "a token variable meets several tokens here; take max(…) or min(…) of those"
            raise self.error(reason, node.body.place)
        return Correlated(
            node.quantifier, tuple((name, str(one.axis)) for name, one in variables.items()), body
        )

    def places(self, node: tree.Correlated) -> list[tree.Place]:
        """Where the names of the variables stand, in `any(l, p: …)`."""
        start = self.complaint.text.index("(", node.place.start)
        found = re.finditer(r"[^\s,:]+", self.complaint.text[start + 1 : node.body.place.start])
        all_ = (tree.Place(start + 1 + name.start(), start + 1 + name.end()) for name in found)
        return list(islice(all_, len(node.variables)))

    def subject(self, node: tree.Expression) -> tuple[Value, tree.Quantifier | None]:
        """What is compared, and the any or all before it."""
        if isinstance(node, tree.Quantified):
            return self.operand(node.value), node.quantifier
        return self.operand(node), None

    def operand(self, node: tree.Expression) -> Value:
        """One side of a comparison."""
        if isinstance(node, _TRUTHS) or (isinstance(node, tree.Call) and node.name in PREDICATES):
            raise self.error("this is true or false already; it cannot be compared", node.place)
        return self.names.comparable(node)
