"""What all parameters and results have in common.

The sentence under each field is its line in docs/serve.md. Parameters are decoded strictly: a field that is
not here, or of another type, is refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

RequestId = int | str | None
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(max_length=65_536)]
"""A filter, or a field expression."""
TraceName = Annotated[str, Meta(max_length=64)]
SiteName = Annotated[str, Meta(max_length=80)]
Position = Annotated[str, Meta(max_length=256)]
Layers = int | Annotated[list[int], Meta(max_length=1024)] | None


def layers(chosen: int | list[int] | None) -> list[int]:
    """A `layer` parameter as a list; empty for all."""
    return [] if chosen is None else [chosen] if isinstance(chosen, int) else chosen


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parameters."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all results."""


class Nothing(Params, frozen=True, kw_only=True):
    """No parameters."""
