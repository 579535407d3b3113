"""What a filter may ask about that is not in the capture: the selected trace, macros, marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Context(msgspec.Struct, frozen=True):
    """Where a filter is applied. Nothing in it is part of the filter, so all of it may change between two
    uses of one filter."""

    selected: int = 0
    """Number of the trace that `$field` speaks of; 0 when none is selected."""
    macros: Mapping[str, str] = {}
    """Name -> the text that `${name}` stands for."""
    case: Any = None
    """The case with this person's marks, tags and notes; None when there is none."""
