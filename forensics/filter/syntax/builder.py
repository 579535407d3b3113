"""From the parse tree to the syntax tree: numbers, dates and strings are read here, and places kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tensorshark.forensics.filter.syntax import lalr, tree
from tensorshark.forensics.filter.syntax.lalr import Branch, Token
from tensorshark.traces.errors import FilterError
from tensorshark.traces.text import safe_text

MAX_DEPTH = 64
"""Expressions within expressions."""
MAX_TERMS = 256
"""Comparisons, bare fields and members of sets, all together."""

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
"""What may follow a number: `1.5k`, `8Ki`."""
LATER_UNITS = frozenset({"sigma"})
"""Units that the grammar reads and no check accepts yet."""

_NUMBER = re.compile(r"(?P<hex>0x[0-9a-fA-F]+)|(?P<value>[0-9.]+(?:[eE][+-]?[0-9]+)?)(?P<unit>[A-Za-z]*)")
_MAX_INTEGER = 2**63 - 1
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


def build(root: Branch, text: str) -> tree.Expression:
    """The expression that `root`, parsed from `text`, stands for.

    Raises FilterError for what is grammatical and still cannot be read: `12abc`, the date 2026-02-31, an
    unknown escape, more than MAX_DEPTH levels or MAX_TERMS terms.
    """
    builder = _Builder(text)
    return builder.term(builder.expression(root.children[0]))


class _Builder:
    """Methods are named after the grammar's rules; each makes what its branch stands for."""

    def __init__(self, text: str) -> None:
        self.source = text
        self.terms = 0
        self.depth = 0

    def expression(self, branch: Branch) -> Any:
        """Whatever the branch is: the rule's method builds it."""
        method: Callable[[Branch, tree.Place], Any] = getattr(self, branch.rule)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels deep", _place(branch))
        made = method(branch, _place(branch))
        self.depth -= 1
        return made

    def error(self, reason: str, place: tree.Place, incomplete: bool = False) -> FilterError:
        return FilterError(reason, self.source, place.start, max(1, place.stop - place.start), incomplete)

    def count(self, place: tree.Place) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.error(f"more than {MAX_TERMS} terms", place)

    def term(self, part: tree.Expression) -> tree.Expression:
        """A part of the logic: one that is not logic itself counts as a term."""
        if not isinstance(part, tree.Either | tree.Exclusive | tree.Both | tree.Not):
            self.count(part.place)
        return part

    # Logic

    def parts(self, branch: Branch) -> tuple[Any, ...]:
        return tuple(self.term(self.expression(part)) for part in branch.children[::2])

    def either(self, branch: Branch, place: tree.Place) -> tree.Either:
        return tree.Either(place, self.parts(branch))

    def exclusive(self, branch: Branch, place: tree.Place) -> tree.Exclusive:
        return tree.Exclusive(place, self.parts(branch))

    def both(self, branch: Branch, place: tree.Place) -> tree.Both:
        return tree.Both(place, self.parts(branch))

    def negated(self, branch: Branch, place: tree.Place) -> tree.Not:
        return tree.Not(place, self.term(self.expression(branch.children[1])))

    def compared(self, branch: Branch, place: tree.Place) -> tree.Expression:
        """`a < b <= c` is `a < b and b <= c`."""
        first, *rest = branch.children
        left = self.expression(first)
        steps: list[tree.Expression] = []
        while rest:
            said = rest.pop(0)
            if said.rule == "within":
                steps.append(self.expression(said)(left))
                if rest:
                    raise self.error("a comparison cannot follow a set", _place(rest[0]))
                break
            right = self.expression(rest.pop(0))
            where = left.place.to(right.place)
            steps.append(tree.Compared(where, left, said.children[0].text, _place(said), right))
            left = right
        if len(steps) == 1:
            return steps[0]
        return tree.Both(place, tuple(self.term(step) for step in steps))

    def within(self, branch: Branch, place: tree.Place) -> Callable[[Any], tree.Within]:
        """What stands behind the left side of `in`."""
        *words, members = branch.children
        said = tree.Place(words[0].start, words[-1].stop)
        items = tuple(self.expression(item) for item in members.children)
        where = _place(members)
        return lambda left: tree.Within(left.place.to(place), left, len(words) == 2, said, where, items)

    def item(self, branch: Branch, place: tree.Place) -> tree.Item:
        self.count(place)
        low, *high = (self.expression(end) for end in branch.children)
        return tree.Item(place, low, high[0] if high else None)

    # Values

    def sum(self, branch: Branch, place: tree.Place) -> tree.Arithmetic:
        left, operator, right = branch.children
        return tree.Arithmetic(place, operator.text, self.expression(left), self.expression(right))

    product = sum

    def negative(self, branch: Branch, place: tree.Place) -> tree.Expression:
        value = self.expression(branch.children[1])
        if isinstance(value, tree.Number):
            return tree.Number(place, -value.value, value.unit)
        return tree.Negative(place, value)

    def number(self, branch: Branch, place: tree.Place) -> tree.Number:
        said = branch.children[0].text
        match = _NUMBER.fullmatch(said)
        assert match, "the grammar's NUMBER is what _NUMBER reads"
        if match["hex"]:
            return tree.Number(place, self.bounded(int(match["hex"], 16), place), "")
        unit = match["unit"]
        if unit not in UNITS and unit not in LATER_UNITS:
            if word := word_behind(unit):
                at = tree.Place(place.stop - len(word), place.stop)
                raise self.error(f"a blank is missing before {word}", at)
            known = ", ".join([*filter(None, UNITS), *LATER_UNITS])
            at = tree.Place(place.stop - len(unit), place.stop)
            begun = (*UNITS, *LATER_UNITS, "e")
            typing = at.stop == len(self.source) and any(name.startswith(unit) for name in begun)
            raise self.error(f"{unit} is not a unit; there are {known}", at, incomplete=typing)
        scale = UNITS.get(unit, 1)
        if match["value"].isdigit() and len(match["value"]) <= 20:
            return tree.Number(place, self.bounded(int(match["value"]) * scale, place), unit * (scale == 1))
        value = float(match["value"]) * scale
        if value == float("inf"):
            raise self.error("a number this large cannot be compared", place)
        return tree.Number(place, value, unit * (scale == 1))

    def bounded(self, value: int, place: tree.Place) -> int | float:
        """SQLite's integers have 64 bits; what is larger is compared as a float."""
        if value.bit_length() > 1000:
            raise self.error("a number this large cannot be compared", place)
        return value if value <= _MAX_INTEGER else float(value)

    def date(self, branch: Branch, place: tree.Place) -> tree.Date:
        said = branch.children[0].text
        from tensorshark.forensics.filter.syntax import dates

        found = dates.date(said)
        if found is None:
            raise self.error(f"{said} is not a date", place)
        return tree.Date(place, *found)

    def text(self, branch: Branch, place: tree.Place) -> tree.Text:
        said = branch.children[0].text
        kind = said[0] if said[0] in "rt" else ""
        body = said[len(kind) + 1 : -1]
        value = body if kind == "r" else self.unescaped(body, place.start + len(kind) + 1)
        return tree.Text(place, value, token=kind == "t")

    def unescaped(self, body: str, start: int) -> str:
        def one(match: re.Match[str]) -> str:
            number, other = match[1] or match[2] or match[3], match[4]
            place = tree.Place(start + match.start(), start + match.end())
            if number:
                code = int(number, 16)
                if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                    raise self.error(f"{match[0]} is not a character", place)
                return chr(code)
            if other not in _ESCAPES:
                remedy = 'write the string as r"…", or the backslash as \\\\'
                raise self.error(f"\\{safe_text(other)} is not an escape; {remedy}", place)
            return _ESCAPES[other]

        return _ESCAPE.sub(one, body)

    def truth(self, branch: Branch, place: tree.Place) -> tree.Truth:
        return tree.Truth(place, branch.children[0].text == "true")

    def macro(self, branch: Branch, place: tree.Place) -> tree.Macro:
        return tree.Macro(place, branch.children[0].text)

    def reference(self, branch: Branch, place: tree.Place) -> tree.Reference:
        return tree.Reference(place, self.expression(branch.children[0]))

    def call(self, branch: Branch, place: tree.Place) -> tree.Call:
        name, *arguments = branch.children
        given = tuple(self.expression(argument) for argument in arguments)
        return tree.Call(place, name.text, _place(name), given)

    def argument(self, branch: Branch, place: tree.Place) -> tree.Argument:
        *name, value = branch.children
        return tree.Argument(place, name[0].text if name else "", self.expression(value))

    def quantified(self, branch: Branch, place: tree.Place) -> tree.Quantified:
        said, value = branch.children
        return tree.Quantified(place, _quantifier(said.text), self.expression(value))

    def correlated(self, branch: Branch, place: tree.Place) -> tree.Correlated:
        binder, body = branch.children
        kind, _, names = binder.text.partition("(")
        variables = tuple(name.strip() for name in names.rstrip().rstrip(":").split(","))
        return tree.Correlated(place, _quantifier(kind.strip()), variables, self.term(self.expression(body)))

    # Fields and their selections

    def field(self, branch: Branch, place: tree.Place) -> tree.Field:
        name, *selections = branch.children
        said = name.text
        if name.terminal == "LABEL":
            said = "label." + self.unescaped(said[len('label."') : -1], name.start + len('label."'))
        found = {selection.rule: self.expression(selection) for selection in selections}
        axes = (found.get(axis) for axis in ("layers", "heads", "positions"))
        return tree.Field(place, said, _place(name), *axes)

    def layers(self, branch: Branch, place: tree.Place) -> tree.Selection:
        return tree.Selection(place, tuple(self.expression(part) for part in branch.children))

    heads = positions = layers

    def index(self, branch: Branch, place: tree.Place) -> tree.At:
        digits = branch.children[-1].text
        if not digits.isdigit() or len(digits) > 9:
            raise self.error(f"{digits} is not an index; it has to be a whole number", place)
        return tree.At(int(digits) * (-1 if len(branch.children) == 2 else 1))

    def span(self, branch: Branch, place: tree.Place) -> tree.Through:
        first, _, last = branch.children
        return tree.Through(self.expression(first).index, self.expression(last).index)

    def slice(self, branch: Branch, place: tree.Place) -> tree.Slice:
        found = {end.rule: self.expression(end.children[0]).index for end in branch.children}
        if found.get("step") == 0:
            raise self.error("a step of 0 goes nowhere", place)
        return tree.Slice(found.get("start"), found.get("stop"), found.get("step"))

    def named(self, branch: Branch, place: tree.Place) -> tree.Named:
        name, *parts = branch.children
        said = "".join(part.text for part in name.children)
        return tree.Named(said, tuple(self.expression(part) for part in parts) or None)

    def variable(self, branch: Branch, place: tree.Place) -> tree.Named:
        return tree.Named(branch.children[0].text, None)


def word_behind(unit: str) -> str:
    """The word of the language that stands behind a unit, or in its place, without a blank: `kand`."""
    words = (word for word in lalr.tables().words if unit.endswith(word))
    return next((word for word in words if unit[: -len(word)] in {*UNITS, *LATER_UNITS}), "")


def _place(part: Token | Branch) -> tree.Place:
    return tree.Place(part.start, part.stop)


def _quantifier(word: str) -> tree.Quantifier:
    return "all" if word == "all" else "any"
