"""Token literals: `t"Ġthe"`, a token as its vocabulary spells it, and `t:262`, by its number there."""

from __future__ import annotations

from typing import Any

import msgspec

from tensorshark.forensics.filter import fields
from tensorshark.forensics.filter.checks.complaint import Complaint
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.syntax.tokens import text_of
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text


class Tokens:
    """Those of one filter."""

    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint
        self.error = complaint.error

    def compared(
        self, left: tree.Expression, right: tree.Expression
    ) -> tuple[tree.Expression, tree.Expression]:
        """Both sides of a comparison; where one is `t:262`, as a comparison of ids."""
        if _is_id(left):
            return self.id(left), self.numbered(right, left)
        if _is_id(right):
            return self.numbered(left, right), self.id(right)
        return left, right

    def within(self, node: tree.Within) -> tree.Within:
        """A set; one of `t:262, t:11` as a set of ids."""
        ids = [item.low for item in node.items if _is_id(item.low)]
        if not ids:
            return node
        if other := next((item.low for item in node.items if not _is_id(item.low)), None):
            raise self.error("a set of tokens is either of ids, t:262, or of texts", other.place)
        items = tuple(
            tree.Item(item.place, self.id(item.low), self.id(item.high) if _is_id(item.high) else item.high)
            for item in node.items
        )
        return msgspec.structs.replace(node, left=self.numbered(node.left, ids[0]), items=items)

    def id(self, node: tree.Expression | None) -> tree.Number:
        """The number of `t:262`."""
        assert isinstance(node, tree.Field) and node.heads is not None, "_is_id said so"
        part = node.heads.parts[0] if len(node.heads.parts) == 1 else None
        if not isinstance(part, tree.At) or part.index < 0:
            raise self.error("a token's id is one whole number: t:262", node.place)
        return tree.Number(node.place, part.index, "")

    def numbered(self, node: tree.Expression, literal: tree.Expression) -> tree.Expression:
        """The field of token texts `node` as that of their ids."""
        if isinstance(node, tree.Quantified):
            return msgspec.structs.replace(node, value=self.numbered(node.value, literal))
        info = fields.find(node.name) if isinstance(node, tree.Field) else None
        if info is not None and info.ids:
            return msgspec.structs.replace(node, name=info.ids)
        if info is not None and any(other.ids == info.name for other in fields.FIELDS):
            return node
        if info is not None and info.tokens:
            reason = f'{info.name} has no ids; write the token as t"Ġthe" or as text'
            raise self.error(reason, literal.place)
        shown = self.complaint.said(literal)
        raise self.error(f"{shown} is a token's id; compare token or next.token with it", literal.place)

    def text(self, node: tree.Text, value: Any) -> str:
        """What `t"Ġthe"` reads. Raises FilterError where `value` is not a field of tokens."""
        info = getattr(value, "field", None)
        if info is None or not info.tokens:
            reason = 't"…" is a token as its vocabulary spells it; compare token or next.token with it'
            raise self.error(reason, node.place)
        found = text_of(node.value)
        if found is None:
            raise self.part(node)
        return found

    def part(self, node: tree.Text) -> FilterError:
        """The token is some bytes of a character."""
        shown = safe_text(node.value, 40)
        reason = f"{shown} is only part of a character, and reads like any other part; compare its id, t:262"
        return self.error(f'{reason}, or write "{shown}" without the t', node.place)


def _is_id(node: tree.Expression | None) -> bool:
    """Whether it is `t:262`, which reads like a field with a head."""
    if not isinstance(node, tree.Field) or node.name != "t" or node.heads is None:
        return False
    return node.layers is None and node.positions is None
