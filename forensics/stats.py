"""Groups of traces compared: what `tensorshark stats` and `Engine.stats` answer.

`groups` and `effects` are the mathematics; here it meets the capture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.effects import Contrast, contrasts, holm
from tensorshark.forensics.filter.values.remembered import Remembered
from tensorshark.forensics.groups import Floats, Groups, Key, Summary, binned, distinct, summaries
from tensorshark.traces.errors import FilterError, UsageError

if TYPE_CHECKING:
    from tensorshark.forensics.filter.answers.predicates import Predicate
    from tensorshark.forensics.filter.context import Context
    from tensorshark.forensics.filter.values.operands import Numbers, Value
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index

Cancel = Callable[[], bool] | None
QUANTILES = (0.05, 0.5, 0.95)
PAIRED = 12
"""Groups up to which every pair is compared unless somebody says otherwise."""
MAX_PAIRED = 64
"""Groups of which pairs are compared at all."""
LOOKED = 200_000
"""Traces whose prompts are compared unless somebody says otherwise: a million take most of a second."""
MAX_BINS = 100
_PAGE = 4096
"""Prompts at a time."""
_prompts: Remembered[NDArray[np.int64]] = Remembered(1)
_groups: Remembered[Groups] = Remembered(2)


def forget(index: Index) -> None:
    """Forget what is remembered about an index: for tests and benches."""
    _prompts.forget(index)
    _groups.forget(index)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question."""

    by: Sequence[str] = ()
    """Expressions, or filters, with one value per trace; none: all traces are one group."""
    expressions: Sequence[str] = ()
    """With at most one number per trace, e.g. `mean(resid_post.norm#20)`."""
    filter: str = ""
    """Only traces that match."""
    quantiles: Sequence[float] = QUANTILES
    bins: int = 0
    """Numbers to group by are put in this many bins of about equal size; 0: each its own group."""
    pairs: bool | None = None
    """Whether groups are compared; None: where there are at most PAIRED."""
    prompts: bool | None = None
    """Whether prompts that groups share are looked for; None: among at most LOOKED traces."""


class Group(msgspec.Struct, frozen=True):
    """Some traces."""

    group: list[Key]
    """One value per `by`; None where its traces have none."""
    traces: int
    prompts: int | None = None
    """Different ones among these traces; None where that was not looked for."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    by: list[str]
    quantiles: list[float]
    traces: int
    """That the filter matched."""
    groups: list[Group]
    summaries: list[Summary]
    """Expression by expression, in each in the order of the groups."""
    contrasts: list[Contrast]
    """Expression by expression; empty where groups were not compared."""
    tests: int
    """Comparisons with a p: what Holm's adjustment is for."""
    left_out: str = ""
    """What was not done, and how to have it; empty when nothing was."""


def stats(index: Index, asked: Asked, cancelled: Cancel = None, context: Context | None = None) -> Stats:
    """Raises FilterError, UsageError, and the filter's Cancelled once `cancelled` says True."""
    _check(asked)
    traces = _Traces(index, asked.filter, cancelled, context)
    numbers = traces.numbers
    groups = traces.groups(asked.by, asked.bins)
    paired, left_out = _paired(asked, len(groups))
    measured = [traces.measured(text) for text in asked.expressions]
    lines: list[Summary] = []
    pairs: list[Contrast] = []
    for text, values in zip(asked.expressions, measured, strict=True):
        parts = groups.parts(values)
        if paired:
            parts = [np.sort(part) for part in parts]
            pairs += contrasts(text, groups.keys, parts)
        lines += summaries(text, groups, parts, asked.quantiles, ordered=paired)
    adjusted = holm([pair.p for pair in pairs])
    pairs = [msgspec.structs.replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]
    listed = [Group(key, int(size)) for key, size in zip(groups.keys, groups.sizes, strict=True)]
    if asked.prompts or (asked.prompts is None and len(numbers) <= LOOKED):
        listed, pairs = _with_prompts(groups, listed, pairs, prompt_codes(index, numbers, cancelled))
    elif pairs:
        left_out = (
            f"prompts that groups share were not looked for among {len(numbers):,} traces; --prompts does"
        )
    return Stats(
        by=list(asked.by),
        quantiles=list(asked.quantiles),
        traces=len(numbers),
        groups=listed,
        summaries=lines,
        contrasts=pairs,
        tests=sum(p is not None for p in adjusted),
        left_out=left_out,
    )


def _check(asked: Asked) -> None:
    for quantile in asked.quantiles:
        if not 0 <= quantile <= 1:
            raise UsageError(f"a quantile lies between 0 and 1; {quantile:g} does not")
    if not 0 <= asked.bins <= MAX_BINS:
        raise UsageError(f"{asked.bins:,} bins; at most {MAX_BINS} can be told apart")


def _paired(asked: Asked, groups: int) -> tuple[bool, str]:
    """Whether pairs are compared, and why not."""
    wanted = asked.pairs if asked.pairs is not None else groups <= PAIRED
    if groups < 2 or not asked.expressions or asked.pairs is False:
        return False, ""
    count = groups * (groups - 1) // 2
    if wanted and groups > MAX_PAIRED:
        remedy = "filter with -Y, or group by something coarser"
        raise UsageError(
            f"{groups:,} groups are {count:,} pairs; at most {MAX_PAIRED} are compared; {remedy}"
        )
    return (
        wanted,
        "" if wanted else f"the {count:,} pairs of {groups:,} groups were not compared; --pairs does",
    )


class _Traces:
    """Those that a filter matches, and what can be asked of them."""

    def __init__(self, index: Index, text: str, cancelled: Cancel, context: Context | None) -> None:
        self.index = index
        self.cancelled = cancelled
        self.context = context
        self.macros = context.macros if context is not None else {}
        self.numbers = self.selected(text)

    def selected(self, text: str) -> Numbers:
        """Numbers (from 1, ascending) of the traces of a filter."""
        from tensorshark.forensics.filter import parse

        return parse(text, self.macros).select(self.index, self.cancelled, self.context)

    def groups(self, by: Sequence[str], bins: int) -> Groups:
        """By each of these; of all traces remembered, for the next thing to be measured."""
        from tensorshark.forensics.filter.answers.kept import dependences
        from tensorshark.forensics.filter.values.reader import Reader

        if not by:
            return Groups.one(len(self.numbers))
        asked = tuple(self.asked(text) for text in by)

        def make() -> Groups:
            return Groups.of([self.column(text, each, bins) for text, each in zip(by, asked, strict=True)])

        reader = Reader(self.index, self.cancelled, self.context)
        if len(self.numbers) < reader.count or any(dependences(each) for each in asked):
            return make()
        return _groups.get(reader, (asked, bins), make)

    def asked(self, text: str) -> Value | Predicate:
        """An expression, or else a filter."""
        from tensorshark.forensics.filter import columns, parse

        try:
            value = columns.expression(text, self.macros)
        except FilterError as error:
            try:
                predicate = parse(text, self.macros).predicate
            except FilterError:
                predicate = None
            if predicate is None:
                raise error from None
            return predicate
        if not value.single:
            raise _several("grouped by", text)
        return value

    def column(
        self, text: str, asked: Value | Predicate, bins: int
    ) -> tuple[NDArray[np.int32], Sequence[Key]]:
        """What to group by: codes (trace,) and what they stand for."""
        from tensorshark.forensics.filter import columns
        from tensorshark.forensics.filter.values.operands import Value

        if not isinstance(asked, Value):
            found = np.isin(self.numbers, self.selected(text), assume_unique=True)
            return found.astype(np.int32), [False, True]
        if asked.type == "number":
            known = self.measured(text)
            return binned(known, bins) if bins else distinct(known)
        return columns.codes(text, self.index, self.numbers, self.cancelled, self.context)

    def measured(self, text: str) -> Floats:
        """The number of each trace (trace,); NaN where it has none."""
        from tensorshark.forensics.filter import columns

        if not columns.expression(text, self.macros).single:
            raise _several("summed up", text)
        return columns.numbers(text, self.index, self.numbers, self.cancelled, self.context)


def _several(what: str, text: str) -> FilterError:
    reason = f"several values per trace cannot be {what}; select one cell, or take max(…)"
    return FilterError(reason, text, 0, len(text))


def prompt_codes(index: Index, numbers: Numbers, cancelled: Cancel = None) -> NDArray[np.int64]:
    """For each trace (trace,) a number that only traces of the same prompt share; -1 for damaged ones."""
    from tensorshark.forensics.filter.values.reader import Reader

    reader = Reader(index, cancelled)
    if len(numbers) == reader.count:
        return _prompts.get(reader, "prompts", lambda: _prompt_codes(reader, numbers))
    return _prompt_codes(reader, numbers)


def _prompt_codes(reader: Reader, numbers: Numbers) -> NDArray[np.int64]:
    hashes = np.zeros(len(numbers), np.int64)
    there = np.zeros(len(numbers), bool)
    texts = reader.texts(numbers, "prompt")
    while page := list(islice(texts, _PAGE)):
        found, prompts = zip(*page, strict=True)
        at = np.searchsorted(numbers, found)
        hashes[at], there[at] = list(map(hash, prompts)), True
    _, codes = np.unique(hashes, return_inverse=True)
    return np.where(there, codes, -1)


def _with_prompts(
    groups: Groups, listed: list[Group], pairs: list[Contrast], prompts: NDArray[np.int64]
) -> tuple[list[Group], list[Contrast]]:
    """With how many prompts each group has, and each pair shares."""
    known = prompts >= 0
    if not known.any():
        return listed, pairs
    width = int(prompts.max()) + 1
    both = np.unique(groups.codes[known] * np.int64(width) + prompts[known])  # each (group, prompt) once
    owners, owned = np.divmod(both, width)
    counts = np.bincount(owners, minlength=len(groups)).tolist()
    listed = [Group(each.group, each.traces, count) for each, count in zip(listed, counts, strict=True)]
    shared = np.flatnonzero(np.bincount(owned, minlength=width) > 1)
    has = np.zeros((len(groups), len(shared)), np.float32)
    in_several = np.isin(owned, shared)
    has[owners[in_several], np.searchsorted(shared, owned[in_several])] = 1
    common = (has @ has.T).astype(np.int64)
    place = {tuple(key): at for at, key in enumerate(groups.keys)}
    pairs = [
        msgspec.structs.replace(each, shared_prompts=int(common[place[tuple(each.a)], place[tuple(each.b)]]))
        for each in pairs
    ]
    return listed, pairs
