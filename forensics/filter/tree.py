"""What a filter's text says, before anybody asks whether it makes sense: the syntax tree.

Every node knows its place in the text, so that a later complaint can point at it. Nothing here knows
fields or types; `check` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Quantifier = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of the filter's text, in characters."""

    start: int
    """First character, 0-based."""
    stop: int
    """One past the last character."""

    def to(self, other: Place) -> Place:
        """From the start of this to the end of `other`."""
        return Place(self.start, other.stop)


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes. Two that say the same in different places are equal."""

    place: Place = field(compare=False)


# Which layers, heads and positions


@dataclass(frozen=True, slots=True)
class At(Node):
    """One index, negative from the end: `#12`, `[-1]`."""

    index: int


@dataclass(frozen=True, slots=True)
class Through(Node):
    """Both ends included, as Wireshark writes it: `[8-12]`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """As in Python: `[4:]`, `[-4:]`, `[::2]`."""

    start: int | None
    stop: int | None
    step: int | None


@dataclass(frozen=True, slots=True)
class Named(Node):
    """A span, or positions within it: `[prompt]`, `[user.2[-1]]`; or a variable of `any(l, p: …)`."""

    name: str
    parts: Parts | None


Part = At | Through | Slice | Named
Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Selection(Node):
    """What stands after `#`, `:` or within `[…]`."""

    parts: Parts


# Values


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A field and its selections: `attn.entropy#12:3[-1]`."""

    name: str
    named: Place = field(compare=False)
    """Where the name alone stands."""
    layers: Selection | None
    heads: Selection | None
    positions: Selection | None


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """The field of the selected trace: `$resid_post.norm#12[-1]`."""

    field: Field


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A number or quantity: `12`, `0.5`, `1.5k`, `0xff`, `3sigma`."""

    value: int | float
    unit: str
    """Empty, or a unit that only a later step understands: `sigma`."""


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A quoted string; `t"…"` is a token."""

    value: str
    token: bool


@dataclass(frozen=True, slots=True)
class Date(Node):
    """A day, minute, second or fraction of one: all instants from `start` until before `stop`."""

    start: str
    """As traces write times: UTC, microseconds, `Z`."""
    stop: str


@dataclass(frozen=True, slots=True)
class Truth(Node):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """`${name(a, b)}`, as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """One argument of a function, perhaps by name: `over=baseline`."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of values: `max(resid_post.norm#12)`, and `has(…)`."""

    name: str
    named: Place = field(compare=False)
    """Where the function's name alone stands."""
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`+ - * / %` of two values."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """Unary minus of anything but a plain number."""

    value: Expression


@dataclass(frozen=True, slots=True)
class Quantified(Node):
    """`any(…)` or `all(…)` as one side of a comparison."""

    quantifier: Quantifier
    value: Expression


# Truth values


@dataclass(frozen=True, slots=True)
class Either(Node):
    """`or`: at least one part."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Exclusive(Node):
    """`xor`: an odd number of parts."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Both(Node):
    """`and`: every part. A chain `a < b < c` is one too."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    """`not` or `!`."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Compared(Node):
    """One comparison; `relation` as it was typed."""

    left: Expression
    relation: str
    said: Place = field(compare=False)
    """Where the relation stands."""
    right: Expression


@dataclass(frozen=True, slots=True)
class Item(Node):
    """One member of a set: a value, or a range with both ends included."""

    low: Expression
    high: Expression | None


@dataclass(frozen=True, slots=True)
class Within(Node):
    """`in {…}` or `not in {…}`."""

    left: Expression
    negated: bool
    said: Place = field(compare=False)
    """Where `in` or `not in` stands."""
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Correlated(Node):
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
