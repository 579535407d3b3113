"""Answers that were worked out before: kept in memory per index, and added to as traces arrive.

A comparison is asked of a trace once. What is committed never changes, so an answer about a trace stays
right as long as its number is that trace's; when an index is made again, or a late writer's traces came in
between, everything is forgotten. What a comparison depends on beside the trace is part of its key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.answers.predicates import Leaf, Predicate
from tensorshark.forensics.filter.answers.shortcuts import shortcut
from tensorshark.forensics.filter.values.operands import Numbers, Tier
from tensorshark.forensics.filter.values.relations import Bools

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index

BYTES = 64 << 20
"""Memory for the answers about one index: at most two bits per trace and comparison."""
_ANSWERED = 64
"""Predicates of which it is remembered that they were answered."""
_AGAIN = 8
"""Once one trace in so many is new, all are asked again: at once that is cheaper than one by one."""


class Asked:
    """What is known of one comparison: of which traces it was asked, and of which it is true."""

    def __init__(self, asked: Bools, true: Bools) -> None:
        self.asked = asked
        """(trace,)"""
        self.true = true
        """(trace,); False where it was not asked."""
        self.changed = False

    @classmethod
    def nothing(cls, count: int) -> Asked:
        """Of `count` traces, none of which was asked."""
        return cls(np.zeros(count, dtype=bool), np.zeros(count, dtype=bool))

    def ask(self, leaf: Leaf, reader: Reader, numbers: Numbers) -> None:
        """Ask it of these traces."""
        found = np.asarray(leaf.among(reader, numbers), dtype=np.int64)
        self.true[found - 1] = True
        self.asked[numbers - 1] = True
        self.changed = True


class _Packed(msgspec.Struct, frozen=True):
    """`Asked`, a bit each."""

    count: int
    asked: NDArray[np.uint8] | None
    """None: of all of them."""
    true: NDArray[np.uint8]

    @classmethod
    def of(cls, asked: Asked) -> _Packed:
        """What is known, packed."""
        which = None if asked.asked.all() else np.packbits(asked.asked)
        return cls(len(asked.true), which, np.packbits(asked.true))

    @property
    def size(self) -> int:
        """In bytes."""
        return self.true.nbytes + (0 if self.asked is None else self.asked.nbytes)

    def of_all(self, count: int) -> Bools | None:
        """Of which of `count` traces it is true (trace,), where all of them were asked."""
        if self.asked is not None or self.count < count:
            return None
        return np.unpackbits(self.true, count=count).view(bool)

    def unpacked(self, count: int) -> Asked:
        """For `count` traces; those that came since were not asked."""
        made, known = Asked.nothing(count), min(count, self.count)
        made.asked[:known] = True if self.asked is None else np.unpackbits(self.asked, count=known)
        made.true[:known] = np.unpackbits(self.true, count=known)
        return made


class _Store:
    """The answers about one index."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stamp: tuple[Any, int, str] = (None, 0, "")
        """Generation of the index, traces that it had, and id of the last of them."""
        self.packed: OrderedDict[Hashable, _Packed] = OrderedDict()
        self.size = 0
        self.answered: OrderedDict[Predicate, int] = OrderedDict()
        """The last predicates that were answered to the end, and for how many traces."""

    def put(self, key: Hashable, packed: _Packed) -> None:
        """Keep one, and drop what was not used for longest where there is no room."""
        old = self.packed.pop(key, None)
        self.size += packed.size - (old.size if old else 0)
        self.packed[key] = packed
        while self.size > BYTES:
            self.size -= self.packed.popitem(last=False)[1].size

    def clear(self) -> None:
        """Forget everything."""
        self.packed.clear()
        self.answered.clear()
        self.size = 0


_stores: WeakKeyDictionary[Index, _Store] = WeakKeyDictionary()
_stores_lock = threading.Lock()


class Kept:
    """The kept answers, for one question."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        with _stores_lock:
            self._store = _stores.setdefault(reader.index, _Store())
        with self._store.lock:
            if not _stands(self._store.stamp, reader.index):
                self._store.clear()
            self._stamp = _stamp(reader.index, reader.count)
            self._store.stamp = max(self._store.stamp, self._stamp, key=lambda stamp: stamp[1])
            if self._store.stamp[0] is not self._stamp[0]:
                self._store.stamp = self._stamp

    def asked(self, leaf: Leaf) -> Asked:
        """What is known of a comparison so far."""
        found = self._packed(_key(leaf, self.reader))
        return Asked.nothing(self.reader.count) if found is None else found.unpacked(self.reader.count)

    def everywhere(self, leaf: Leaf) -> Bools:
        """The answer of a comparison that the index answers, for all traces (trace,)."""
        key = _key(leaf, self.reader)
        found = self._packed(key)
        if found is not None:
            true = found.of_all(self.reader.count)
            if true is not None:
                return true
            asked = found.unpacked(self.reader.count)
            new = np.flatnonzero(~asked.asked) + 1
            if len(new) * _AGAIN < self.reader.count:
                asked.ask(leaf, self.reader, new)
                self._keep({key: _Packed.of(asked)})
                return asked.true
        short = shortcut(leaf, self.reader)
        true = leaf.everywhere(self.reader) if short is None else short
        self._keep({key: _Packed(self.reader.count, None, np.packbits(true))})
        return true

    def keep(self, learned: Mapping[Leaf, Asked]) -> None:
        """Keep what was learned; not of traces that could not be read, which may be restored."""
        unread = np.fromiter(self.reader.unread, dtype=np.int64)
        for leaf, asked in learned.items():
            if asked.changed and leaf.tier is Tier.TRACE:
                asked.asked[unread - 1] = asked.true[unread - 1] = False
        changed = ((leaf, asked) for leaf, asked in learned.items() if asked.changed)
        self._keep({_key(leaf, self.reader): _Packed.of(asked) for leaf, asked in changed})

    def done(self, predicate: Predicate) -> None:
        """Remember that it was answered to the end."""
        with suppress(TypeError), self._store.lock:
            self._store.answered[predicate] = self.reader.count
            self._store.answered.move_to_end(predicate)
            while len(self._store.answered) > _ANSWERED:
                self._store.answered.popitem(last=False)

    def _packed(self, key: Hashable | None) -> _Packed | None:
        with self._store.lock:
            found = None if key is None else self._store.packed.get(key)
            if found is not None:
                self._store.packed.move_to_end(key)
        return found

    def _keep(self, learned: Mapping[Hashable | None, _Packed]) -> None:
        packed = {key: each for key, each in learned.items() if key is not None}
        if not packed or not _stands(self._stamp, self.reader.index):
            return
        with self._store.lock:
            if self._store.stamp[0] is self._stamp[0]:
                for key, each in packed.items():
                    self._store.put(key, each)


def answered(predicate: Predicate, index: Index) -> bool:
    """True when all of the answer is known: asking again takes no look at any trace."""
    store = _stores.get(index)
    if store is None or dependences(predicate):
        return False
    with suppress(TypeError), store.lock:
        return store.answered.get(predicate) == len(index) and _stands(store.stamp, index)
    return False


def forget(index: Index) -> None:
    """Forget all answers about an index: for tests and benches."""
    with _stores_lock:
        _stores.pop(index, None)


def dependences(thing: object) -> frozenset[str]:
    """What an answer depends on beside the trace: `capture` (all its traces), `case`, `selected` (a trace).

    Classes of leaves and values declare it as `depends`; what they are made of counts too.
    """
    return frozenset().union(*(getattr(part, "depends", ()) for part in _parts(thing)))


def _parts(thing: object) -> Iterator[object]:
    """A leaf or value, and everything that it is made of."""
    yield thing
    if isinstance(thing, msgspec.Struct):
        for name in thing.__struct_fields__:
            yield from _parts(getattr(thing, name))
    elif isinstance(thing, tuple | list):
        for each in thing:
            yield from _parts(each)


def _key(leaf: Leaf, reader: Reader) -> Hashable | None:
    """What an answer is kept under; None where it is not kept."""
    needs = dependences(leaf)
    if "case" in needs:  # an analyst's marks change, and asking for them is cheap
        return None
    whole = reader.count if "capture" in needs else 0
    selected = reader.context.selected if "selected" in needs else 0
    key = (leaf, whole, selected)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _stamp(index: Index, count: int) -> tuple[Any, int, str]:
    found = index.query("SELECT id FROM traces WHERE row = ?", (count,)) if count else []
    return index.generation, count, found[0][0] if found else ""


def _stands(stamp: tuple[Any, int, str], index: Index) -> bool:
    """True while the traces of then are still the first of those that the index has now."""
    return stamp[0] is index.generation and _stamp(index, stamp[1]) == stamp
