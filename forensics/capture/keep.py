"""`capture --keep`: a display filter decides, of each trace that has run, whether it is stored.

It is asked of the trace in memory, before anything of it is written. So it may speak of all that the trace
itself holds, and of nothing that takes other traces, a case, or a place among the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tensorshark.forensics.capture.settings import CaptureSettings
from tensorshark.forensics.filter import Filter, parse
from tensorshark.forensics.filter.syntax import parser, tree
from tensorshark.forensics.filter.syntax.macros import Expanded, expand
from tensorshark.forensics.measured import declared
from tensorshark.traces.errors import FilterError, NotFoundError
from tensorshark.traces.manifest import ModelRecord, StoredSite, TraceManifest
from tensorshark.traces.sites import ATTENTION, SITES, stat_site
from tensorshark.traces.store import Capture
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.forensics.capture.forward import Row
    from tensorshark.traces.tensors import Array

_TIME = ("time", "captured_at")


class Keep:
    """What a run stores."""

    def __init__(self, filter: Filter) -> None:
        self._filter = filter

    def words(self) -> str:
        """As a sentence: `traces labelled injection`."""
        return self._filter.words()

    def keeps(self, manifest: TraceManifest, row: Row, capture: Capture) -> bool:
        """Whether the trace is to be stored. `manifest` is as it was built: without files."""
        return self._filter.holds(HeldTrace(manifest, row, capture))


def keeping(settings: CaptureSettings) -> Keep | None:
    """What the settings ask to keep; None: everything.

    Raises FilterError, at its place, for what is not known before a trace is stored, or will not be captured.
    """
    if not settings.keep.strip():
        return None
    filter = parse(settings.keep, settings.macros)
    if filter.needs_index:
        need = filter.needs_index[0]
        reason = f"{need.what} is not known before a trace is stored"
        raise FilterError(reason, settings.keep, need.column, need.length)
    expanded = expand(settings.keep, settings.macros)
    for field in _fields(parser.parse(expanded.text)):
        _check(field, settings, expanded)
    return Keep(filter)


def _check(field: tree.Field, settings: CaptureSettings, expanded: Expanded) -> None:
    site = field.name.partition(".")[0]
    if field.name in _TIME:
        reason = "time is that of storing, which has not come when --keep decides"
    elif site in (*SITES, ATTENTION) and site not in settings.sites:
        reason = f"{site} is not captured; add it to --sites"
    elif (made := declared.find(field.name)) and not made.ours:
        reason = f"{field.name} is measured once traces are stored: analyzer {made.analyzer} runs apart"
    elif made and (missing := [site for site in made.sites if site not in settings.sites]):
        reason = f"{field.name} needs {missing[0]}, which is not captured; add it to --sites"
    else:
        return
    place = field.named
    raise expanded.error(FilterError(reason, expanded.text, place.start, place.stop - place.start))


def _fields(node: Any) -> Iterator[tree.Field]:
    """All fields in a syntax tree."""
    if isinstance(node, tree.Field):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _fields(part)
    elif isinstance(node, msgspec.Struct):
        for name in node.__struct_fields__:
            yield from _fields(getattr(node, name))


class HeldTrace:
    """A trace that has run and is nowhere but in memory, as filters read one."""

    def __init__(self, manifest: TraceManifest, row: Row, capture: Capture) -> None:
        self.manifest = manifest
        self.capture = capture
        """Where its model's record and lens are."""
        self.model: ModelRecord = capture.model(manifest.model)
        self.spans: dict[str, slice] = {span.name: slice(span.start, span.stop) for span in manifest.spans}
        self.sites: dict[str, StoredSite] = {site.name: site for site in manifest.sites}
        self.stats: Mapping[str, Array] = row.stats
        self._tensors = row.tensors

    def stat_layers(self, key: str) -> list[int]:
        """Model layer of each row of a statistic's first axis."""
        site = self.sites.get(stat_site(key))
        return list(site.layers) if site else []

    def load(self, name: str) -> Array:
        """One tensor; NotFoundError for one that was not captured."""
        try:
            return self._tensors[name]
        except KeyError:
            raise NotFoundError(f"the trace has no tensor {safe_text(name, 80)!r}") from None
