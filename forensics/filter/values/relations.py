"""What one value is asked: is it above 90, does it contain a text, is it in a set.

Each relation answers for one value, for an array of numbers, and, where SQL can say it, as a condition
with bound parameters; and it says itself in words.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tensorshark.forensics.filter.fields import SEVERITIES
from tensorshark.traces.text import safe_text

Constant = int | float | str | bool
Bools = NDArray[np.bool_]
Condition = tuple[str, list[Constant]]
"""A SQL condition and its bound parameters."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UFUNC: dict[str, np.ufunc] = {
    "==": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_SQL = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_VERBS = {
    "==": ("is", "is not"),
    "!=": ("differs from", "does not differ from"),
    "<": ("is below", "is not below"),
    "<=": ("is at most", "is not at most"),
    ">": ("exceeds", "does not exceed"),
    ">=": ("is at least", "is not at least"),
}
_WHEN = {
    "==": ("is on", "is not on"),
    "!=": ("is not on", "is on"),
    "<": ("is before", "is not before"),
    "<=": ("is not after", "is after"),
    ">": ("is after", "is not after"),
    ">=": ("is on or after", "is before"),
}
MAX_REGEX_BYTES = 8 << 20
"""Memory that RE2 may use for one pattern."""


def compare(left: Any, operator: str, right: Any) -> Any:
    """`left operator right`, for numbers, texts or arrays."""
    return _COMPARE[operator](left, right)


@lru_cache(maxsize=64)
def _among_float32(operator: str, constant: Any) -> tuple[str, np.floating[Any]]:
    """The same question to float32 numbers, with a constant that is one of them: a tenth of the work.

    Where the constant lies between two of them, beyond it means from the next one on.
    """
    with np.errstate(over="ignore"):
        nearest = np.float32(constant)
    exact, rounded = np.float64(constant), np.float64(nearest)
    if exact == rounded:
        return operator, nearest
    if operator in ("==", "!="):
        return operator, np.float32(np.nan)  # nothing is equal to it
    up = rounded > exact
    if operator in (">", ">="):
        return (">=" if up else ">"), nearest
    return ("<" if up else "<="), nearest


def verb(operator: str, negated: bool) -> str:
    """The operator in a sentence: `exceeds`."""
    return _VERBS[operator][negated]


class Relation(msgspec.Struct, frozen=True):
    """Base of all; asks nothing: is there a value?"""

    def one(self, value: Any) -> bool:
        """Whether the value, which is there, satisfies it."""
        return True

    def array(self, values: NDArray[Any]) -> Bools:
        """`one` for each number."""
        return np.ones(values.shape, dtype=bool)

    def tester(self) -> Callable[[NDArray[np.float32], Bools], object]:
        """`array` for many stretches of float32 cells: writes into truths, False for NaN."""
        return lambda cells, out: np.logical_and(self.array(cells), ~np.isnan(cells), out=out)

    def between(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[Bools, Bools]:
        """For which pairs of numbers a number from one to the other may satisfy it, and surely does."""
        return np.ones(low.shape, dtype=bool), np.zeros(low.shape, dtype=bool)

    @property
    def takes_nan(self) -> bool:
        """True when `array` may say yes to a NaN."""
        return True

    def sql(self, expression: str) -> Condition | None:
        """`one` as SQL about `expression`, which is ours; None when SQL cannot say it."""
        return "1", []

    def words(self, negated: bool = False) -> str:
        """A verb and what follows it: `exceeds 90`."""
        return "is not there" if negated else "is there"


Present = Relation


class Order(Relation, frozen=True):
    """`== != < <= > >=` with a constant."""

    operator: str
    constant: Constant

    def one(self, value: Any) -> bool:
        return bool(compare(value, self.operator, self.constant))

    def array(self, values: NDArray[Any]) -> Bools:
        if values.dtype == np.float32:
            operator, constant = _among_float32(self.operator, self.constant)
        else:
            operator, constant = self.operator, np.float64(self.constant)
        found: Bools = compare(values, operator, constant)
        return found

    def tester(self) -> Callable[[NDArray[np.float32], Bools], object]:
        if self.takes_nan:
            return super().tester()
        operator, constant = _among_float32(self.operator, self.constant)
        test = _UFUNC[operator]
        return lambda cells, out: test(cells, constant, out=out)

    def between(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[Bools, Bools]:
        if self.operator in (">", ">="):
            return self.array(high), self.array(low)
        if self.operator in ("<", "<="):
            return self.array(low), self.array(high)
        constant = np.float64(self.constant)
        within = (low <= constant) & (high >= constant)
        only = within & (low == high)
        return (within, only) if self.operator == "==" else (~only, ~within)

    @property
    def takes_nan(self) -> bool:
        return self.operator == "!="

    def sql(self, expression: str) -> Condition | None:
        return f"{expression} {_SQL[self.operator]} ?", [self.constant]

    def words(self, negated: bool = False) -> str:
        return f"{verb(self.operator, negated)} {said(self.constant)}"


class During(Relation, frozen=True):
    """A comparison with a date, which is a stretch of time: `==` means within it, `<` before it begins,
    `<=` before it ends, `>` from its end on, `>=` from its beginning on."""

    operator: str
    start: str
    stop: str
    shown: str
    """As it was typed."""

    def one(self, value: str) -> bool:
        return {
            "==": self.start <= value < self.stop,
            "!=": not self.start <= value < self.stop,
            "<": value < self.start,
            "<=": value < self.stop,
            ">": value >= self.stop,
            ">=": value >= self.start,
        }[self.operator]

    def sql(self, expression: str) -> Condition | None:
        inside = f"({expression} >= ? AND {expression} < ?)"
        both: list[Constant] = [self.start, self.stop]
        return {
            "==": (inside, both),
            "!=": (f"NOT {inside}", both),
            "<": (f"{expression} < ?", both[:1]),
            "<=": (f"{expression} < ?", both[1:]),
            ">": (f"{expression} >= ?", both[1:]),
            ">=": (f"{expression} >= ?", both[:1]),
        }[self.operator]

    def words(self, negated: bool = False) -> str:
        return f"{_WHEN[self.operator][negated]} {self.shown}"


class Stretch(During, frozen=True):
    """From one date to another, both included: a member of a set."""

    def words(self, negated: bool = False) -> str:
        return f"{'is not' if negated else 'is'} from {self.shown}"


class Severity(Relation, frozen=True):
    """A comparison with `note`, `warn` or `error`, in that order. Any other severity is below them."""

    operator: str
    name: str

    def one(self, value: Any) -> bool:
        rank = SEVERITIES.index(value) if value in SEVERITIES else -1
        return bool(compare(rank, self.operator, SEVERITIES.index(self.name)))

    def sql(self, expression: str) -> Condition | None:
        fitting: list[Constant] = [name for name in SEVERITIES if self.one(name)]
        inside = f"{expression} IN ({','.join('?' * len(fitting))})"
        if not self.one(""):
            return inside, fitting
        others = f"{expression} NOT IN ({','.join('?' * len(SEVERITIES))})"
        return f"({inside} OR {others})", [*fitting, *SEVERITIES]

    def words(self, negated: bool = False) -> str:
        return f"{verb(self.operator, negated)} {self.name}"


class Contains(Relation, frozen=True):
    """The text holds another one, exactly as typed."""

    part: str

    def one(self, value: Any) -> bool:
        return self.part in value

    def sql(self, expression: str) -> Condition | None:
        # On BLOBs: on TEXT, instr would stop at a NUL.
        return f"instr(CAST({expression} AS BLOB), CAST(? AS BLOB)) > 0", [self.part]

    def words(self, negated: bool = False) -> str:
        return f"{'does not contain' if negated else 'contains'} {said(self.part, quoted=True)}"


class Matches(Relation, frozen=True):
    """RE2 finds the pattern somewhere in the text."""

    pattern: str
    literal: str = ""
    """A text that every match holds, for the trigram index; empty when none is known."""

    @property
    def folded(self) -> bool:
        """True when capitals do not count; then they do not in `literal` either."""
        return self.pattern.startswith("(?i)")

    def one(self, value: Any) -> bool:
        return regex(self.pattern).search(value) is not None

    def sql(self, expression: str) -> Condition | None:
        return None

    def words(self, negated: bool = False) -> str:
        return f"{'does not match' if negated else 'matches'} /{safe_text(self.pattern, 80)}/"


class Range(Relation, frozen=True):
    """Between two numbers, both included."""

    low: int | float
    high: int | float

    def one(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def array(self, values: NDArray[Any]) -> Bools:
        return (values >= np.float64(self.low)) & (values <= np.float64(self.high))

    def between(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[Bools, Bools]:
        first, last = np.float64(self.low), np.float64(self.high)
        return (low <= last) & (high >= first), (low >= first) & (high <= last)

    @property
    def takes_nan(self) -> bool:
        return False

    def sql(self, expression: str) -> Condition | None:
        return f"{expression} BETWEEN ? AND ?", [self.low, self.high]

    def words(self, negated: bool = False) -> str:
        return f"{'is not' if negated else 'is'} from {said(self.low)} to {said(self.high)}"


class OneOf(Relation, frozen=True):
    """In a set, or with `outside` in none of its members."""

    members: tuple[Relation, ...]
    outside: bool = False

    def one(self, value: Any) -> bool:
        return any(member.one(value) for member in self.members) != self.outside

    def array(self, values: NDArray[Any]) -> Bools:
        found = np.zeros(values.shape, dtype=bool)
        for member in self.members:
            found |= member.array(values)
        return ~found if self.outside else found

    def between(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[Bools, Bools]:
        bounds = [member.between(low, high) for member in self.members]
        may, must = (np.logical_or.reduce(each, axis=0) for each in zip(*bounds, strict=True))
        return (~must, ~may) if self.outside else (may, must)

    @property
    def takes_nan(self) -> bool:
        return self.outside or any(member.takes_nan for member in self.members)

    def sql(self, expression: str) -> Condition | None:
        conditions = [member.sql(expression) for member in self.members]
        text = " OR ".join(f"({condition[0]})" for condition in conditions if condition)
        parameters = [parameter for condition in conditions if condition for parameter in condition[1]]
        return f"{'NOT ' * self.outside}({text})", parameters

    def words(self, negated: bool = False) -> str:
        kinds = " or ".join(member.words().removeprefix("is ") for member in self.members)
        return f"{'is not' if negated != self.outside else 'is'} {kinds}"


@lru_cache(maxsize=16)
def regex(pattern: str | bytes) -> Any:
    """The compiled pattern; one of bytes is for bytes. Raises `re2.error` for one that RE2 refuses."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MAX_REGEX_BYTES
    return re2.compile(pattern, options)


def said(constant: Constant, quoted: bool = False) -> str:
    """A constant in a sentence: numbers as short as they go, texts quoted unless one plain word."""
    if isinstance(constant, bool):
        return "true" if constant else "false"
    if isinstance(constant, str):
        plain = constant.isascii() and constant.isalnum() and not quoted
        return constant if plain else f'"{safe_text(constant, 80)}"'
    return f"{constant:,}" if isinstance(constant, int) else f"{constant:,.10g}"
