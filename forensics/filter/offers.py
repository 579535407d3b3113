"""Words that can be offered while a filter is typed: of the tables, the capture, the case, the macros."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import (
    SELECTORS,
    SEVERITIES,
    FieldInfo,
    Type,
    fields,
    quote,
)
from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES, Function
from tensorshark.forensics.filter.syntax.builder import LATER_UNITS, UNITS
from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

Kind = Literal["field", "value", "operator", "function", "keyword", "span", "macro", "variable", "history"]

MOST_VALUES = 50
"""Of one label."""
BUDGET_S = 0.001
"""How long a key counts how many traces have which field; see `coverage`."""

OPERATORS: dict[Type, tuple[str, ...]] = {
    "text": ("==", "!=", "contains", "matches", "in"),
    "number": (">", "<", ">=", "<=", "==", "!=", "in"),
    "time": (">=", "<", "==", "in"),
    "severity": (">=", "==", "in"),
    "truth": (),
    "tensor": (),
}
"""Type -> the operators that make sense behind a value of it, the likely ones first."""

_LANGUAGE = {"and": "both", "or": "either, or both", "xor": "one of them", "not": "the contrary"}
_QUANTIFIERS = {"any(": "one value is enough", "all(": "every value has to"}
_LETTERS = {"number": "f", "text": "text", "any": "f", "tensor": "t"}
_SPAN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_span_names: dict[tuple[str, int], list[str]] = {}
"""(uuid of a capture, traces looked at) -> names of their spans."""


class Offer(NamedTuple):
    """One word."""

    text: str
    kind: Kind
    detail: str
    """Safe to show."""


class Offers:
    """Words for one capture, or for none."""

    def __init__(self, index: Index | None, context: Context) -> None:
        self._index = index
        self._context = context

    # Operands

    def operands(self, type: Type | None) -> Iterator[Offer]:
        """Fields and functions, of one type or of all."""
        for info in self._fields():
            if type in (None, info.type):
                yield Offer(info.name.removesuffix("*"), "field", self._about(info))
        yield from self._marks(type)
        for function in FUNCTIONS.values():
            if type in (None, function.gives):
                yield Offer(f"{function.name}(", "function", f"{signature(function)}: {function.help}")

    def references(self, type: Type | None) -> Iterator[Offer]:
        """Fields of the selected trace, of one type or of all."""
        chosen = "" if self._context.selected else "no trace is selected; "
        for info in self._fields():
            fits = info.type == type if type else info.type in ("number", "text", "tensor")
            if fits and not info.many and "*" not in info.name:
                detail = f"{chosen}{info.help}, in the selected trace"
                yield Offer(f"${info.name}", "field", detail)

    def macros(self) -> Iterator[Offer]:
        """Macros by name."""
        for name, text in sorted(self._context.macros.items()):
            if _PLAIN.fullmatch(name):
                takes = "$1" in text
                yield Offer(f"${{{name}{'(' if takes else '}'}", "macro", safe_text(text, 80))

    def _fields(self) -> list[FieldInfo]:
        return fields(self._index, BUDGET_S)

    def _about(self, info: FieldInfo) -> str:
        """`number #layer [pos]; nats; 12,031 of 50,000 traces`."""
        axes = "".join(f" {SELECTORS[axis]}{axis}{']' * (axis == 'pos')}" for axis in info.axes)
        have = ""
        if self._index is not None and not info.always:
            have = covered(info, len(self._index))
        source = info.source if info.kind == "analyzer" else ""
        said = (info.type + axes, info.unit, have, source, "" if info.kind == "label" and have else info.help)
        return "; ".join(filter(None, said))

    def _marks(self, type: Type | None) -> Iterator[Offer]:
        """`mark.NAME` of the case."""
        if type in (None, "truth") and self._context.case is not None:
            for name in self._context.case.mark_names()[:MOST_VALUES]:
                if _PLAIN.fullmatch(name):
                    yield Offer(f"mark.{name}", "field", "truth; marked so in the case")

    # Constants

    def values(self, subject: FieldInfo, operator: str, typed: str) -> Iterator[Offer]:
        """Constants that the field is known to have."""
        if subject.type == "severity":
            yield from (Offer(name, "value", "") for name in SEVERITIES)
        elif subject.type == "truth":
            yield from (Offer(name, "value", "") for name in ("true", "false"))
        elif subject.type == "text" and operator not in ("matches", "~"):
            for value, count in self._known(subject, typed.lstrip("rt\"'") if typed[:2] else ""):
                yield Offer(quote(value), "value", f"{count:,} traces" if count else subject.name)
        if subject.tokens and operator not in ("matches", "~", "contains"):
            yield Offer('t"', "value", "a token as the tokenizer spells it: Ġ is a space")
            yield Offer("t:", "value", "a token by its number in the vocabulary")

    def _known(self, subject: FieldInfo, begun: str) -> list[tuple[str, int]]:
        """(value, traces) of a field with few values; of labels, only those that begin like this."""
        if subject.name == "tag" and self._context.case is not None:
            return [(name, 0) for name in self._context.case.tag_names()[:MOST_VALUES]]
        index = self._index
        if index is None:
            return []
        if subject.kind == "label":
            query = """SELECT value, count FROM label_keys
                       WHERE key = ? AND value >= ? AND value < ? ORDER BY value LIMIT ?"""
            return index.query(query, (subject.key, begun, begun + "\U0010ffff", MOST_VALUES))
        if subject.kind == "expert":
            query = "SELECT code, count(*) FROM experts GROUP BY code ORDER BY code LIMIT ?"
            return index.query(query, (MOST_VALUES,))
        if subject.name == "model":
            return [(name, 0) for name in sorted(index.capture.models())]
        return []

    def units(self, typed: str, within: bool) -> Iterator[Offer]:
        """Units whose first letter was typed: 3s -> 3sigma. A number alone is whole, and wants no menu."""
        number = _NUMBER.match(typed)
        if number is None or number[0] == typed:
            return
        digits = number[0]
        for unit, scale in UNITS.items():
            if unit:
                yield Offer(f"{digits}{unit}", "value", f"times {scale:,}")
        if "zscore" in FUNCTIONS and not within:
            for unit in ("sigma", *LATER_UNITS - {"sigma"}):
                yield Offer(f"{digits}{unit}", "value", "standard deviations from the mean of all traces")

    def spans(self) -> Iterator[Offer]:
        """Names of spans: those that captures usually have, and those of the first traces."""
        index = self._index
        looked = min(len(index), 4) if index is not None else 0
        key = (index.capture.uuid if index is not None else "", looked)
        if key not in _span_names:
            names = {"prompt", "response"}
            for number in range(1, looked + 1):
                with suppress(TensorsharkError):
                    assert index is not None
                    names |= set(index.trace(number).spans)
            _span_names[key] = [name for name in sorted(names) if _SPAN.fullmatch(name)]
        yield from (Offer(f"{name}]", "span", "tokens of this span") for name in _span_names[key])

    # Words of the language

    def quantifiers(self) -> Iterator[Offer]:
        """any( and all(."""
        yield from (Offer(text, "keyword", detail) for text, detail in _QUANTIFIERS.items())

    def predicates(self) -> Iterator[Offer]:
        """has( and not."""
        yield from (Offer(f"{name}(", "function", f"{name}(f): {help}") for name, help in PREDICATES.items())
        yield Offer("not ", "keyword", _LANGUAGE["not"])

    def operators(self, type: Type) -> Iterator[Offer]:
        """Those that make sense behind a value of this type."""
        yield from (Offer(f"{text} ", "operator", f"of {type}") for text in OPERATORS[type])

    def connectives(self) -> Iterator[Offer]:
        """and, or."""
        yield from (Offer(f"{text} ", "keyword", _LANGUAGE[text]) for text in ("and", "or"))

    def named_arguments(self, call: str) -> Iterator[Offer]:
        """Arguments that a function takes by name."""
        function = FUNCTIONS.get(call)
        if function is None:
            return
        for name, help in named(function).items():
            yield Offer(f"{name}=", "keyword", help)


def covered(info: FieldInfo, traces: int) -> str:
    """`12,031 of 50,000 traces`; empty where that is not known."""
    return "" if info.traces is None else f"{info.traces:,} of {traces:,} traces"


def signature(function: Function) -> str:
    """`quantile(f, q)`: how a function is written."""
    if function.signature:
        return function.signature
    letters = [_LETTERS[function.takes], "u"][: function.tensors]
    return f"{function.name}({', '.join([*letters, *(each.name for each in function.constants)])})"


def named(function: Function) -> dict[str, str]:
    """Arguments that a function takes by name -> what they say."""
    return {"over": "the traces to compare with: a filter"} if function.name == "zscore" else {}
