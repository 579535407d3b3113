"""`similar_to(trace, site, layer, position)`: what it may be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorshark.forensics.filter import fields
from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.forensics.filter.values.similar import SimilarTo
from tensorshark.forensics.filter.values.tensors import Site

if TYPE_CHECKING:
    from tensorshark.forensics.filter.checks.names import Names

EXAMPLE = 'similar_to("#7", resid_post, 12, -1)'
HELP = "cosine with the vector of the trace that is named (#NUMBER, or how its id begins), from -1 to 1"
_SHAPE = f"similar_to(…) takes a trace, a site, a layer and a token: {EXAMPLE}"


def similar_to(names: Names, node: tree.Call) -> SimilarTo:
    """The value of one call. Raises FilterError."""
    arguments = [argument.value for argument in node.arguments]
    if any(argument.name for argument in node.arguments) or not 2 <= len(arguments) <= 4:
        raise names.error(_SHAPE, node.place)
    name, site, *where = arguments
    if not isinstance(name, tree.Text) or name.token:
        raise names.error('the trace stands in quotes: "#7", or "7c1e" for an id', name.place)
    info = fields.find(site.name) if isinstance(site, tree.Field) else None
    if not isinstance(site, tree.Field) or info is None or info.kind != "site" or HEAD in info.axes:
        raise names.error("a site with a vector per token belongs here, such as resid_post", site.place)
    names.complaint.needs_index("similar_to(…), which compares with another trace,", node.place)
    picks = names.picks(info, site)
    if where:
        if any(pick.parts or pick.variable for pick in picks):
            raise names.error("the layer and the token are selected twice", site.place)
        picks = (Pick(LAYER, (_layer(names, where[0]),)), Pick(POS, (_token(names, *where[1:]),)))
    if not all(pick.single for pick in picks):
        raise names.error("one layer and one token are compared, such as resid_post#12[-1]", site.place)
    return SimilarTo(name.value, Site(info, picks))


def _layer(names: Names, node: tree.Expression) -> tree.At:
    index = _whole(node)
    if index is None:
        raise names.error("a layer is a whole number, such as 12, or -1 for the last", node.place)
    return tree.At(index)


def _token(names: Names, node: tree.Expression | None = None) -> tree.Part:
    """`-1`, or `prompt[-1]`."""
    index = -1 if node is None else _whole(node)
    if index is not None:
        return tree.At(index)
    assert node is not None
    if isinstance(node, tree.Field) and node.positions and not node.layers and not node.heads:
        return tree.Named(node.name, node.positions.parts)
    raise names.error("a token is a whole number, such as -1, or lies in a span: prompt[-1]", node.place)


def _whole(node: tree.Expression) -> int | None:
    """A whole number with its sign; None for anything else."""
    negative = isinstance(node, tree.Negative)
    number = node.value if isinstance(node, tree.Negative) else node
    if not isinstance(number, tree.Number) or number.unit or not isinstance(number.value, int):
        return None
    return -number.value if negative else number.value
