"""What the filter language means, a second time: plain Python over traces, one at a time, without an index.

Written from docs/filter.md and not from the engine. A question is a pair: the filter's text, and a function
of a trace's facts that says whether it matches. `questions(facts)` is a hypothesis strategy of such pairs.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tensorshark.traces.errors import TensorsharkError
from tensorshark.traces.store import Capture

ORDER = ("note", "warn", "error")


@dataclass
class Facts:
    """One trace, read the slow way; what is not there is missing from `one`."""

    number: int
    one: dict[str, Any]
    """Fields with one value."""
    labels: dict[str, str] = field(default_factory=dict)
    experts: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    spans: dict[str, slice] = field(default_factory=dict)
    depth: int = 0
    heads: int = 0
    stats: dict[str, dict[int, Any]] = field(default_factory=dict)
    """Field -> layer -> nested lists ([head,] pos)."""
    sites: dict[str, list[int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<trace {self.number}>"


def facts_of(capture: Capture) -> list[Facts]:
    """All traces, in capture order."""
    return [_facts(capture, number, entry) for number, entry in enumerate(capture.journal(), 1)]


def _facts(capture: Capture, number: int, entry: Any) -> Facts:
    found = Facts(number, {"number": number, "id": entry.id, "time": entry.committed_at})
    try:
        trace = capture.trace(entry.id)
    except TensorsharkError:
        found.experts = [("error", "integrity")]
        return found
    manifest = trace.manifest
    found.one |= {
        "time": manifest.captured_at,
        "model": manifest.model,
        "prompt": trace.prompt,
        "text": trace.text,
        "seq_len": len(trace.token_ids),
        "dtype": manifest.provenance.dtype,
        "bos": manifest.provenance.bos_added,
        "layers": len({layer for site in manifest.sites for layer in site.layers}),
    }
    if manifest.next_tokens:
        found.one |= {"next.token": manifest.next_tokens[0].token, "next.p": manifest.next_tokens[0].p}
    found.labels = trace.labels
    found.experts = list({(expert.severity, expert.code): None for expert in manifest.experts})
    found.tokens, found.token_ids, found.spans = trace.tokens, trace.token_ids, trace.spans
    found.depth, found.heads = trace.model.layers, trace.model.heads
    found.sites = {name: site.layers for name, site in trace.sites.items()}
    try:
        stats = trace.stats
    except TensorsharkError:
        found.experts.append(("error", "integrity"))
        return found
    for key, array in stats.items():
        name = key if key.startswith("attn.") else ".".join(reversed(key.split(".")))
        layers = trace.sites[name.split(".")[0]].layers
        found.stats[name] = dict(zip(layers, array.astype(float).tolist(), strict=True))
    return found


Pick = Callable[[int, dict[str, slice]], list[int]]
Values = Callable[[Facts], list[Any]]
Test = Callable[[Any], bool]
Match = Callable[[Facts], bool]
Question = tuple[str, Match]


def _dense(value: float) -> str:
    return repr(value) if value >= 0 else f"-{-value!r}"


# Selections


def picks(spans: bool) -> SearchStrategy[tuple[str, Pick]]:
    """What stands in brackets, and the indices it means."""
    small = st.integers(-5, 6)

    def at(i: int) -> tuple[str, Pick]:
        return f"{i}", lambda size, _: [i] if 0 <= i < size else [i + size] if -size <= i < 0 else []

    def through(a: int, b: int) -> tuple[str, Pick]:
        a, b = (a, b) if (a < 0) != (b < 0) else sorted((a, b))

        def indices(size: int, _: dict[str, slice]) -> list[int]:
            first, last = (end + size if end < 0 else end for end in (a, b))
            return [i for i in range(size) if first <= i <= last]

        return f"{a}-{b}", indices

    def sliced(a: int | None, b: int | None, step: int | None) -> tuple[str, Pick]:
        said = [("" if end is None else str(end)) for end in (a, b)]
        text = ":".join(said) + (f":{step}" if step else "")
        return text, lambda size, _: list(range(size))[a : b : step or None]

    def span(name: str, inner: tuple[str, Pick] | None) -> tuple[str, Pick]:
        def indices(size: int, known: dict[str, slice]) -> list[int]:
            if name != "all" and name not in known:
                return []
            within = list(range(size)) if name == "all" else list(range(size))[known[name]]
            return within if inner is None else [within[i] for i in inner[1](len(within), {})]

        return name if inner is None else f"{name}[{inner[0]}]", indices

    part = (
        st.builds(at, small)
        | st.builds(through, small, small)
        | st.builds(sliced, st.none() | small, st.none() | small, st.sampled_from((None, 1, 2, -1)))
    )
    if spans:
        names = st.sampled_from(("prompt", "response", "all", "user.2"))
        part = part | st.builds(span, names, st.none() | st.builds(at, small))

    def joined(parts: list[tuple[str, Pick]]) -> tuple[str, Pick]:
        def indices(size: int, known: dict[str, slice]) -> list[int]:
            return sorted({i for _, pick in parts for i in pick(size, known)})

        return ",".join(text for text, _ in parts), indices

    return st.lists(part, min_size=1, max_size=2).map(joined)


def everything(size: int, _: dict[str, slice]) -> list[int]:
    return list(range(size))


@st.composite
def signals(draw: Any, single: bool = False) -> tuple[str, Values]:
    """A field of the statistics with selections; `single` leaves one cell."""
    site = st.sampled_from(("resid_pre", "attn_out", "mlp_out", "resid_post"))
    residual = st.builds("{}.{}".format, site, st.sampled_from(("norm", "absmax")))
    name = draw(residual | st.sampled_from(("attn.entropy", "attn.entropy_rest", "attn.sink")))
    index = st.integers(-3, 4).map(lambda i: (str(i), _only(i)))
    bracketed = lambda spans: picks(spans).map(lambda pick: (f"[{pick[0]}]", pick[1]))  # noqa: E731
    layer = draw(index if single else index | bracketed(False) | st.none())
    head = (
        draw(index if single else index | bracketed(False) | st.none()) if name.startswith("attn.") else None
    )
    last = st.just(("-1", _only(-1)))
    pos = draw(last | index if single else last | last | picks(True) | st.none())
    text = name
    text += f"#{layer[0]}" if layer else ""
    text += f":{head[0]}" if head else ""
    text += f"[{pos[0]}]" if pos else ""
    pick_layer, pick_head, pick_pos = (pick[1] if pick else everything for pick in (layer, head, pos))

    def values(facts: Facts) -> list[float]:
        found = []
        stat = facts.stats.get(name, {})
        for chosen in pick_layer(facts.depth, {}):
            rows = stat.get(chosen)
            if rows is None:
                continue
            per_head = [rows[h] for h in pick_head(len(rows), {})] if name.startswith("attn.") else [rows]
            for row in per_head:
                found += [row[p] for p in pick_pos(len(row), facts.spans)]
        return [value for value in found if not math.isnan(value)]

    return text, values


def _only(i: int) -> Pick:
    return lambda size, _: [i] if 0 <= i < size else [i + size] if -size <= i < 0 else []


def _one(name: str) -> tuple[str, Values]:
    return name, lambda facts: [facts.one[name]] if name in facts.one else []


def _label(key: str, text: str) -> tuple[str, Values]:
    return text, lambda facts: [facts.labels[key]] if key in facts.labels else []


LABELLED = st.sampled_from(
    (
        _label("category", "label.category"),
        _label("split", "label.split"),
        _label("odd key", 'label."odd key"'),
        _label("nowhere", "label.nowhere"),
    )
)


@st.composite
def tokens(draw: Any) -> tuple[str, Values]:
    """Tokens as text or as ids."""
    pos = draw(picks(True) | st.none())
    which = draw(st.sampled_from(("token", "token.id")))
    text = which + (f"[{pos[0]}]" if pos else "")
    pick = pos[1] if pos else everything

    def values(facts: Facts) -> list[Any]:
        source: Sequence[Any] = facts.tokens if which == "token" else facts.token_ids
        return [source[i] for i in pick(len(source), facts.spans)]

    return text, values


def _applied(name: str, function: Callable[[list[Any]], Any]) -> Callable[[tuple[str, Values]], Any]:
    def apply(inner: tuple[str, Values]) -> tuple[str, Values]:
        def values(facts: Facts) -> list[Any]:
            found = inner[1](facts)
            if not found and name != "count":
                return []
            made = function(found)
            return [] if isinstance(made, float) and math.isnan(made) else [made]

        return f"{name}({inner[0]})", values

    return apply


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if any(map(math.isinf, values)) else statistics.fmean(values)


def _std(values: list[float]) -> float:
    if any(map(math.isinf, values)):
        return math.nan
    return statistics.pstdev(values)


def texts() -> SearchStrategy[tuple[str, Values]]:
    """Values that are text."""
    plain = st.sampled_from([_one(name) for name in ("id", "model", "prompt", "text", "dtype", "next.token")])
    codes = st.just(("expert.code", lambda facts: [code for _, code in facts.experts]))
    simple = plain | LABELLED | codes
    each = lambda name, function: simple.map(  # noqa: E731
        lambda inner: (f"{name}({inner[0]})", lambda facts: [function(v) for v in inner[1](facts)])
    )
    words = tokens().filter(lambda value: not value[0].startswith("token.id"))
    return simple | words | each("lower", str.lower) | each("upper", str.upper)


def numbers() -> SearchStrategy[tuple[str, Values]]:
    """Values that are numbers."""
    plain = st.sampled_from([_one(name) for name in ("number", "seq_len", "layers", "next.p")])
    ids = tokens().filter(lambda value: value[0].startswith("token.id"))
    lengths = (LABELLED | st.sampled_from([_one("prompt"), _one("text")])).map(
        lambda inner: (f"len({inner[0]})", lambda facts: [len(v) for v in inner[1](facts)])
    )
    residuals = signals().filter(lambda value: not value[0].startswith("attn."))
    reduced = (
        signals().map(_applied("max", max))
        | signals().map(_applied("min", min))
        | signals().map(_applied("median", lambda values: float(np.median(values))))
        | residuals.map(_applied("mean", _mean))
        | signals().map(_applied("std", _std))
        | (signals() | ids | LABELLED).map(_applied("count", len))
        | st.just(("count(expert.code)", lambda facts: [len(facts.experts)]))
    )
    return plain | ids | lengths | signals() | signals() | reduced


# Questions


def asked(value: tuple[str, Values], operator: str, constant: str, test: Test, quantifier: str) -> Question:
    """`value operator constant`, with or without any(…) and all(…)."""
    text, values = value
    negative = operator in ("!=", "not in")
    every = quantifier == "all" or (not quantifier and negative)
    said = f"{quantifier}({text})" if quantifier else text

    def match(facts: Facts) -> bool:
        found = values(facts)
        return bool(found) and (all if every else any)(test(value) for value in found)

    return f"{said} {operator} {constant}", match


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
SPELLED = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
QUANTIFIERS = st.sampled_from(("", "", "any", "all"))


def quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\0": "\\0", "\n": "\\n"}
    return '"' + "".join(escapes.get(c, c) for c in text) + '"'


def questions(known: list[Facts]) -> SearchStrategy[Question]:
    """Filters about these traces, with constants that come from them and others."""
    cells = sorted(
        {
            value
            for facts in known
            for layers in facts.stats.values()
            for rows in layers.values()
            for value in np.ravel(rows).tolist()[:3]
            if math.isfinite(value)
        }
    )
    said = sorted(
        {text for facts in known for text in [*facts.labels.values(), *facts.tokens[:3]]}
        | {str(facts.one[name]) for facts in known for name in ("id", "model") if name in facts.one}
    )
    parts = [
        "",
        "a",
        "the",
        "The",
        "ignore",
        "after",
        "e\0a",
        "\0",
        "hunter2",
        "🦈",
        "%",
        "_sure",
        "İ",
        "s",
        '"',
    ]
    constants = (
        st.integers(-3, 40).map(lambda i: (str(i), i))
        | st.sampled_from(cells).map(lambda x: (_dense(x), x))
        | st.sampled_from(cells).map(lambda x: (_dense(round(x, 3)), round(x, 3)))
    )
    return st.recursive(
        _of_numbers(constants) | _of_texts(said, parts) | _of_others(known) | _of_two(),
        _logic,
        max_leaves=6,
    )


def _of_numbers(constants: SearchStrategy[tuple[str, float]]) -> SearchStrategy[Question]:
    @st.composite
    def compared(draw: Any) -> Question:
        value, (text, constant) = draw(numbers()), draw(constants)
        if value[0].startswith(("mean(", "std(")):  # the last bit depends on the order of the sum
            constant = round(constant, 3) + 0.000123
            text = _dense(constant)
        operator = draw(st.sampled_from(list(COMPARE)))
        spelled = draw(st.sampled_from((operator, SPELLED[operator])))
        question = asked(value, operator, text, lambda v: COMPARE[operator](v, constant), draw(QUANTIFIERS))
        return question[0].replace(f" {operator} {text}", f" {spelled} {text}"), question[1]

    @st.composite
    def within(draw: Any) -> Question:
        members, tests = [], []
        for _ in range(draw(st.integers(1, 3))):
            (low_text, low), (high_text, high) = sorted(
                (draw(constants), draw(constants)), key=lambda constant: constant[1]
            )
            if draw(st.booleans()):
                members.append(f"{low_text}..{high_text}")
                tests.append(lambda v, low=low, high=high: low <= v <= high)
            else:
                members.append(low_text)
                tests.append(lambda v, low=low: v == low)
        negated = draw(st.booleans())
        operator = "not in" if negated else "in"
        value = draw(numbers().filter(lambda value: not value[0].startswith(("mean(", "std("))))
        test: Test = lambda v: any(test(v) for test in tests) != negated  # noqa: E731
        return asked(value, operator, "{" + ", ".join(members) + "}", test, draw(QUANTIFIERS))

    return compared() | within()


def _of_texts(said: list[str], parts: list[str]) -> SearchStrategy[Question]:
    whole = st.sampled_from([*said, *parts])

    @st.composite
    def compared(draw: Any) -> Question:
        operator, constant = draw(st.sampled_from(list(COMPARE))), draw(whole)
        test: Test = lambda v: COMPARE[operator](v, constant)  # noqa: E731
        return asked(draw(texts()), operator, quoted(constant), test, draw(QUANTIFIERS))

    @st.composite
    def within(draw: Any) -> Question:
        members, negated = draw(st.lists(whole, min_size=1, max_size=3)), draw(st.booleans())
        test: Test = lambda v: (v in members) != negated  # noqa: E731
        operator = "not in" if negated else "in"
        return asked(
            draw(texts()), operator, "{" + ",".join(map(quoted, members)) + "}", test, draw(QUANTIFIERS)
        )

    @st.composite
    def contains(draw: Any) -> Question:
        part = draw(st.sampled_from(parts))
        return asked(draw(texts()), "contains", quoted(part), lambda v: part in v, draw(QUANTIFIERS))

    @st.composite
    def matches(draw: Any) -> Question:
        patterns = (
            "the",
            "^The",
            "r$",
            "pass.ord",
            "[Ii]gnore",
            "a+",
            "hunter2 The",
            "^$",
            r"\x00",
            "nor+e",
            "x*",
        )
        pattern = draw(st.sampled_from(patterns))
        regex = re.compile(pattern.replace("$", r"\Z"))
        test: Test = lambda v: regex.search(v) is not None  # noqa: E731
        return asked(
            draw(texts()), draw(st.sampled_from(("matches", "~"))), f'r"{pattern}"', test, draw(QUANTIFIERS)
        )

    return compared() | within() | contains() | matches()


def _of_others(known: list[Facts]) -> SearchStrategy[Question]:
    times = sorted({facts.one["time"] for facts in known})

    @st.composite
    def dates(draw: Any) -> Question:
        when = draw(st.sampled_from(times))
        cut = draw(st.sampled_from((10, 16, 19, 23, 26)))  # day, minute, second, millisecond, microsecond
        constant = when[:cut]
        operator = draw(st.sampled_from(list(COMPARE)))

        def test(value: str) -> bool:  # a date is all the instants that begin with it
            begun = value[:cut]
            return COMPARE[operator](begun, constant)

        text = constant + draw(st.sampled_from(("", "Z"))) * (cut > 10)
        return asked(_one("time"), operator, text, test, draw(QUANTIFIERS))

    @st.composite
    def severities(draw: Any) -> Question:
        name, operator = draw(st.sampled_from(ORDER)), draw(st.sampled_from(list(COMPARE)))

        def test(severity: str) -> bool:
            rank = ORDER.index(severity) if severity in ORDER else -1
            return COMPARE[operator](rank, ORDER.index(name))

        value = ("expert.severity", lambda facts: [severity for severity, _ in facts.experts])
        return asked(value, operator, name, test, draw(QUANTIFIERS))

    truths = st.sampled_from(
        (
            ("bos", lambda facts: facts.one.get("bos") is True),
            ("bos == true", lambda facts: facts.one.get("bos") is True),
            ("bos == false", lambda facts: facts.one.get("bos") is False),
            ("bos != true", lambda facts: facts.one.get("bos") is False),
            ("has(bos)", lambda facts: "bos" in facts.one),
        )
    )
    there = (signals() | texts().filter(lambda v: "(" not in v[0]) | tokens()).flatmap(
        lambda value: st.sampled_from((f"has({value[0]})", value[0])).map(
            lambda text: (text, lambda facts: bool(value[1](facts)))
        )
    )

    @st.composite
    def sites(draw: Any) -> Question:
        name = draw(st.sampled_from(("resid_pre", "resid_post", "mlp_out", "pattern")))
        layer = draw(picks(False) | st.none())
        pick = layer[1] if layer else everything
        text = name + (f"#[{layer[0]}]" if layer else "")

        def match(facts: Facts) -> bool:  # a tensor of a layer is there, and has a token
            captured = set(facts.sites.get(name, ())) & set(pick(facts.depth, {}))
            return bool(captured) and bool(facts.token_ids)

        return f"has({text})", match

    return dates() | severities() | truths | there | sites()


def _of_two() -> SearchStrategy[Question]:
    """Two fields of one cell each."""
    single = signals(single=True) | st.sampled_from([_one("seq_len"), _one("next.p"), _one("number")])

    @st.composite
    def paired(draw: Any) -> Question:
        left, right, operator = draw(single), draw(single), draw(st.sampled_from(list(COMPARE)))

        def match(facts: Facts) -> bool:
            ours, theirs = left[1](facts), right[1](facts)
            return bool(ours) and bool(theirs) and COMPARE[operator](ours[0], theirs[0])

        return f"{left[0]} {operator} {right[0]}", match

    return paired()


def _logic(inner: SearchStrategy[Question]) -> SearchStrategy[Question]:
    def joined(words: tuple[str, ...], decide: Callable[[list[bool]], bool]) -> SearchStrategy[Question]:
        def join(parts: list[Question], word: str) -> Question:
            text = f" {word} ".join(f"({text})" for text, _ in parts)
            return text, lambda facts: decide([match(facts) for _, match in parts])

        return st.builds(join, st.lists(inner, min_size=2, max_size=3), st.sampled_from(words))

    negated = st.builds(
        lambda part, word: (f"{word}({part[0]})", lambda facts: not part[1](facts)),
        inner,
        st.sampled_from(("not ", "!")),
    )
    return (
        joined(("and", "&&"), all)
        | joined(("or", "||"), any)
        | joined(("xor", "^^"), lambda answers: sum(answers) % 2 == 1)
        | negated
    )
