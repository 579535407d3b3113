"""Measuring a trace that is in memory only: what `capture --keep` asks before it stores one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from tensorshark.forensics import host
from tensorshark.forensics.analyzer import Analyzer
from tensorshark.forensics.measured.columns import Array
from tensorshark.forensics.measured.declared import Declared
from tensorshark.forensics.measured.measuring import selected
from tensorshark.forensics.measured.running import Asked, Failure, values
from tensorshark.forensics.view import ViewTrace
from tensorshark.traces.manifest import ModelRecord, StoredSite
from tensorshark.traces.trace import Trace

if TYPE_CHECKING:
    from tensorshark.forensics.filter.values.batch import TraceLike
    from tensorshark.forensics.filter.values.selection import Pick


class HeldTrace(ViewTrace):
    """A trace that is not on disk, as analyzers see it. It takes a `capture` for the lens."""

    def __init__(self, held: TraceLike) -> None:
        self._held = held
        self.manifest = held.manifest
        self.id = held.manifest.id
        self._number = 0
        if (capture := getattr(held, "capture", None)) is not None:
            self.capture = capture

    @property
    def model(self) -> ModelRecord:
        return self._held.model

    @property
    def spans(self) -> dict[str, slice]:
        return dict(self._held.spans)

    @property
    def sites(self) -> dict[str, StoredSite]:
        return dict(self._held.sites)

    @property
    def stats(self) -> Mapping[str, Array]:
        return self._held.stats

    def stat_layers(self, key: str) -> list[int]:
        return list(self._held.stat_layers(key))

    def load(self, name: str) -> Array:
        return self._held.load(name)


def measured(field: Declared, picks: Sequence[Pick], held: TraceLike) -> Array | None:
    """Cells with the field's axes; None where there are none, or the analyzer is somebody else's: no process
    is started while capturing."""
    if not field.ours:
        return None
    trace = ViewTrace.of(held) if isinstance(held, Trace) else HeldTrace(held)
    asked = [Asked(0, trace, selected(trace, picks))]
    ((_, made),) = values(_analyzer(field.analyzer), field, asked)
    return None if isinstance(made, Failure) else made[field.info.name]


@cache
def _analyzer(name: str) -> Analyzer:
    return host.load(name)()
