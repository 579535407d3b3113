"""Moving the cursor over what was captured of a trace; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tensorshark.tui.cursor import Cursor
from tensorshark.tui.widgets.trace_tree import layers

if TYPE_CHECKING:
    from tensorshark.traces.store import Trace


def sites(trace: Trace) -> list[str]:
    """Sites that are one vector per token, in the order in which they happen."""
    from tensorshark.traces.sites import SITES

    return [name for name, site in SITES.items() if name in trace.sites and site.axes[0] == "pos"]


def middle(trace: Trace) -> int:
    """A layer to start at: in the middle of what was captured, where there is something to see both ways."""
    captured = layers(trace)
    return captured[len(captured) // 2] if captured else 0


def fitted(cursor: Cursor, trace: Trace, heads: int) -> Cursor:
    """The nearest place that this trace has: layer, token, site and head all exist."""
    captured, names = layers(trace), sites(trace)
    layer = min(captured, key=lambda one: abs(one - cursor.layer), default=0)
    site = cursor.site if cursor.site in names or not names else names[-1]
    token = max(0, min(cursor.token, len(trace.token_ids) - 1))
    return replace(cursor, layer=layer, site=site, token=token, head=max(0, min(cursor.head, heads - 1)))


def next_layer(cursor: Cursor, trace: Trace, step: int) -> Cursor:
    """One captured layer up or down."""
    return replace(cursor, layer=_stepped(layers(trace), cursor.layer, step))


def next_site(cursor: Cursor, trace: Trace) -> Cursor:
    """The next site, and after the last the first."""
    names = sites(trace)
    if not names:
        return cursor
    at = names.index(cursor.site) if cursor.site in names else -1
    return replace(cursor, site=names[(at + 1) % len(names)])


def next_token(cursor: Cursor, trace: Trace, step: int) -> Cursor:
    """One token to the left or right."""
    return replace(cursor, token=max(0, min(cursor.token + step, len(trace.token_ids) - 1)))


def _stepped(places: Sequence[int], place: int, step: int) -> int:
    """The neighbour of `place`, or itself at the end."""
    if place not in places:
        return place
    return places[max(0, min(places.index(place) + step, len(places) - 1))]
