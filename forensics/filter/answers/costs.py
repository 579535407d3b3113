"""What answering a filter takes, said before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from tensorshark.forensics.filter.answers.kept import answered
from tensorshark.forensics.filter.answers.predicates import Both, Comparison, Either, Leaf, Predicate
from tensorshark.forensics.filter.fields import LAYER
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.measured import Measured
from tensorshark.forensics.filter.values.operands import Tier, Value
from tensorshark.forensics.filter.values.relations import Order
from tensorshark.forensics.filter.values.stored import Label
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.traces.errors import TensorsharkError

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

_SECONDS_PER_ROW = 3e-6
"""To ask a regular expression of one row of the index, on the machine that this was measured on."""
_SECONDS_PER_TRACE = 0.5e-3
"""To open a trace and check its manifest, there."""
SECONDS_PER_MEASURE = 4e-3
"""To let an analyzer look at one, there: the lens at one layer and token of SmolLM2."""
_BYTES_PER_SECOND = 250e6
"""To read statistics and check their hash, there."""
MANIFEST_BYTES = 8192
"""About the size of a manifest."""


class Cost(msgspec.Struct, frozen=True):
    """What answering a filter takes, at most."""

    index_only: bool
    """True when no trace has to be opened."""
    traces: int
    """Traces to open."""
    bytes: int
    """To read from them."""
    rows: int = 0
    """Rows of the index to look at one by one, for a regular expression."""
    measures: int = 0
    """Traces that an analyzer has to measure first, once."""

    @property
    def seconds(self) -> float:
        """About how long that takes."""
        opened = self.traces * _SECONDS_PER_TRACE + self.bytes / _BYTES_PER_SECOND
        return opened + self.rows * _SECONDS_PER_ROW + self.measures * SECONDS_PER_MEASURE

    def words(self) -> str:
        """`opens 12,000 traces, reads 1.2 GB, about 8 s`."""
        opened = f"opens {self.traces:,} traces, reads {_size(self.bytes)}" * (self.traces > 0)
        measured = f"measures {self.measures:,} traces, once" * (self.measures > 0)
        looked = f"looks at {self.rows:,} rows of the index one by one" * (self.rows > 0)
        return ", ".join(filter(None, (measured, looked, opened, f"about {max(1, round(self.seconds))} s")))


def estimate(predicate: Predicate, index: Index) -> Cost:
    """What it takes to answer it, at most; takes no look at the traces themselves."""
    if answered(predicate, index):
        return Cost(True, 0, 0)
    leaves = list(predicate.leaves())
    opening = [leaf for leaf in leaves if _opens(leaf, index)]
    looking = [leaf for leaf in leaves if leaf.tier is Tier.ROWS and not _measured(leaf)]
    if not opening and not looking and not any(map(_measured, leaves)):
        return Cost(True, 0, 0)
    traces = at_most(predicate, index, len(index))
    rows = traces * len(looking)
    measures = sum(min(traces, left_to_measure(leaf, index)) for leaf in set(leaves))
    if not opening:
        return Cost(measures == 0, 0, 0, rows, measures)
    values = [value for leaf in opening for value in with_inner(leaf.values)]
    each = MANIFEST_BYTES + (stats_bytes(index) if any(isinstance(value, Signal) for value in values) else 0)
    for site in {value for value in values if isinstance(value, Site) and value not in _only_there(opening)}:
        from tensorshark.forensics.filter.values.vectors import tensor_bytes  # only tensors ask

        each += tensor_bytes(index, site.field.key, site.pick(LAYER))
    return Cost(False, traces, traces * each, rows, measures)


def _measured(leaf: Leaf) -> bool:
    """True for what analyzers make: once it is kept, it is as good as a column."""
    return leaf.tier is Tier.ROWS and any(isinstance(value, Measured) for value in with_inner(leaf.values))


def left_to_measure(leaf: Leaf, index: Index) -> int:
    """About how many traces analyzers have not looked at yet, and would have to for this comparison."""
    values = {value for value in with_inner(leaf.values) if isinstance(value, Measured)}
    if not values:
        return 0
    from tensorshark.forensics.measured.measuring import Measures

    measures = Measures.of(index)
    return max(measures.left(value.declared, value.picks) for value in values)


def _opens(leaf: Leaf, index: Index) -> bool:
    """True when traces have to be opened for it: what it asks of them is not kept beside the index."""
    if leaf.tier is not Tier.TRACE or _only_there([leaf]):
        return leaf.tier is Tier.TRACE
    dear = [value for value in with_inner(leaf.values) if value.tier is Tier.TRACE and not value.parts]
    return not dear or not all(isinstance(value, Site) and _kept(value, index) for value in dear)


def _kept(site: Site, index: Index) -> bool:
    """True when the vectors of nearly all traces are kept beside the index."""
    from tensorshark.forensics.filter.values.vectors import nearly_all

    return nearly_all(index, site.field.key, site.picks)


def _only_there(leaves: Sequence[Leaf]) -> list[Value]:
    """Tensors of which it is asked whether they are there, which their manifests say."""
    return [leaf.value for leaf in leaves if isinstance(leaf, Comparison) and leaf.value.type == "tensor"]


def with_inner(values: Sequence[Value]) -> Iterator[Value]:
    """The values and those that functions are applied to."""
    for value in values:
        yield value
        yield from with_inner(value.parts)


def at_most(predicate: Predicate, index: Index, count: int) -> int:
    """How many traces can possibly be in question: label counts are known without looking."""
    if isinstance(predicate, Both):
        return min(at_most(part, index, count) for part in predicate.parts)
    if isinstance(predicate, Either):
        return min(count, sum(at_most(part, index, count) for part in predicate.parts))
    counted = label_count(predicate, index)
    return count if counted is None else counted


def label_count(predicate: Predicate, index: Index) -> int | None:
    """How many traces carry the label that is asked for; None for any other question."""
    if not isinstance(predicate, Comparison) or not isinstance(predicate.value, Label):
        return None
    if not isinstance(predicate.relation, Order) or predicate.relation.operator != "==":
        return None
    asked = (predicate.value.field.key, predicate.relation.constant)
    found = index.query("SELECT count FROM label_keys WHERE key = ? AND value = ?", asked)
    return int(found[0][0]) if found else 0


_stats_sizes: dict[str, int] = {}


def stats_bytes(index: Index) -> int:
    """Size of a trace's statistics, by the first trace of the capture that can be read."""
    uuid = index.capture.uuid
    if uuid not in _stats_sizes:
        for number in range(1, min(len(index), 8) + 1):
            try:
                files = index.trace(number).manifest.files
            except TensorsharkError:
                continue
            _stats_sizes[uuid] = sum(file.size for file in files if file.name.startswith("stats"))
            break
    return _stats_sizes.get(uuid, 0)


def _size(count: int) -> str:
    """`38 GB`, `1.5 MB`."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"
