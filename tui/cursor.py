"""Where the analyst is: one cursor, shared by the list, the tree and every pane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cursor:
    """One place in a capture. Moving makes a new one: `dataclasses.replace(cursor, layer=12)`."""

    trace: str = ""
    """The trace's id; empty while the list is empty."""
    layer: int = 0
    """The model's layer index, 0-based; not a position in the list of captured layers."""
    head: int = 0
    """Attention head, 0-based."""
    token: int = 0
    """Position in the trace, 0-based."""
    site: str = "resid_post"
    """A name from `traces.sites.SITES`."""
