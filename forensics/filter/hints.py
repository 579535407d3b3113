"""What a person probably did not mean by a filter that can be read: said beside it while it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorshark.forensics.filter.answers.costs import label_count, with_inner
from tensorshark.forensics.filter.answers.predicates import Leaf
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import LAYER
from tensorshark.forensics.filter.values.cells import Signal
from tensorshark.forensics.filter.values.measured import Measured
from tensorshark.forensics.filter.values.operands import Selected, Value
from tensorshark.forensics.filter.values.stored import Label
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.sites import ATTENTION
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.forensics.filter.display import Filter
    from tensorshark.traces.index import Index

_SITES = {"pattern": "--patterns"}
"""Site -> how it is captured, where that is not `--sites NAME`."""


def hint(filter: Filter, index: Index, context: Context) -> str:
    """One line, safe to show; empty when there is nothing to say."""
    if getattr(filter, "references", False) and not context.selected:
        return "no trace is selected, and $ speaks of the selected one"
    for leaf in filter.predicate.leaves() if filter.predicate else ():
        for value in with_inner(leaf.values):
            if said := _about(value, leaf, index, context):
                return said
    return ""


def missing(text: str, index: Index, context: Context) -> str:
    """Why a column or a sort key has no value for some traces; for an expression that can be read."""
    from tensorshark.forensics.filter.columns import expression

    for value in with_inner((expression(text, context.macros),)):
        if isinstance(value, Measured) and (said := _measured(value, index)):
            return said
    return ""


def _about(value: Value, leaf: Leaf, index: Index, context: Context) -> str:
    if isinstance(value, Label):
        return _label(value, leaf, index)
    if isinstance(value, Signal):
        return _signal(value, index)
    if isinstance(value, Measured):
        return _measured(value, index) or _depth(value, index)
    if isinstance(value, Selected):
        return _depth(value, index)
    field = getattr(value, "field", None)
    if getattr(field, "kind", "") == "case":
        return _case(str(getattr(field, "name", "")), str(getattr(field, "key", "")), context)
    return ""


def _label(value: Label, leaf: Leaf, index: Index) -> str:
    if not index.query("SELECT 1 FROM label_keys WHERE key = ? LIMIT 1", (value.field.key,)):
        return f"no trace here has {value.field.name}"
    if label_count(leaf, index) == 0:
        return f"no trace here has this value of {value.field.name}"
    return ""


def _signal(value: Signal, index: Index) -> str:
    """Columns know which layers were ever captured."""
    name, stored = value.field.name, index.column(value.field.name).layer_count
    layers = value.pick(LAYER)
    if stored == 0:
        site = name.partition(".")[0]
        return f"no trace here has {name}; capture with {_captured(site)}" if len(index) else ""
    if layers.fixed and not layers.indices(stored):
        return f"{name} has layers 0 to {stored - 1} here"
    return ""


def _measured(value: Measured, index: Index) -> str:
    """What the analyzer needs and no trace has, or why some have no value."""
    from tensorshark.forensics.measured.measuring import Measures

    if len(index) == 0:
        return ""
    field, name = value.declared, value.field.name
    for site in field.sites:
        stat = "entropy" if site == ATTENTION else "norm"
        if site != "pattern" and index.column(f"{site}.{stat}").layer_count == 0:
            return f"{name} needs {site}, which no trace here has; capture with {_captured(site)}"
    models = index.capture.models().values()
    if field.needs.lens and models and all(model.lens.storage == "none" for model in models):
        return f"{name} needs the lens file, which this capture lacks; capture with --lens-file embed"
    try:
        failures = Measures.of(index).failures(field, value.picks)
    except (TensorsharkError, OSError) as error:
        return safe_text(str(error), 200)
    if not failures:
        return ""
    reason, count = max(failures.items(), key=lambda item: item[1])
    return f"{name} is absent in {count:,} trace{'s' * (count != 1)}: {reason}"


def _depth(value: Selected, index: Index) -> str:
    """A layer that no model here has."""
    layers = next((pick for pick in value.picks if pick.axis == LAYER), None)
    deepest = max((model.layers for model in index.capture.models().values()), default=0)
    if layers is None or not deepest or layers.indices(deepest):
        return ""
    return f"the models here have layers 0 to {deepest - 1}"


def _case(name: str, key: str, context: Context) -> str:
    """A mark that nobody made."""
    if not name.startswith("mark."):
        return ""
    made = [] if context.case is None else context.case.mark_names()
    return "" if key in made else f"no trace here has the mark {safe_text(key, 64)}"


def _captured(site: str) -> str:
    return _SITES.get(site, f"--sites {site}")
