"""Filters at random, about the traces that there are: the same seed gives the same filters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.forensics.filter.naive.cells import HEAD, LAYER, POS
from tests.forensics.filter.naive.draw_values import PARTS, PATTERNS, Values
from tests.forensics.filter.naive.facts import SEVERITIES, Facts
from tests.forensics.filter.naive.fields import Constant, Field, Many, Node, One, Pick, everything
from tests.forensics.filter.naive.functions import Arithmetic
from tests.forensics.filter.naive.language import ARITHMETIC, CORRELATED, PAIRS, TOKENS
from tests.forensics.filter.naive.questions import (
    COMPARE,
    SPELLED,
    Asked,
    Correlated,
    Has,
    Logic,
    Not,
    Paired,
    Question,
    Relation,
    Truth,
    Within,
    meets_several,
    severity,
)


def quoted(text: str) -> str:
    """As the language writes text."""
    escapes = {"\\": "\\\\", '"': '\\"', "\0": "\\0", "\n": "\\n"}
    return '"' + "".join(escapes.get(c, c) for c in text) + '"'


def number(value: float) -> str:
    """As the language writes a number."""
    return repr(value) if value >= 0 else f"-{-value!r}"


class Generator(Values):
    """Filters about these traces."""

    def __init__(self, seed: int | str, known: Sequence[Facts], language: frozenset[str]) -> None:
        if max((len(facts.tokens) for facts in known), default=0) > 100:
            language -= {CORRELATED}  # the evaluator goes cell by cell
        super().__init__(seed, language)
        self.known = known
        self.floats = sorted(_some_cells(known)) or [1.0]
        self.times = sorted({facts.one["time"] for facts in known})
        labels = {
            text for facts in known for text in (*facts.labels.values(), *facts.tokens[:3], *facts.tags)
        }
        ids = {facts.one[name] for facts in known for name in ("id", "model") if name in facts.one}
        self.texts = [*sorted(labels | ids), *PARTS]

    def question(self, depth: int = 2) -> Question:
        """A whole filter."""
        if depth and self.chance(0.3):
            return self.logic(lambda: self.question(depth - 1))
        if self.can(CORRELATED, 0.15):
            return self.correlated()
        return self.leaf({})

    def logic(self, part: Callable[[], Question]) -> Question:
        """and, or, xor, not."""
        word = self.choice(("and", "&&", "or", "||", "xor", "^^", "not ", "!"))
        if word in ("not ", "!"):
            return Not(part(), word)
        return Logic(word, tuple(part() for _ in range(self.choice((2, 2, 3)))))

    def correlated(self) -> Question:
        """any(l, p: …)."""
        axes = self.random.sample((LAYER, HEAD, POS), self.choice((1, 1, 2, 2, 3)))
        variables = tuple(("lhp"[axis] if self.chance(0.5) else f"v{axis}", axis) for axis in sorted(axes))
        bound = {axis: name for name, axis in variables}
        leaves = [self.bound_leaf(bound, (axis,)) for axis in axes]
        if self.chance(0.5):
            leaves = [self.bound_leaf(bound, axes)]
        if self.chance(0.4):
            leaves.append(self.leaf(bound) if self.chance(0.7) else self.leaf({}))
        body: Question = leaves[0]
        for leaf in leaves[1:]:
            body = Logic(self.choice(("and", "&&", "or", "xor")), (body, leaf))
        if self.chance(0.2):
            body = Not(body, "not ")
        if meets_several(body, {name for name, axis in variables if axis == POS}):
            return self.correlated()  # refused
        return Correlated(self.choice(("any", "any", "all")), variables, body)

    def bound_leaf(self, bound: Mapping[int, str], axes: Sequence[int]) -> Question:
        """A comparison that uses the variables of these axes."""
        value: Node = self.signal(bound, use=axes)
        if HEAD not in axes and POS in axes and LAYER not in axes and self.chance(0.3):
            return self.asked_text(
                Field("token", None, None, Pick(bound[POS], everything, bare=True, variable=True))
            )
        if self.can(ARITHMETIC, 0.2):
            value = self.arithmetic(bound, 1, value)
        return self.asked_number(value)

    def leaf(self, bound: Mapping[int, str]) -> Question:
        """One comparison."""
        make = self.random.choices(
            (self.of_number, self.of_text, self.of_two, self.of_others, self.has),
            weights=(10, 4, 3, 3, 2),
        )[0]
        return make(bound)

    def of_number(self, bound: Mapping[int, str]) -> Question:
        return self.asked_number(self.number(bound))

    def asked_number(self, value: Node) -> Question:
        """A number against constants."""
        quantifier, around = self.choice(("", "", "any", "all")), self.chance(0.3)
        if self.chance(0.1):
            (low, low_at), (high, high_at) = self.compares(value)[1], self.compares(value)[1]
            low_side, high_side = (
                Asked(value, Relation("", op == "!=", _against(op, at)))
                for op, at in ((low, low_at), (high, high_at))
            )
            said = f"{number(low_at)} {_flip(low)} {value} {high} {number(high_at)}"
            return Within(low_side, high_side, said)
        if self.chance(0.25):
            return Asked(value, self.numbers_set(value), quantifier, around)
        said, (operator, constant) = self.compares(value)
        return Asked(
            value, Relation(said, operator == "!=", _against(operator, constant)), quantifier, around
        )

    def compares(self, value: Node) -> tuple[str, tuple[str, float]]:
        """`> 3`, and what it says."""
        operator = self.choice(list(COMPARE))
        constant = self.constant(value)
        spelled = self.choice((operator, SPELLED[operator]))
        return f"{spelled} {number(constant)}", (operator, constant)

    def constant(self, value: Node) -> float:
        """A number to compare `value` with; never a tie where the last bits are open."""
        for_exact = (
            lambda: self.random.randint(-3, 40),
            lambda: self.choice(self.floats),
            lambda: round(self.choice(self.floats), 3),
            lambda: self.of_now(value),
        )
        made = float(self.choice(for_exact)()) if value.exact else self.of_now(value)
        if value.exact:
            return int(made) if made.is_integer() and abs(made) < 1e9 else made
        return round(made, 3) + 0.000123

    def of_now(self, value: Node) -> float:
        """What the value is in some trace, where that is easily said."""
        return self.choice(self.floats) * self.choice((1.0, 1.0, 0.1, -1.0))

    def numbers_set(self, value: Node) -> Relation:
        """`in {…}`."""
        members, tests = [], []
        for _ in range(self.random.randint(1, 3)):
            low, high = sorted((self.constant(value), self.constant(value)))
            if self.chance(0.5):
                members.append(f"{number(low)}..{number(high)}")
                tests.append((low, high))
            else:
                members.append(number(low))
                tests.append((low, low))
        negated = self.chance(0.5)
        said = ("not in {" if negated else "in {") + ", ".join(members) + "}"
        return Relation(said, negated, lambda v: any(low <= v <= high for low, high in tests) != negated)

    def of_text(self, bound: Mapping[int, str]) -> Question:
        return self.asked_text(self.text(bound))

    def asked_text(self, value: Node) -> Question:
        """A text against constants."""
        quantifier, around = self.choice(("", "", "any", "all")), self.chance(0.3)
        kind = self.choice(("compare", "compare", "in", "contains", "matches"))
        if kind == "contains":
            part = self.choice(PARTS)
            relation = Relation(f"contains {quoted(part)}", False, lambda v: part in v)
        elif kind == "matches":
            pattern = self.choice(PATTERNS)
            regex = re.compile(pattern.replace("$", r"\Z"))
            said = f'{self.choice(("matches", "~"))} r"{pattern}"'
            relation = Relation(said, False, lambda v: regex.search(v) is not None)
        elif kind == "in":
            members = [self.choice(self.texts) for _ in range(self.random.randint(1, 3))]
            negated = self.chance(0.5)
            said = ("not in {" if negated else "in {") + ",".join(map(quoted, members)) + "}"
            relation = Relation(said, negated, lambda v: (v in members) != negated)
        else:
            operator, constant = self.choice(list(COMPARE)), self.choice(self.texts)
            said = quoted(constant)
            if TOKENS in self.language and _is_token(value) and constant and self.chance(0.5):
                said = 't"' + byte_level(constant).replace("\\", "\\\\").replace('"', '\\"') + '"'
            relation = Relation(f"{operator} {said}", operator == "!=", _against(operator, constant))
        return Asked(value, relation, quantifier, around)

    def of_two(self, bound: Mapping[int, str]) -> Question:
        """Two values beside each other."""
        operator = self.choice(list(COMPARE))
        if PAIRS in self.language and self.chance(0.7):
            left, right = self.number(bound), self.number(bound)
            quantifier, around = self.choice(("", "", "any", "all")), self.chance(0.3)
            if not (left.exact and right.exact):
                if ARITHMETIC not in self.language:
                    return self.asked_number(left)
                right = Arithmetic("+", right, Constant(0.000123, "0.000123"))
                operator = self.choice(("<", ">"))
            return Paired(left, operator, right, quantifier, around)
        plain = [One(name, "number") for name in ("seq_len", "next.p", "number")]
        left, right = (self.choice((self.choice(plain), self.signal({}, single=True))) for _ in "ab")
        return Paired(left, operator, right)

    def of_others(self, bound: Mapping[int, str]) -> Question:
        """Times, severities, true and false."""
        kind = self.choice(("time", "severity", "truth"))
        operator, quantifier = self.choice(list(COMPARE)), self.choice(("", "", "any", "all"))
        if kind == "time":
            cut = self.choice((10, 16, 19, 23, 26))  # day, minute, second, millisecond, microsecond
            constant = self.choice(self.times)[:cut]
            said = constant + (self.choice(("", "Z")) if cut > 10 else "")
            # A date is all the instants that begin with it.
            relation = Relation(
                f"{operator} {said}", operator == "!=", lambda v: COMPARE[operator](v[:cut], constant)
            )
            return Asked(One("time", "time"), relation, quantifier)
        if kind == "severity":
            name = self.choice(SEVERITIES)
            level = severity(name)
            relation = Relation(
                f"{operator} {name}", operator == "!=", lambda v: COMPARE[operator](severity(v), level)
            )
            return Asked(Many("expert.severity"), relation, quantifier)
        truth = self.truth()
        operator, wanted = self.choice(("==", "!=")), self.chance(0.5)
        relation = Relation(
            f"{operator} {'true' if wanted else 'false'}", operator == "!=", _against(operator, wanted)
        )
        return self.choice((Truth(truth), Has(truth, False), Asked(truth, relation)))

    def has(self, bound: Mapping[int, str]) -> Question:
        """Whether there is any value."""
        tensor = Field(
            self.choice(("resid_pre", "resid_post", "mlp_out", "pattern")), self.pick(LAYER), None, None
        )
        if self.chance(0.2):
            return Has(tensor, False)
        plain = self.choice((self.signal(bound), self.tokens(bound), self.simple_text()))
        return Has(plain, self.chance(0.5))


def _against(operator: str, constant: Any) -> Callable[[Any], bool]:
    return lambda value: COMPARE[operator](value, constant)


def _flip(operator: str) -> str:
    return {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(operator, operator)


def _is_token(value: Node) -> bool:
    return (isinstance(value, Field) and value.name == "token") or str(value) == "next.token"


def _some_cells(known: Sequence[Facts]) -> set[float]:
    """Numbers that are in these traces."""
    arrays = [rows for facts in known for layers in facts.stats.values() for rows in layers.values()]
    return {x for rows in arrays for x in np.ravel(rows).tolist()[:2] if math.isfinite(x)}


def byte_level(text: str) -> str:
    """As the vocabularies of byte-level BPE spell a token: `Ġthe`."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(alphabet[byte] for byte in text.encode())
