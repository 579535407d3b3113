"""What filters and orders have selected lately, so that the next page of a list costs nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from tensorshark.forensics.rpc.lanes import Task

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers

KEPT = 8
"""Selections; eight bytes a trace each."""

Key = tuple[object, ...]
OnFound = Callable[["Numbers", int, int], None]


class Selections:
    """Of one engine; any thread may ask."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Numbers] = OrderedDict()

    def known(self, text: str, sort: str, descending: bool, selected: int = 0) -> bool:
        """True when `get` will not have to look."""
        return self._key(text, sort, descending, selected) in self._kept

    def get(
        self,
        text: str,
        sort: str = "",
        descending: bool = False,
        *,
        task: Task,
        selected: int = 0,
        on_found: OnFound | None = None,
    ) -> Numbers:
        """Numbers of the traces that match, in order; a long scan says how far it is. Raises FilterError.

        `on_found` is called now and then with the numbers found so far, how many of how many were looked at.
        """
        key = self._key(text, sort, descending, selected)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]

        def found(numbers: Numbers, done: int, total: int) -> None:
            if on_found is not None:
                on_found(numbers, done, total)
            task.progress(done, total)

        # What was found so far is put in order each time, which may take longer than finding it.
        told = found if on_found is not None or not sort.strip() else None
        numbers = self._engine.select(text, sort, descending, task.cancelled, told, selected)
        with self._lock:
            self._kept[key] = numbers
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return numbers

    def _key(self, text: str, sort: str, descending: bool, selected: int) -> Key:
        """All that an answer depends on: the question, the traces, and what was said about them."""
        engine = self._engine
        key = (text, sort, descending, selected, len(engine.index), engine.index.generation)
        if not (text + sort).strip():
            return key
        macros = tuple(engine.context().macros.items()) if "${" in text + sort else ()
        return *key, engine.case.version, macros
