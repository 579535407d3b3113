"""What was worked out for all traces of an index, kept for the next question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.reader import Reader
    from tensorshark.traces.index import Index

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last few things of one kind, per index. All are forgotten as soon as its traces are others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[Index, tuple[Any, OrderedDict[Hashable, T]]] = WeakKeyDictionary()

    def get(self, reader: Reader, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key, or gives now."""
        stamp = _stamp(reader)
        with self._lock:
            known = self._known.get(reader.index)
            if known is not None and known[0] == stamp and key in known[1]:
                known[1].move_to_end(key)
                return known[1][key]
        made = make()
        with self._lock:
            known = self._known.get(reader.index)
            if known is None or known[0] != stamp:
                known = self._known[reader.index] = (stamp, OrderedDict())
            known[1][key] = made
            while len(known[1]) > self._most:
                known[1].popitem(last=False)
        return made

    def forget(self, index: Index) -> None:
        """Forget everything about an index: for tests and benches."""
        with self._lock:
            self._known.pop(index, None)


def _stamp(reader: Reader) -> tuple[Any, int, str]:
    """Differs when a trace has been added, or the index made again."""
    index, count = reader.index, reader.count
    found = index.query("SELECT id FROM traces WHERE row = ?", (count,)) if count else []
    return ref(index.generation), count, found[0][0] if found else ""
