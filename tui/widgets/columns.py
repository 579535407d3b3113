"""The columns of the trace list: what each says, how wide it is, and which go first where it is narrow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tensorshark.traces.text import safe_text, token_text
from tensorshark.tui.palette import Palette
from tensorshark.tui.widgets.sparkline import spark

if TYPE_CHECKING:
    from tensorshark.traces.index import TraceRow

MIN_PROMPT = 28
"""Cells the prompt should have; columns go until it has them."""

Cell = tuple[str, Style]
"""A text that is safe to print, and how to draw it."""


@dataclass(frozen=True)
class Column:
    """One column of the list."""

    name: str
    """What `:sort` calls it."""
    title: str
    """Its heading."""
    width: int
    """Cells; 0 means whatever is left."""
    sort: str
    """The filter language's expression for its value."""
    draw: Callable[[TraceRow, int, Palette], Cell]
    """(row, width, palette) -> cell."""
    right: bool = False
    """Numbers stand to the right."""
    rank: int = 0
    """0 always stays; of the others the highest goes first when the screen is narrow."""


def _number(row: TraceRow, width: int, palette: Palette) -> Cell:
    return str(row.number), palette.style("dim")


def _time(row: TraceRow, width: int, palette: Palette) -> Cell:
    return safe_text(row.captured_at[11:19]), palette.style("dim")


def _tokens(row: TraceRow, width: int, palette: Palette) -> Cell:
    return str(row.seq_len), palette.style("dim")


def _label(row: TraceRow, width: int, palette: Palette) -> Cell:
    text = row.labels.get("category") or next(iter(row.labels.values()), "")
    return safe_text(text, 64), palette.label(text)


def _next(row: TraceRow, width: int, palette: Palette) -> Cell:
    return (token_text(row.next_token) if row.next_token else "", palette.style("text"))


def _probability(row: TraceRow, width: int, palette: Palette) -> Cell:
    p = row.next_p
    if p is None or not math.isfinite(p) or not row.next_token:
        return "", palette.style("dim")
    return ("1.0" if p >= 0.995 else f"{p:.2f}"[1:]), palette.style("text")


def _norms(row: TraceRow, width: int, palette: Palette) -> Cell:
    return spark(row.norms, width), palette.style("blue")


def _entropy(row: TraceRow, width: int, palette: Palette) -> Cell:
    known = math.isfinite(row.entropy)
    return (f"{row.entropy:.2f}" if known else "–"), palette.style("text" if known else "dim")


def _prompt(row: TraceRow, width: int, palette: Palette) -> Cell:
    if not row.model:  # its manifest could not be trusted, so nothing of it is here
        return "damaged", palette.style("bad")
    return safe_text(row.prompt, width + 8), palette.style("text")


COLUMNS = (
    Column("no", "No", 4, "number", _number, right=True),
    Column("time", "time", 8, "time", _time, rank=4),
    Column("tok", "tok", 4, "seq_len", _tokens, right=True),
    Column("label", "label", 10, "label.category", _label),
    Column("next", "next", 10, "next.token", _next, rank=1),
    Column("p", "p", 3, "next.p", _probability, rank=2),
    Column("norm", "norm by layer", 15, "resid_post.norm#-1[-1]", _norms, rank=3),
    Column("entropy", "entropy", 7, "mean(attn.entropy[-1])", _entropy, rank=5),
    Column("prompt", "prompt", 0, "prompt", _prompt),
)
"""In the order of the screen."""
SLIM = {"norm": ("norm", 8), "next": ("next", 8)}
"""Title and width where the list is narrower than SLIM_BELOW."""
SLIM_BELOW = 110
"""Cells."""
MARK_AFTER = "label"
"""The cells for marks stand behind this column."""


def layout(width: int, count: int) -> list[tuple[Column, int]]:
    """Which columns fit into `width` cells, and how wide each is; `count` is the largest number shown."""
    digits = max(4, len(str(count)))
    shown = list(COLUMNS)
    while True:
        slim = width < SLIM_BELOW
        wide = [(column, _width(column, digits, slim)) for column in shown]
        # One cell in front, one behind each column, and three for the marks.
        left = width - 1 - 3 - 1 - sum(cells + 1 for column, cells in wide if column.width)
        rank = max(column.rank for column in shown)
        if left >= MIN_PROMPT or not rank:
            return [(column, cells if column.width else max(0, left)) for column, cells in wide]
        shown = [column for column in shown if column.rank != rank]


def _width(column: Column, digits: int, slim: bool) -> int:
    if column.name == "no":
        return digits
    return SLIM[column.name][1] if slim and column.name in SLIM else column.width


def merged(cells: Sequence[Cell]) -> list[Segment]:
    """Neighbours of one style become one segment: fewer bytes on the wire."""
    segments: list[Segment] = []
    for text, style in cells:
        blank = not text.strip()
        if segments and (segments[-1].style == style or (blank and not style.underline)):
            segments[-1] = Segment(segments[-1].text + text, segments[-1].style)
        else:
            segments.append(Segment(text, style))
    return segments
