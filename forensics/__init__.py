"""The questions one can ask of a capture, and the plugin API for asking new ones.

Importing this package is cheap: no numpy, no torch, nothing read from disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorshark.forensics.analyzer import (
        API_VERSION,
        Analyzer,
        Cells,
        Field,
        Needs,
        Option,
        OptionValue,
    )
    from tensorshark.forensics.results import (
        AnyResult,
        Cell,
        Column,
        Failed,
        Heatmap,
        Line,
        Lines,
        NotApplicable,
        NotCaptured,
        Result,
        Row,
        Table,
        Text,
        TokenStrip,
    )

__all__ = [
    "API_VERSION",
    "Analyzer",
    "AnyResult",
    "Cell",
    "Cells",
    "Column",
    "Failed",
    "Field",
    "Heatmap",
    "Line",
    "Lines",
    "Needs",
    "NotApplicable",
    "NotCaptured",
    "Option",
    "OptionValue",
    "Result",
    "Row",
    "Table",
    "Text",
    "TokenStrip",
]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: whoever reads a capture imports this package, and runs no analyzer."""
    from importlib import import_module

    for module in ("results", "analyzer"):
        if name in __all__ and hasattr(found := import_module(f"{__name__}.{module}"), name):
            return getattr(found, name)
    raise AttributeError(name)
