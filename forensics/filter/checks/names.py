"""From names to values: which field or function it is, and whether the selections fit its axes."""

from __future__ import annotations

from tensorshark.forensics.filter import fields, functions
from tensorshark.forensics.filter.checks.complaint import A_TYPE, LITERALS, Complaint
from tensorshark.forensics.filter.checks.constants import Constants
from tensorshark.forensics.filter.checks.variables import Variable
from tensorshark.forensics.filter.fields import AXES, HEAD, LAYER, POS, SELECTORS, FieldInfo
from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.arithmetic import Arithmetic, Fixed, Negative
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.measured import Measured
from tensorshark.forensics.filter.values.operands import Value
from tensorshark.forensics.filter.values.reference import SELECTED, Reference
from tensorshark.forensics.filter.values.said import Marked, Texts
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.forensics.filter.values.stored import Expert, Label, Prompt, Stored
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.forensics.filter.values.tokens import Token, TokenId
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

_WRITTEN = {LAYER: "#12", HEAD: ":3"}
_TRUTHS = tree.Either | tree.Exclusive | tree.Both | tree.Not | tree.Compared | tree.Within | tree.Correlated


class Names:
    """Values of one filter."""

    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint
        self.error = complaint.error
        self.constants = Constants(complaint)
        self.variables: dict[str, Variable] = {}
        """Of the any(l, p: …) or all(…) that is being checked, by name."""

    def comparable(self, node: tree.Expression) -> Value:
        """A value that can be compared. Raises FilterError."""
        value = self.value(node)
        if value.type == "tensor" and not isinstance(node, tree.Field):
            reason = "this is a tensor; take norm(…), or cos(…) or dist(…) of two"
            raise self.error(reason, node.place, self.begun(node))
        if value.type == "tensor" and isinstance(node, tree.Field):
            info = fields.find(node.name)
            last = "k_pos" if info and HEAD in info.axes else "d_model"
            axes = ", ".join((*(info.axes if info else ()), last))
            remedy = f"ask has({node.name}), or compare a number, such as that of resid_post.norm"
            raise self.error(f"{node.name} is a tensor with axes {axes}; {remedy}", node.place)
        return value

    def value(self, node: tree.Expression) -> Value:
        """A field, or a function of one. Raises FilterError."""
        match node:
            case tree.Field():
                return self.field(node)
            case tree.Call():
                return self.applied(node)
            case tree.Reference():
                return self.reference(node)
            case tree.Macro():
                raise self.error("a macro stands here that was not expanded", node.place)
            case tree.Arithmetic():
                return self.arithmetic(node)
            case tree.Negative():
                return Negative(self.number_or_tensor(node.value))
            case tree.Quantified():
                raise self.error(
                    f"{node.quantifier}(…) stands on the left side of a comparison only", node.place
                )
            case _ if isinstance(node, LITERALS):
                raise self.error("a field belongs here, not a constant", node.place)
            case _:
                assert isinstance(node, _TRUTHS)
                raise self.error("this is true or false already; a field belongs here", node.place)

    def arithmetic(self, node: tree.Arithmetic) -> Value:
        """`left operator right`."""
        left, right = self.number_or_tensor(node.left), self.number_or_tensor(node.right)
        self.check_pair(left, right, node.left, node.right)
        kinds = (left.type, right.type)
        allowed = {
            ("number", "number"): "+-*/%",
            ("tensor", "tensor"): "+-",
            ("tensor", "number"): "*/",
            ("number", "tensor"): "*",
        }[kinds]
        if node.operator in allowed:
            return Arithmetic(left, right, node.operator)
        if kinds == ("tensor", "tensor"):
            reason = "two tensors are added or subtracted; how alike they are say cos(…) and dist(…)"
        else:
            reason = "a tensor is multiplied with a number, or divided by one"
        raise self.error(reason, node.place, self.begun(node.right))

    def number_or_tensor(self, node: tree.Expression) -> Value:
        """One side of an operation."""
        if isinstance(node, tree.Number):
            if node.unit:
                raise self.error(f"{node.unit} is a distance from the mean: f > 3{node.unit}", node.place)
            return Fixed(node.value)
        value = None if isinstance(node, LITERALS) else self.value(node)
        if value is not None and value.type in ("number", "tensor"):
            return value
        what = A_TYPE[value.type] if value is not None else "a constant that is no number"
        raise self.error(f"arithmetic is with numbers, and this is {what}", node.place, self.begun(node))

    def begun(self, node: tree.Expression) -> bool:
        """True for a field at the end of the text: `resid_post` may still become `resid_post.norm`."""
        ends = isinstance(node, tree.Field | tree.Reference) or (
            isinstance(node, tree.Arithmetic | tree.Negative) and self.begun(_last(node))
        )
        return ends and self.complaint.ends(node.place)

    def check_pair(self, left: Value, right: Value, ours: tree.Expression, theirs: tree.Expression) -> None:
        """Raise FilterError where it cannot be said which cell meets which."""
        for value, other, side in ((left, right, ours), (right, left, theirs)):
            if value.many and not other.single:
                reason = "several values without an axis cannot be paired with several others"
                raise self.error(reason, side.place)

    def applied(self, node: tree.Call) -> Value:
        """A function of values."""
        from tensorshark.forensics.filter.checks import calls

        return calls.applied(self, node)

    def reference(self, node: tree.Reference) -> Value:
        """`$field`: that of the selected trace."""
        self.complaint.needs_index(SELECTED, node.place)
        return Reference(self.field(node.field))

    def field(self, node: tree.Field) -> Value:
        """A field with its selections."""
        info = fields.find(node.name)
        if info is None:
            raise self.no_field(node)
        if node.name in info.aliases:
            self.complaint.advise(f"{node.name} works here, and is called {info.name}", node.named)
        if info.kind == "column" and info.key == "row":
            self.complaint.needs_index(f"{info.name}, a trace's place in its capture,", node.place)
        if info.kind == "column" and info.key == "bytes":
            self.complaint.needs_index("bytes, which is known once a trace is on disk,", node.place)
        if info.kind == "case":
            self.complaint.needs_index(f"{info.name}, which is in the case,", node.place)
        picks = self.picks(info, node)
        match info.kind:
            case "case":
                return Marked(info) if info.type == "truth" else Texts(info)
            case "column":
                return Stored(info)
            case "label":
                return Label(info)
            case "expert":
                return Expert(info)
            case "prompt":
                return Prompt(info)
            case "token":
                return Token(info, picks) if info.type == "text" else TokenId(info, picks)
            case "site":
                return Site(info, picks)
            case "signal":
                return Signal(info, picks)
            case "analyzer":
                return Measured(info, picks)

    def no_field(self, node: tree.Field) -> FilterError:
        """No field has this name."""
        from tensorshark.forensics.measured import declared

        name, place = node.name, node.named
        ends = self.complaint.ends(place)
        typing = ends and (fields.begins(name) or functions.begins(name))
        if name == "t" and node.heads is not None:
            reason = "t:262 is a token's id; compare token or next.token with it"
            return self.error(reason, node.place)
        if name in FUNCTIONS or name in PREDICATES:
            known = fields.nearest(name) or ""
            also = f", or {known} for the field" if known.endswith(f".{name}") else ""
            return self.error(f"{name} is a function; write {name}(…){also}", place, ends)
        if (reason := declared.undeclared(name)) and not typing:
            return self.error(reason, place)
        near = fields.nearest(name)
        remedy = f"did you mean {near}?" if near else "`tensorshark fields` lists them; text needs quotes"
        return self.error(f"there is no field {safe_text(name, 80)}; {remedy}", place, typing)

    def picks(self, info: FieldInfo, node: tree.Field) -> tuple[Pick, ...]:
        """One selection per axis of the field."""
        given = {LAYER: node.layers, HEAD: node.heads, POS: node.positions}
        for axis in AXES:
            selection = given[axis]
            if selection is not None and axis not in info.axes:
                has = f"its axes are {', '.join(info.axes)}" if info.axes else "it has no axes"
                reason = f"{SELECTORS[axis]} selects a {axis}, and {info.name} has none; {has}"
                raise self.error(
                    reason, tree.Place(selection.place.start - (axis != POS), selection.place.stop)
                )
        return tuple(self.pick(axis, given[axis]) for axis in info.axes)

    def pick(self, axis: str, selection: tree.Selection | None) -> Pick:
        """The selection along one axis."""
        if selection is None:
            return Pick(axis)
        named = [part.name for part in selection.parts if isinstance(part, tree.Named)]
        if (name := next((name for name in named if name in self.variables), None)) is not None:
            return Pick(axis, (), self.variables[name].along(axis, selection, self.complaint))
        for part in selection.parts:
            if isinstance(part, tree.Named) and axis != POS:
                reason = f"a {axis} is a number such as {_WRITTEN[axis]}; names are spans of tokens"
                raise self.error(reason, selection.place)
            self.check_part(part, selection.place)
        return Pick(axis, selection.parts)

    def check_part(self, part: tree.Part, place: tree.Place) -> None:
        """Raise FilterError for what selects nothing in any trace."""
        if isinstance(part, tree.Named):
            for inner in part.parts or ():
                if isinstance(inner, tree.Named):
                    raise self.error("a span does not lie within a span", place)
                self.check_part(inner, place)
        elif isinstance(part, tree.Through):
            same_end = (part.first < 0) == (part.last < 0)
            if same_end and part.first > part.last:
                raise self.error("this range is empty: its first end is the larger one", place)


def _last(node: tree.Arithmetic | tree.Negative) -> tree.Expression:
    """What stands at the end of an operation."""
    return node.right if isinstance(node, tree.Arithmetic) else node.value
