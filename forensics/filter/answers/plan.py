"""How a filter will be answered: what answers each clause, in which order, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from tensorshark.forensics.filter.answers.answer import in_order
from tensorshark.forensics.filter.answers.costs import (
    MANIFEST_BYTES,
    SECONDS_PER_MEASURE,
    at_most,
    left_to_measure,
    stats_bytes,
    with_inner,
)
from tensorshark.forensics.filter.answers.kept import Kept
from tensorshark.forensics.filter.answers.predicates import (
    Both,
    Comparison,
    Either,
    Exclusive,
    Leaf,
    Not,
    Predicate,
)
from tensorshark.forensics.filter.answers.speed import Speed, measured
from tensorshark.forensics.filter.answers.why import Clauses
from tensorshark.forensics.filter.fields import LAYER
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.measured import Measured
from tensorshark.forensics.filter.values.operands import Selected, Tier, Value
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.relations import Contains, Matches, Order
from tensorshark.forensics.filter.values.stored import Prompt
from tensorshark.forensics.filter.values.tokens import Token, TokenId
from tensorshark.forensics.filter.values.vectors import tensor_bytes

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

TRIGRAM = 3
"""Characters from which on a text is looked up and not searched for."""
Kind = Literal["and", "or", "xor", "not", "clause", "all"]


class Step(msgspec.Struct, frozen=True):
    """One node of the tree: a clause, or what joins several."""

    kind: Kind
    """`all` is the empty filter."""
    parts: list[Step] = []
    clause: str = ""
    """As it was typed; empty for what is no clause."""
    words: str = ""
    by: str = ""
    """What answers it: `column resid_post.norm, layer 12`."""
    turn: int = 0
    """Place in the order in which clauses are asked, from 1."""
    traces: int = 0
    """Traces that it may have to be asked of, at most."""
    known: int = 0
    """Traces of which the answer is remembered; they are not asked again."""
    opens: int = 0
    """Traces to open, at most. A trace is opened once for all clauses; the first has the cost."""
    bytes: int = 0
    """To read from them."""
    seconds: float = 0.0
    """Expected."""


class Plan(msgspec.Struct, frozen=True):
    """The whole of it."""

    words: str
    total: int
    """Traces in the capture."""
    tree: Step
    seconds: float
    bytes: int


def plan(predicate: Predicate | None, clauses: Clauses, reader: Reader, words: str) -> Plan:
    """Takes no look at the traces, but for a few that say how fast this machine reads them."""
    if predicate is None:
        return Plan(words, reader.count, Step("all", words=words), 0.0, 0)
    steps = dict(_steps(predicate, dict(clauses), reader))
    tree = _tree(predicate, steps)
    return Plan(
        words,
        reader.count,
        tree,
        sum(step.seconds for step in steps.values()),
        sum(step.bytes for step in steps.values()),
    )


def _tree(predicate: Predicate, steps: Mapping[Leaf, Step]) -> Step:
    if isinstance(predicate, Leaf):
        return steps[predicate]
    if isinstance(predicate, Not):
        return Step("not", [_tree(predicate.part, steps)])
    assert isinstance(predicate, Both | Either | Exclusive)
    kinds: dict[type, Kind] = {Both: "and", Either: "or", Exclusive: "xor"}
    return Step(kinds[type(predicate)], [_tree(part, steps) for part in predicate.parts])


def _steps(predicate: Predicate, typed: Mapping[Leaf, str], reader: Reader) -> Iterator[tuple[Leaf, Step]]:
    """Each clause with what it takes, in the order in which they are asked."""
    kept, speed = Kept(reader), measured(reader.index)
    worth = _worth(predicate, reader.index, reader.count)
    everyone = np.arange(1, reader.count + 1)
    opened = False
    for turn, leaf in enumerate(in_order(predicate), 1):
        asked = kept.asked(leaf)
        known = int(asked.asked.sum())
        tier = leaf.now(reader, everyone) if reader.count else leaf.tier
        traces = reader.count if leaf.tier is Tier.INDEX else worth[leaf]
        left = max(0, traces - known)
        opens = left if tier is Tier.TRACE else 0
        size = opens * _bytes(leaf, reader, opened) if opens else 0
        seconds = _seconds(leaf, tier, left, speed) + size / speed.bytes
        seconds += opens * speed.trace * (not opened)
        seconds += min(left, left_to_measure(leaf, reader.index)) * SECONDS_PER_MEASURE
        opened = opened or opens > 0
        by = answered_by(leaf, reader, tier)
        text = typed.get(leaf, leaf.words())
        yield (
            leaf,
            Step(
                "clause", [], text, leaf.words(), by, turn, traces, min(known, traces), opens, size, seconds
            ),
        )


def _worth(predicate: Predicate, index: Index, count: int) -> dict[Leaf, int]:
    """Of how many of `count` traces each clause is asked, at most, by what is known of labels."""
    if isinstance(predicate, Leaf):
        return {predicate: count}
    if isinstance(predicate, Not):
        return _worth(predicate.part, index, count)
    assert isinstance(predicate, Both | Either | Exclusive)
    if isinstance(predicate, Both):
        count = at_most(predicate, index, count)
    found: dict[Leaf, int] = {}
    for part in predicate.parts:
        for leaf, worth in _worth(part, index, count).items():
            found[leaf] = max(worth, found.get(leaf, 0))
    return found


def _seconds(leaf: Leaf, tier: Tier, traces: int, speed: Speed) -> float:
    """To look at so many traces, without opening them."""
    if tier is Tier.TRACE:
        return traces * speed.cells
    if tier is Tier.ROWS:
        return traces * (speed.row if isinstance(leaf, Comparison) else speed.cell)
    return traces * speed.cell


def _bytes(leaf: Leaf, reader: Reader, opened: bool) -> int:
    """To read of each trace for this clause."""
    size = 0 if opened else MANIFEST_BYTES
    values = list(with_inner(leaf.values))
    if any(isinstance(value, Signal) for value in values):
        size += stats_bytes(reader.index)
    size += sum(_tensor_bytes(value, reader) for value in values)
    return size


def _tensor_bytes(value: Value, reader: Reader) -> int:
    """Of the tensors that are read for one value, per trace."""
    if value.type != "tensor" or not isinstance(value, Selected):
        return 0
    return tensor_bytes(reader.index, value.field.key, value.pick(LAYER))


def answered_by(leaf: Leaf, reader: Reader, tier: Tier) -> str:
    """Where the answer comes from, in words."""
    if isinstance(leaf, Comparison) and isinstance(leaf.value, Prompt):
        return _searched(leaf)
    sources = list(dict.fromkeys(_source(value, reader, tier) for value in with_inner(leaf.values)))
    return "; ".join(filter(None, sources)) or "arithmetic"


def _searched(leaf: Comparison) -> str:
    """How a text is looked for."""
    relation = leaf.relation
    if isinstance(relation, Contains):
        return f"index: {'trigrams' if len(relation.part) >= TRIGRAM else 'a look at every text'}"
    part, how = "", "a look"
    if isinstance(relation, Matches):
        part, how = relation.literal, "RE2"
    elif isinstance(relation, Order) and relation.operator == "==":
        part = str(relation.constant)
    return f"index: trigrams, then {how}" if len(part) >= TRIGRAM else f"index: {how} at every text"


def _source(value: Value, reader: Reader, tier: Tier) -> str:
    """What one value is read from; empty for functions, whose parts say it."""
    if value.parts:
        return ""
    if isinstance(value, Measured):
        return f"analyzer {value.declared.analyzer}"
    if isinstance(value, Signal):
        layers = value.pick(LAYER).words("every")
        return f"column {value.field.name}, {layers}" if value.tier is Tier.INDEX else "statistics files"
    if isinstance(value, TokenId) and value.tier is not Tier.TRACE:
        return "index: token ids"
    if isinstance(value, Token | TokenId):
        return "manifests"
    if value.type == "tensor":
        return "tensors" if tier is Tier.TRACE else "vectors kept beside the index"
    if getattr(value, "source", None) is not None:
        return "index: SQL"
    field = getattr(value, "field", None)
    return f"{field.name}" if field is not None else ""
