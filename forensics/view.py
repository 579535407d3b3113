"""What an analyzer is handed: the filtered traces of a capture, opened and checked one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.forensics import positions
from tensorshark.forensics.analyzer import Needs
from tensorshark.forensics.attention import summary
from tensorshark.forensics.gather import Problem
from tensorshark.forensics.norms import l2
from tensorshark.forensics.results import Failed, NotCaptured, Row, cell
from tensorshark.traces.errors import NotFoundError, TensorsharkError, UsageError
from tensorshark.traces.sites import ATTENTION, SITES, stat_site
from tensorshark.traces.tensors import Array
from tensorshark.traces.text import safe_text
from tensorshark.traces.trace import Trace

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

Report = Callable[[int, int], None]
"""Called with (traces done, traces in all)."""

_ATTENTION = ("attn.entropy", "attn.entropy_rest", "attn.sink")
"""In the order of `attention.Summary`."""


class ViewTrace(Trace):
    """A trace as analyzers see it: the stored trace, with its rows and positions."""

    @classmethod
    def of(cls, trace: Trace) -> ViewTrace:
        """The same trace with what analyzers need on it."""
        return cls(trace.capture, trace.manifest, trace.number)

    def layers(self, site: str) -> list[int]:
        """Captured layers of a site, ascending; `attn` names the attention statistics."""
        if site == ATTENTION and site not in self.sites:
            site = "pattern"
        return list(self.sites[site].layers) if site in self.sites else []

    def stat(self, key: str) -> Array:
        """A statistic, e.g. `norm.resid_post` (layer, pos); computed where only its tensors were captured.

        Raises NotFoundError where neither is there.
        """
        if key in self.stats:
            return self.stats[key]
        if key in _ATTENTION and "pattern" in self.sites:
            return self._attention[key]
        kind, _, site = key.partition(".")
        if kind == "norm" and site in self.sites:
            return np.stack([l2(self.load(SITES[site].at(layer))) for layer in self.layers(site)])
        raise NotFoundError(f"trace {self.id} has no statistic {safe_text(key, 80)}")

    @cached_property
    def _attention(self) -> dict[str, Array]:
        """Each (layer, head, pos), from the stored patterns."""
        site = SITES["pattern"]
        layers = [summary(self.load(site.at(layer))) for layer in self.layers("pattern")]
        stacked = map(np.stack, zip(*layers, strict=True))  # each (layer, head, pos)
        return dict(zip(_ATTENTION, stacked, strict=True))

    def positions(self, text: str) -> list[int]:
        """0-based positions that `prompt[-1]`, `all[:]` or `-1` name here; see `positions.resolve`."""
        return positions.resolve(text, len(self.token_ids), self.spans)

    def row(self, title: str = "", /, **cells: object) -> Row:
        """A row about this trace. numpy scalars become Python's; what is not one value is refused."""
        typed = {name: cell(value, name) for name, value in cells.items()}
        return Row(title=title, trace=self.id, number=self.number, cells=typed)


class View:
    """The traces that an analyzer is to look at, in order."""

    def __init__(
        self,
        capture: Capture,
        ids: Sequence[str],
        report: Report | None = None,
        needs: Needs | None = None,
    ) -> None:
        self.capture = capture
        self.ids = list(ids)
        """Of all traces selected, also those that will turn out not to have what is needed."""
        self.needs = needs or Needs()
        self.problems: list[Problem] = []
        """Failed and NotCaptured, one for each trace that `progress` has left out so far."""
        self.report = report
        self._opened: dict[str, ViewTrace] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def progress(self) -> Iterator[ViewTrace]:
        """The traces that can be read and have what the analyzer needs; reports progress as it goes."""
        for done, trace_id in enumerate(self.ids):
            if self.report:
                self.report(done, len(self.ids))
            try:
                trace = self._opened.get(trace_id) or ViewTrace.of(self.capture.trace(trace_id))
                missing = lacking(trace, self.needs)
            except TensorsharkError as error:
                self.problems.append(Failed(trace=trace_id, reason=str(error)))
                continue
            if missing:
                self.problems.append(missing)
            else:
                yield trace
        if self.report:
            self.report(len(self.ids), len(self.ids))

    __iter__ = progress

    def only(self, trace: ViewTrace) -> View:
        """A view of one trace that is already open."""
        view = View(self.capture, [trace.id])
        view._opened[trace.id] = trace
        return view

    def pair(self, a: str, b: str) -> View:
        """A view of two traces, named by id, unique beginning of an id, or `#NUMBER`.

        With neither named, the view's own two traces. Raises UsageError when that is not what it has.
        """
        if bool(a) != bool(b):
            raise UsageError("a pair needs both traces: -o a=ID -o b=ID")
        if not a:
            if len(self.ids) != 2:
                raise UsageError(
                    f"two traces are compared, {len(self.ids):,} are selected: "
                    "name them with -o a=ID -o b=ID (or #NUMBER), or select two with -Y"
                )
            return View(self.capture, self.ids, self.report, self.needs)
        return View(self.capture, [self._named(a), self._named(b)], self.report, self.needs)

    def _named(self, name: str) -> str:
        if not name.startswith("#"):
            return self.capture.trace(name).id
        ids = self.capture.ids()
        if not name[1:].isdecimal() or not 1 <= int(name[1:]) <= len(ids):
            raise NotFoundError(f"no trace {safe_text(name, 40)}; the capture has #1 to #{len(ids)}")
        return ids[int(name[1:]) - 1]


def lacking(trace: ViewTrace, needs: Needs) -> NotCaptured | None:
    """What is needed and the trace lacks, with what to type to have it; None when all is there."""
    for site in needs.sites:
        if site not in trace.sites:
            remedy = "--patterns" if site == "pattern" else f"--sites {','.join(needs.sites)}"
            return _missing(trace, f"{site} was not captured", f"capture again with {remedy}")
    for key in needs.stats:
        if key in _ATTENTION:
            if ATTENTION not in trace.sites and "pattern" not in trace.sites:
                return _missing(trace, "attention was not captured", "capture again with attn among --sites")
        elif key not in trace.stats and stat_site(key) not in trace.sites:
            site = stat_site(key)
            return _missing(trace, f"{key} was not captured", f"capture again with --sites {site}")
    if needs.lens and trace.model.lens.storage == "none":
        return _missing(trace, "the capture has no lens file", "capture again with --lens-file embed")
    return None


def _missing(trace: ViewTrace, reason: str, remedy: str) -> NotCaptured:
    return NotCaptured(trace=trace.id, reason=reason, remedy=remedy)
