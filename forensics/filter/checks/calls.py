"""Functions: whether there is one of that name, and whether it takes what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorshark.forensics.filter.checks import corpus
from tensorshark.forensics.filter.checks.complaint import A_TYPE
from tensorshark.forensics.filter.fields import HEAD
from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES, Function
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.applied import Applied
from tensorshark.forensics.filter.values.cells import HeadMeans, Signal
from tensorshark.forensics.filter.values.lengths import OfTensor, OfTensors
from tensorshark.forensics.filter.values.operands import Value
from tensorshark.forensics.filter.values.selection import noun
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.forensics.filter.checks.names import Names

_COUNTS = {1: "one value", 2: "two values", 3: "three values"}


def applied(names: Names, node: tree.Call) -> Value:
    """A function of values. Raises FilterError."""
    if node.name == "similar_to":
        from tensorshark.forensics.filter.checks.similar import similar_to

        return similar_to(names, node)
    function = _found(names, node)
    if function is None:
        raise _no_function(names, node)
    if function.corpus:
        return corpus.applied(names, node)
    arguments = [argument.value for argument in node.arguments]
    count = function.tensors + len(function.constants)
    if len(arguments) != count or any(argument.name for argument in node.arguments):
        raise names.error(f"{node.name}(…) takes {_COUNTS[count]}", node.place)
    given = [_taken(names, function, argument) for argument in arguments[: function.tensors]]
    constants = [
        _constant(names, function, at, argument) for at, argument in enumerate(arguments[function.tensors :])
    ]
    if function.tensors == 2:
        left, right = given
        names.check_pair(left, right, *arguments)
        return OfTensors(left, right, function)
    (inner,) = given
    if function.takes == "tensor":
        return OfTensor(inner, function)
    if function.place:
        _check_one_axis(names, function, inner, arguments[0])
    whole = isinstance(inner, Signal) and HEAD in (*inner.axes,) and not inner.pick(HEAD).parts
    if node.name == "mean" and isinstance(inner, Signal) and whole:
        inner = HeadMeans(inner.field, inner.picks)
    return Applied(inner, function, tuple(constants))


def _found(names: Names, node: tree.Call) -> Function | None:
    """The function of that name, ours or a plugin's."""
    if node.name in FUNCTIONS or node.name in PREDICATES:
        return FUNCTIONS.get(node.name)
    from tensorshark.forensics.filter import added

    try:
        return added.find(node.name)
    except FilterError as error:
        raise names.error(error.reason, node.named) from None


def _taken(names: Names, function: Function, node: tree.Expression) -> Value:
    """One value that the function is given."""
    value = names.value(node) if function.takes == "tensor" else names.comparable(node)
    if function.takes not in ("any", value.type):
        reason = f"{function.name}(…) takes {A_TYPE[function.takes]}, not {A_TYPE[value.type]}"
        raise names.error(reason, node.place, names.begun(node))
    if function.takes == "tensor" and _has_heads(value):
        reason = f"{function.name}(…) takes tensors with a vector for each token, such as resid_post"
        raise names.error(reason, node.place)
    return value


def _has_heads(value: Value) -> bool:
    """True when attention patterns are in it, whose rows are no vectors of the model."""
    own = isinstance(value, Site) and HEAD in value.field.axes
    return own or any(map(_has_heads, value.parts))


def _constant(names: Names, function: Function, at: int, node: tree.Expression) -> int | float:
    """A number behind the value."""
    parameter, number = function.constants[at], names.constants.folded(node)
    if not isinstance(number, tree.Number) or number.unit:
        raise names.error(f"{function.name}(…) takes a number here, its {parameter.name}", node.place)
    if not parameter.low <= number.value <= parameter.high:
        reason = f"the {parameter.name} lies between {parameter.low:g} and {parameter.high:g}"
        raise names.error(reason, node.place)
    return number.value


def _check_one_axis(names: Names, function: Function, inner: Value, node: tree.Expression) -> None:
    """Raise FilterError unless there is one axis to search along."""
    if inner.many or not inner.axes:
        reason = f"{function.name}(…) searches along an axis, and this has one value"
        raise names.error(reason, node.place, names.begun(node))
    if len(inner.axes) > 1:
        left = " and ".join(f"{noun(axis)}s" for axis in inner.axes)
        reason = f"{function.name}(…) searches along one axis, and this has several {left}"
        raise names.error(reason, node.place, names.begun(node))


def _no_function(names: Names, node: tree.Call) -> FilterError:
    """No function of values has this name."""
    if node.name in PREDICATES:
        return names.error(f"{node.name}(…) is true or false already; a field belongs here", node.place)
    from tensorshark.forensics.filter import added

    known = ", ".join(safe_text(name, 40) for name in sorted((*FUNCTIONS, *PREDICATES, *added.names())))
    return names.error(f"there is no function {safe_text(node.name, 40)}; there are {known}", node.named)
