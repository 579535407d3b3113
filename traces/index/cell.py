"""What is compared between traces: a site, a layer and a position, at one width."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tensorshark.traces.errors import UsageError
from tensorshark.traces.index.vector_files import ABSENT, ROUNDED, THERE, Floats
from tensorshark.traces.sites import SITES
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.trace import Trace

_POSITION = re.compile(r"(-?\d{1,9})|\[(-?\d{1,9})\]|([A-Za-z_][\w-]*(?:\.[\w-]+)*)\[(-?\d{1,9})\]", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """What is compared between traces. Make it with `Cell.of`."""

    site: str
    layer: int
    """From 0."""
    position: str
    """`-1`, or within a span `prompt[-1]`."""
    width: int
    """d_model; a trace of another width has no such vector."""

    @classmethod
    def of(cls, site: str, layer: int, position: str | int, width: int) -> Cell:
        """Raises UsageError for a site without a vector per token, or a position that is not one token."""
        if site not in SITES or SITES[site].axes != ("pos", "d_model"):
            fitting = [name for name, known in SITES.items() if known.axes == ("pos", "d_model")]
            raise UsageError(
                f"{safe_text(site, 40)!r} has no vector per token; sites that have: {', '.join(fitting)}"
            )
        if not 0 <= layer < 10_000 or not 0 < width < 1 << 24:
            raise UsageError(f"no vector of width {width:,} can be in layer {layer:,}")
        span, index = _position(str(position))
        return cls(site, layer, f"{span}[{index}]" if span else str(index), width)

    def __str__(self) -> str:
        return f"{self.site}#{self.layer}[{self.position}]"

    @property
    def tensor(self) -> str:
        """Its name in a trace."""
        return SITES[self.site].at(self.layer)

    def token(self, trace: Trace) -> int | None:
        """The 0-based position in one trace; None when it has none."""
        span, index = _position(self.position)
        tokens = range(len(trace.token_ids))
        if span and span not in trace.spans:
            return None
        within = tokens[trace.spans[span]] if span else tokens
        return within[index] if -len(within) <= index < len(within) else None

    def read(self, trace: Trace) -> tuple[int, Floats | None]:
        """Kind of row, and the vector (width,). Raises as `Trace.load` does."""
        shape = self._shape(trace)
        token = self.token(trace)
        if shape is None or token is None or len(shape) != 2 or shape[1] != self.width or token >= shape[0]:
            return ABSENT, None
        stored = trace.load(self.tensor)[token]
        with np.errstate(all="ignore"):
            vector = stored.astype(np.float32)
        return (ROUNDED if stored.dtype.itemsize > 4 or stored.dtype.kind in "iu" else THERE), vector

    def _shape(self, trace: Trace) -> list[int] | None:
        site = trace.sites.get(self.site)
        if site is None or self.layer not in site.layers:
            return None
        return next(
            (tensor.shape for tensor in trace.manifest.all_tensors if tensor.name == self.tensor), None
        )


def bytes_of(trace: Trace, names: Iterable[str]) -> int:
    """About how many bytes of tensors loading these reads: a rebuilt one takes all its parts."""
    parts = {tensor.name: tensor.of for tensor in trace.manifest.derived}
    sizes = {tensor.name: 4 * math.prod(tensor.shape) for tensor in trace.manifest.tensors}
    todo, seen = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += parts.get(name, [])
    return sum(sizes.get(name, 0) for name in seen)


def _position(text: str) -> tuple[str, int]:
    """(span or empty, index) of a position. Raises UsageError."""
    match = _POSITION.fullmatch(text.strip()) if len(text) < 100 else None
    if match is None:
        raise UsageError(
            f"position {safe_text(text, 40)!r} is not one token; expected e.g. -1, 0 or prompt[-1]"
        )
    span = "" if match[3] in (None, "all") else match[3]
    return span, int(match[1] or match[2] or match[4])
