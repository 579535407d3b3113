"""The case: what people say about a capture, beside it and never in it.

Importing this is free; the classes are imported when they are asked for, and a capture without a case asks
for none: see `place`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorshark.traces.case.case import Case
    from tensorshark.traces.case.events import DEFAULT_MARK, Spot
    from tensorshark.traces.case.state import Attached, Note, Saved

__all__ = ["DEFAULT_MARK", "Attached", "Case", "Note", "Saved", "Spot"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module in ("case", "events", "state"):
        if name in __all__ and hasattr(found := import_module(f"{__name__}.{module}"), name):
            return getattr(found, name)
    raise AttributeError(name)
