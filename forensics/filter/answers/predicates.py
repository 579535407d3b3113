"""What is true or false of a trace: comparisons, and what `and`, `or`, `xor` and `not` make of them.

An answer need not be complete. `bounds` says, from the comparisons answered so far, which traces surely
match and which possibly do; only what lies between is worth reading more for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import pairwise

import msgspec
import numpy as np

from tensorshark.forensics.filter.syntax.tree import Quantifier
from tensorshark.forensics.filter.values.arithmetic import Arithmetic, Negative
from tensorshark.forensics.filter.values.arrays import present, quantified
from tensorshark.forensics.filter.values.batch import Batch
from tensorshark.forensics.filter.values.derived import Pair
from tensorshark.forensics.filter.values.operands import Numbers, Tier, Value, batches, cheapest
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.reference import Reference
from tensorshark.forensics.filter.values.relations import Bools, Order, Present, Relation, compare, said, verb
from tensorshark.forensics.filter.values.said import Marked, Texts
from tensorshark.forensics.filter.values.selection import Quantity
from tensorshark.forensics.filter.values.stored import Expert, Label, Stored
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.forensics.filter.values.tokens import Token, TokenId

Bounds = tuple[Bools, Bools]
"""Surely and possibly (trace,); the same array twice where all is known."""
Join = Callable[[Bools, Bools], Bools]


class Predicate(msgspec.Struct, frozen=True):
    """Something that is true or false of each trace."""

    def leaves(self) -> Iterator[Leaf]:
        """The comparisons in it."""
        raise NotImplementedError

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        """Which of `count` traces surely and possibly match, given the answers to some leaves."""
        raise NotImplementedError

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        """Where it is true (layer, head, pos, trace), with size 1 along the axes that are not kept; what has
        size 1 along another axis is the same for all of it."""
        raise NotImplementedError

    def words(self, negated: bool = False) -> str:
        """What follows `traces`: `labelled injection`, `whose prompt contains "x"`."""
        raise NotImplementedError


class Leaf(Predicate, frozen=True):
    """One comparison; reads values."""

    def leaves(self) -> Iterator[Leaf]:
        yield self

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        if self in known:
            return known[self], known[self]
        return np.zeros(count, dtype=bool), np.ones(count, dtype=bool)

    @property
    def tier(self) -> Tier:
        """What it costs to answer."""
        raise NotImplementedError

    @property
    def values(self) -> tuple[Value, ...]:
        """What is read."""
        raise NotImplementedError

    @property
    def reads(self) -> Tier:
        """What `truth` needs: `tier`, or more where SQL answers without the values."""
        return max(value.tier for value in self.values)

    @property
    def torn(self) -> frozenset[str]:
        """See `Value.torn`."""
        return frozenset().union(*(value.torn for value in self.values))

    def now(self, reader: Reader, numbers: Numbers) -> Tier:
        """`tier`, or less where what it needs of these traces is kept beside the index."""
        return cheapest(self.tier, self.values, reader, numbers)

    def everywhere(self, reader: Reader) -> Bools:
        """The answer for all traces (trace,), where `tier` is INDEX."""
        answer = np.zeros(reader.count, dtype=bool)
        for batch in reader.batches():
            answer[batch.where] = self.truth(batch).reshape(-1)
        return answer

    def among(self, reader: Reader, numbers: Numbers) -> list[int] | Numbers:
        """Those of `numbers` for which it is true."""
        found = [np.empty(0, np.int64)]
        ragged = any(value.ragged for value in self.values)
        for batch in batches(self.now(reader, numbers), reader, numbers, ragged):
            true = np.broadcast_to(self.truth(batch).reshape(-1), batch.count)
            found.append(batch.numbers[true])
        return np.sort(np.concatenate(found))


class Comparison(Leaf, frozen=True):
    """Any, or all, of a value's cells satisfy a relation."""

    value: Value
    relation: Relation
    quantifier: Quantifier

    @property
    def tier(self) -> Tier:
        return self.value.asks(self.relation)

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.value,)

    def now(self, reader: Reader, numbers: Numbers) -> Tier:
        if type(self.relation) is Present and self.value.type == "tensor":
            return self.tier
        return super().now(reader, numbers)

    def everywhere(self, reader: Reader) -> Bools:
        return self.value.mask(reader, self.relation, self.quantifier)

    def among(self, reader: Reader, numbers: Numbers) -> list[int] | Numbers:
        return self.value.among(reader, self.relation, self.quantifier, numbers)

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        return self.value.fits(batch, self.relation, self.quantifier, kept)

    def words(self, negated: bool = False) -> str:
        value, relation = self.value, self.relation
        if type(relation) is Relation:
            return f"{'without' if negated else 'with'} {_one(value, negated)}"
        if isinstance(value, Label) and isinstance(relation, Order) and relation.operator == "==":
            key = "" if value.field.key == "category" else f" ({value.field.noun.removeprefix('label ')})"
            return f"{'not ' * negated}labelled {said(relation.constant)}{key}"
        if isinstance(value, Texts) and self.quantifier == "any":
            return f"{'without' if negated else 'with'} a {value.field.noun} that {relation.words()}"
        if isinstance(value, Stored | Marked) and value.type == "truth" and isinstance(relation, Order):
            wanted = (relation.constant is True) == (relation.operator == "==")
            if isinstance(value, Marked):
                return f"{'' if wanted != negated else 'not '}{value.words('some')}"
            return f"{'with' if wanted != negated else 'without'} a {value.field.noun}"
        if isinstance(value, Expert) and self.quantifier == "any":
            without = "without" if negated else "with"
            return f"{without} a finding whose {value.field.noun} {relation.words()}"
        start = "where" if isinstance(value, Token | TokenId) else "whose"
        absent = " or is not there" if negated and not value.always else ""
        return f"{start} {self._noun(negated)} {relation.words(negated)}{absent}"

    def _noun(self, negated: bool) -> str:
        """Which cells have to satisfy the relation, or of which none does."""
        if self.quantifier == "all":
            return self.value.words("every")
        return self.value.words("any" if negated else "some")


class Paired(Leaf, frozen=True):
    """Two values of the same trace, compared cell by cell: any, or all, of the cells that both have."""

    left: Value
    operator: str
    right: Value
    quantifier: Quantifier

    @property
    def pair(self) -> Pair:
        """Its sides."""
        return Pair(self.left, self.right)

    @property
    def tier(self) -> Tier:
        return self.pair.tier

    @property
    def reads(self) -> Tier:
        return self.pair.tier

    @property
    def torn(self) -> frozenset[str]:
        return self.pair.torn

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.left, self.right)

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        kept = tuple(axis for axis in kept if axis in self.pair.bound)
        left, right = self.pair.cells(batch)
        there = present(left) & present(right)
        if left.dtype == object:
            found = np.zeros(there.shape, dtype=bool)
            left, right = (np.broadcast_to(side, there.shape)[there] for side in (left, right))
            pairs = zip(left, right, strict=True)
            found[there] = [compare(ours, self.operator, theirs) for ours, theirs in pairs]
        else:
            found = compare(left, self.operator, right) & there
        return quantified(found, there, self.quantifier, kept)

    def words(self, negated: bool = False) -> str:
        absent = " or is not there" if negated and not (self.left.always and self.right.always) else ""
        quantity: Quantity = "every" if self.quantifier == "all" else "any" if negated else "some"
        left, right = self.left.words(quantity), self.right.words(quantity)
        its = "" if isinstance(self.right, Arithmetic | Negative | Reference) else "its "
        return f"whose {left} {verb(self.operator, negated)} {its}{right}{absent}"


class _Joined(Predicate, frozen=True):
    parts: tuple[Predicate, ...]

    def leaves(self) -> Iterator[Leaf]:
        for part in self.parts:
            yield from part.leaves()

    def truths(self, batch: Batch, kept: tuple[str, ...]) -> Iterator[Bools]:
        """Where each part is true."""
        return (part.truth(batch, kept) for part in self.parts)

    def _bounds(self, join: Join, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        """Of parts of which more means more."""
        surely, possibly = zip(*(part.bounds(known, count) for part in self.parts), strict=True)
        sure = reduce(join, surely)
        if all(one is other for one, other in zip(surely, possibly, strict=True)):
            return sure, sure  # all is known; a million truths less to write
        return sure, reduce(join, possibly)


class Both(_Joined, frozen=True):
    """`and`."""

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        return reduce(np.logical_and, self.truths(batch, kept))

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        return self._bounds(np.logical_and, known, count)

    def words(self, negated: bool = False) -> str:
        if negated:
            return f"not ({self.words()})"
        said = [f"({part.words()})" if isinstance(part, _Joined) else part.words() for part in self.parts]
        sentence = said[0]
        for before, after in pairwise(said):
            labelled = before.startswith(("labelled ", "not labelled "))
            joint = " " if labelled and after.startswith("whose ") else " and "
            sentence += joint + after
        return sentence


class Either(_Joined, frozen=True):
    """`or`."""

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        return reduce(np.logical_or, self.truths(batch, kept))

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        return self._bounds(np.logical_or, known, count)

    def words(self, negated: bool = False) -> str:
        said = [f"({part.words()})" if isinstance(part, _Joined) else part.words() for part in self.parts]
        joined = " or ".join(said)
        return f"not ({joined})" if negated else joined


class Exclusive(_Joined, frozen=True):
    """`xor`: an odd number of the parts."""

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        return reduce(np.logical_xor, self.truths(batch, kept))

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        surely, possibly = zip(*(part.bounds(known, count) for part in self.parts), strict=True)
        decided = reduce(
            np.logical_and, (sure | ~maybe for sure, maybe in zip(surely, possibly, strict=True))
        )
        odd = reduce(np.logical_xor, surely)
        return decided & odd, ~decided | odd

    def words(self, negated: bool = False) -> str:
        said = [f"({part.words()})" if isinstance(part, _Joined) else part.words() for part in self.parts]
        joined = " xor ".join(said)
        return f"not ({joined})" if negated else joined


class Not(Predicate, frozen=True):
    """`not`."""

    part: Predicate

    def leaves(self) -> Iterator[Leaf]:
        yield from self.part.leaves()

    def truth(self, batch: Batch, kept: tuple[str, ...] = ()) -> Bools:
        return ~self.part.truth(batch, kept)

    def bounds(self, known: Mapping[Leaf, Bools], count: int) -> Bounds:
        surely, possibly = self.part.bounds(known, count)
        never = ~possibly
        return never, never if surely is possibly else ~surely

    def words(self, negated: bool = False) -> str:
        return self.part.words(not negated)


def _one(value: Value, negated: bool) -> str:
    """One of them: `a label reviewed`, `a finding`, `an attention entropy in layer 3`."""
    if isinstance(value, Expert):
        return "a finding"
    noun = value.words("any" if negated else "some")
    if isinstance(value, Site | Token | TokenId):
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
