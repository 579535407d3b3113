"""Values at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.forensics.filter.naive.cells import HEAD, LAYER, POS
from tests.forensics.filter.naive.draw_selections import Selections
from tests.forensics.filter.naive.fields import (
    Constant,
    Field,
    Label,
    Many,
    Node,
    One,
    Pick,
    Reference,
    everything,
)
from tests.forensics.filter.naive.functions import Arithmetic, Each, Measured, Negative, Rank, Reduced, Zscore
from tests.forensics.filter.naive.language import (
    ARITHMETIC,
    CASE,
    MORE_FUNCTIONS,
    REFERENCES,
    SCORES,
    TENSORS,
)
from tests.forensics.filter.naive.said import MARKS, NOBODY

SITES = ("resid_pre", "attn_out", "mlp_out", "resid_post")
RESIDUALS = tuple(f"{site}.{stat}" for site in SITES for stat in ("norm", "absmax"))
ATTENTION = ("attn.entropy", "attn.entropy_rest", "attn.sink")
PARTS = ("", "a", "the", "The", "ignore", "after", "e\0a", "\0", "hunter2", "🦈", "%", "_sure", "İ", "s", '"')
PATTERNS = ("the", "^The", "r$", "pass.ord", "[Ii]gnore", "a+", "hunter2 The", "^$", r"\x00", "nor+e", "x*")
LABELS = (
    Label("category", "label.category"),
    Label("split", "label.split"),
    Label("odd key", 'label."odd key"'),
    Label("nowhere", "label.nowhere"),
)


class Values(Selections):
    """Fields, functions and arithmetic, at random."""

    def value(self) -> Node:
        """What a column can show."""
        others = (self.truth(), One("time", "time"), Many("expert.severity"))
        made = self.choice((self.number, self.number, self.text, lambda _: self.choice(others)))({})
        flat = str(made).startswith("abs(") and ARITHMETIC not in self.language
        return self.value() if flat and made.axes else made

    def single(self) -> Node:
        """What one can sort by: one value per trace at most."""
        while True:
            node = self.value()
            if not node.axes and not node.many:
                return node

    def number(self, bound: Mapping[int, str], depth: int = 1) -> Node:
        """A value that is a number."""
        if depth and self.can(ARITHMETIC, 0.25):
            return self.arithmetic(bound, depth)
        if not bound and self.can(SCORES, 0.06):
            return self.score()
        if self.can(TENSORS, 0.08):
            return self.measured(bound)
        if self.can(MORE_FUNCTIONS, 0.1):
            return self.more_functions(bound)
        if not bound and self.can(REFERENCES, 0.08):
            return Reference(self.choice((self.signal({}), One("seq_len", "number"))))
        made: Callable[[], Node] = self.choice(
            (
                lambda: One(self.choice(("number", "seq_len", "layers", "next.p")), "number"),
                lambda: self.token_ids(bound),
                lambda: Each("len", self.choice((*LABELS, One("prompt", "text"), One("text", "text")))),
                lambda: self.signal(bound),
                lambda: self.signal(bound),
                lambda: Each("abs", self.signal(bound)),
                lambda: Reduced(self.choice(("max", "min", "median", "std", "sum")), self.signal(bound)),
                lambda: Reduced("mean", self.signal(bound)),
                lambda: Reduced("count", self.choice((self.signal(bound), self.token_ids(bound), *LABELS))),
                lambda: Reduced("count", self.several()),
            )
        )
        return made()

    def arithmetic(self, bound: Mapping[int, str], depth: int, inside: Node | None = None) -> Node:
        """+ - * / % and minus."""
        first = inside or self.number(bound, depth - 1)
        if self.chance(0.1):
            return Negative(first)
        other: Node
        if self.chance(0.45):
            value = self.choice((2, 3, 0.5, 0, 10, 1000, 7.25))
            other = Constant(value, str(value))
        else:
            other = self.number(bound, depth - 1)
        left, right = (first, other) if self.chance(0.7) else (other, first)
        operator = self.choice("++--**//%" if first.exact and other.exact else "+-*")
        made: Node = Arithmetic(operator, left, right)
        if self.chance(0.15):
            made = Reduced(self.choice(("max", "min", "count")), made)
        return made

    def more_functions(self, bound: Mapping[int, str]) -> Node:
        """argmax, argmin, quantile, entropy."""
        name = self.choice(("argmax", "argmin", "quantile", "entropy"))
        inner = self.signal(bound)
        if name == "quantile":
            return Reduced(name, inner, self.choice((0, 0.1, 0.5, 0.9, 1)))
        if name == "entropy":
            return Reduced(name, inner)
        while len(inner.axes) != 1:
            inner = self.signal(bound)
        return Reduced(name, inner)

    def score(self) -> Node:
        """zscore(…) and rank(…)."""
        if self.chance(0.5):
            plain = One(self.choice(("seq_len", "next.p", "layers")), "number")
            return Rank(self.choice((plain, self.signal({}, single=True), Reduced("max", self.signal({})))))
        over = self.leaf({}) if self.chance(0.4) else None
        if self.chance(0.3):
            return Zscore(One(self.choice(("seq_len", "next.p")), "number"), over)
        signal = self.signal({})
        while POS in signal.axes:
            signal = self.signal({})
        return Zscore(signal, over)

    def measured(self, bound: Mapping[int, str]) -> Node:
        """norm, cos, dist."""
        left, right = self.tensor(bound), self.tensor(bound)
        name = self.choice(("norm", "cos", "dist"))
        if name == "norm":
            return Measured(name, left)
        if not bound and self.can(REFERENCES, 0.5) and isinstance(right, Field):
            return Measured(name, left, Reference(right))
        return Measured(name, left, right)

    def tensor(self, bound: Mapping[int, str]) -> Node:
        """A tensor, or a little arithmetic of some."""
        field = Field(self.choice(SITES), self.pick(LAYER, bound), None, self.pick(POS, bound))
        if not self.chance(0.3):
            return field
        if self.chance(0.5):
            value = self.choice((2, 0.5))
            return Arithmetic(self.choice("*/"), field, Constant(value, str(value)))
        other = Field(self.choice(SITES), self.pick(LAYER, bound), None, self.pick(POS, bound))
        return Arithmetic(self.choice("+-"), field, other)

    def text(self, bound: Mapping[int, str]) -> Node:
        """A value that is text."""
        made = self.choice((self.simple_text, self.simple_text, lambda: self.words(bound)))()
        if self.chance(0.2) and not isinstance(made, Field):
            return Each(self.choice(("lower", "upper")), made)
        return made

    def simple_text(self) -> Node:
        """Text without an axis."""
        names = ("id", "model", "prompt", "text", "dtype", "next.token")
        return self.choice((*(One(name, "text") for name in names), *LABELS, self.several()))

    def several(self) -> Many:
        """Texts of which a trace may have several."""
        return Many(self.choice(("tag", "note")) if self.can(CASE, 0.6) else "expert.code")

    def truth(self) -> One:
        """What is true or false of a trace."""
        names = ("mark", *(f"mark.{mark}" for mark in (*MARKS, NOBODY)))
        return One(self.choice(names) if self.can(CASE, 0.6) else "bos", "truth")

    def tokens(self, bound: Mapping[int, str]) -> Node:
        return self.choice((self.words, self.token_ids))(bound)

    def words(self, bound: Mapping[int, str]) -> Node:
        return Field("token", None, None, self.pick(POS, bound))

    def token_ids(self, bound: Mapping[int, str]) -> Node:
        return Field("token.id", None, None, self.pick(POS, bound))

    def signal(self, bound: Mapping[int, str], single: bool = False, use: Sequence[int] = ()) -> Field:
        """A field of the statistics; `single` leaves one cell, `use` says which variables it has to use."""
        name = self.choice(ATTENTION if HEAD in use or self.chance(0.3) else RESIDUALS)
        picks = [
            Pick(bound[axis], everything, bare=True, variable=True)
            if axis in use
            else self.pick(axis, bound, single)
            if axis != HEAD or name.startswith("attn.")
            else None
            for axis in (LAYER, HEAD, POS)
        ]
        return Field(name, picks[0], picks[1], picks[2])
