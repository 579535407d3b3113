"""What a filter's text says, before anybody asks whether it makes sense: the syntax tree.

Every node knows its place in the text, so that a later complaint can point at it. Nothing here knows
fields or types; `check` does.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Quantifier = Literal["any", "all"]


class Place(msgspec.Struct, frozen=True):
    """A stretch of the filter's text, in characters."""

    start: int
    """First character, 0-based."""
    stop: int
    """One past the last character."""

    def to(self, other: Place) -> Place:
        """From the start of this to the end of `other`."""
        return Place(self.start, other.stop)


class Node(msgspec.Struct, frozen=True):
    """Base of all nodes."""

    place: Place


# Which layers, heads and positions. These know no place, so that two that say the same are equal.


class At(msgspec.Struct, frozen=True):
    """One index, negative from the end: `#12`, `[-1]`."""

    index: int


class Through(msgspec.Struct, frozen=True):
    """Both ends included, as Wireshark writes it: `[8-12]`."""

    first: int
    last: int


class Slice(msgspec.Struct, frozen=True):
    """As in Python: `[4:]`, `[-4:]`, `[::2]`."""

    start: int | None
    stop: int | None
    step: int | None


class Named(msgspec.Struct, frozen=True):
    """A span, or positions within it: `[prompt]`, `[user.2[-1]]`; or a variable of `any(l, p: …)`."""

    name: str
    parts: Parts | None


Part = At | Through | Slice | Named
Parts = tuple[Part, ...]


class Selection(Node, frozen=True):
    """What stands after `#`, `:` or within `[…]`."""

    parts: Parts


# Values


class Field(Node, frozen=True):
    """A field and its selections: `attn.entropy#12:3[-1]`."""

    name: str
    named: Place
    """Where the name alone stands."""
    layers: Selection | None
    heads: Selection | None
    positions: Selection | None


class Reference(Node, frozen=True):
    """The field of the selected trace: `$resid_post.norm#12[-1]`."""

    field: Field


class Number(Node, frozen=True):
    """A number or quantity: `12`, `0.5`, `1.5k`, `0xff`, `3sigma`."""

    value: int | float
    unit: str
    """Empty, or a unit that only a later step understands: `sigma`."""


class Text(Node, frozen=True):
    """A quoted string; `t"…"` is a token."""

    value: str
    token: bool


class Date(Node, frozen=True):
    """A day, minute, second or fraction of one: all instants from `start` until before `stop`."""

    start: str
    """As traces write times: UTC, microseconds, `Z`."""
    stop: str


class Truth(Node, frozen=True):
    """`true` or `false`."""

    value: bool


class Macro(Node, frozen=True):
    """`${name(a, b)}`, as it stands."""

    text: str


class Argument(Node, frozen=True):
    """One argument of a function, perhaps by name: `over=baseline`."""

    name: str
    value: Expression


class Call(Node, frozen=True):
    """A function of values: `max(resid_post.norm#12)`, and `has(…)`."""

    name: str
    named: Place
    """Where the function's name alone stands."""
    arguments: tuple[Argument, ...]


class Arithmetic(Node, frozen=True):
    """`+ - * / %` of two values."""

    operator: str
    left: Expression
    right: Expression


class Negative(Node, frozen=True):
    """Unary minus of anything but a plain number."""

    value: Expression


class Quantified(Node, frozen=True):
    """`any(…)` or `all(…)` as one side of a comparison."""

    quantifier: Quantifier
    value: Expression


# Truth values


class Either(Node, frozen=True):
    """`or`: at least one part."""

    parts: tuple[Expression, ...]


class Exclusive(Node, frozen=True):
    """`xor`: an odd number of parts."""

    parts: tuple[Expression, ...]


class Both(Node, frozen=True):
    """`and`: every part. A chain `a < b < c` is one too."""

    parts: tuple[Expression, ...]


class Not(Node, frozen=True):
    """`not` or `!`."""

    part: Expression


class Compared(Node, frozen=True):
    """One comparison; `relation` as it was typed."""

    left: Expression
    relation: str
    said: Place
    """Where the relation stands."""
    right: Expression


class Item(Node, frozen=True):
    """One member of a set: a value, or a range with both ends included."""

    low: Expression
    high: Expression | None


class Within(Node, frozen=True):
    """`in {…}` or `not in {…}`."""

    left: Expression
    negated: bool
    said: Place
    """Where `in` or `not in` stands."""
    set: Place
    """Where `{…}` stands."""
    items: tuple[Item, ...]


class Correlated(Node, frozen=True):
    """`any(l, p: …)`: one cell (layer, head, position) must satisfy all of the body."""

    quantifier: Quantifier
    variables: tuple[str, ...]
    body: Expression


Expression = (
    Field
    | Reference
    | Number
    | Text
    | Date
    | Truth
    | Macro
    | Call
    | Arithmetic
    | Negative
    | Quantified
    | Either
    | Exclusive
    | Both
    | Not
    | Compared
    | Within
    | Correlated
)
