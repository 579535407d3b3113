"""The fields of the display filter: one table that the checker, completion, `tensorshark fields`, the
help screen and the docs are all made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from tensorshark.traces import sites
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.index import Index

Type = Literal["text", "number", "truth", "time", "severity", "tensor"]

LAYER, HEAD, POS = "layer", "head", "pos"
AXES = (LAYER, HEAD, POS)
"""In the order in which they are written: `#layer`, `:head`, `[pos]`."""
SELECTORS = {LAYER: "#", HEAD: ":", POS: "["}

SEVERITIES = ("note", "warn", "error")
"""Ascending: `expert.severity >= warn`."""

Kind = Literal["column", "prompt", "label", "expert", "case", "token", "signal", "site", "analyzer"]


class FieldInfo(msgspec.Struct, frozen=True):
    """One field."""

    name: str
    """As typed; `label.*` stands for `label.` and any key."""
    type: Type
    axes: tuple[str, ...]
    """Axes that `#`, `:` and `[…]` select from; empty for one value per trace."""
    unit: str
    help: str
    """One line, without a full stop."""
    source: str
    """Where its values come from, in people's words."""
    example: str
    """A filter that uses it; run by the tests and printed in the docs."""
    noun: str
    """The field in a sentence: `residual norm after`."""
    kind: Kind
    """What reads it; see `operands`."""
    key: str
    """Where exactly: a column of the index, a key of the statistics, the name of a site."""
    many: bool = False
    """True when a trace may have several values without there being an axis."""
    always: bool = True
    """False when a trace may lack it."""
    aliases: tuple[str, ...] = ()
    """Names that work and are not advised: what the field is called in trace.json."""
    traces: int | None = None
    """How many traces of a capture have it; None when that was not counted."""
    tokens: bool = False
    """True for the texts of tokens, which may be compared with `t"Ġthe"`."""
    ids: str = ""
    """Of tokens: the field with their ids, for `t:262`."""


def _column(name: str, type: Type, unit: str, help: str, example: str, noun: str, key: str = "") -> FieldInfo:
    return FieldInfo(name, type, (), unit, help, "index", example, noun, "column", key or name)


_PLACES = {
    "resid_pre": ("residual", "before"),
    "attn_out": ("attention output", "in"),
    "mlp_out": ("MLP output", "in"),
    "resid_post": ("residual", "after"),
}
"""Site -> how a sentence names it, and what stands before the layer."""
_QUANTITIES = {"norm": "{} norm", "absmax": "largest {} magnitude"}
_ATTENTION = {
    "entropy": "attention entropy",
    "entropy_rest": "attention entropy without the first token",
    "sink": "attention on the first token",
}
_THRESHOLDS = {"norm": 120, "absmax": 50}


def _signals() -> Iterator[FieldInfo]:
    """One field per statistic that captures take; `traces.sites` knows which."""
    for site, (adjective, before) in _PLACES.items():
        for stat, means in sites.RESIDUAL_STATS.items():
            name, help = f"{site}.{stat}", f"{means} of {site}: {sites.SITES[site].help}"
            noun = f"{_QUANTITIES[stat].format(adjective)} {before}"
            yield _signal(name, "", help, f"{name}#12[-1] > {_THRESHOLDS[stat]}", noun)
    for stat, means in sites.ATTENTION_STATS.items():
        name, help = f"{sites.ATTENTION}.{stat}", means.removesuffix(", in nats")
        unit = "nats" if stat.startswith("entropy") else ""
        yield _signal(name, unit, help, f"all({name}#[20-29]:3[-1]) < 0.5", f"{_ATTENTION[stat]} in")


def _signal(name: str, unit: str, help: str, example: str, noun: str) -> FieldInfo:
    key = sites.stat_key(name) or ""
    return FieldInfo(
        name,
        "number",
        sites.STAT_FIELDS[name],
        unit,
        help,
        "statistics",
        example,
        noun,
        "signal",
        key,
        always=False,
    )


def _sites() -> Iterator[FieldInfo]:
    """The stored tensors themselves: so far one can only ask whether they are there."""
    for site in sites.SITES.values():
        example, noun = f"has({site.name}#12)", f"{site.name} in"
        axes = AXES if "head" in site.axes else (LAYER, POS)
        yield FieldInfo(
            site.name,
            "tensor",
            axes,
            "",
            site.help,
            "manifest",
            example,
            noun,
            "site",
            site.name,
            always=False,
        )


FIELDS: tuple[FieldInfo, ...] = (
    _column(
        "number", "number", "", "place in the list, from 1 in capture order", "number <= 100", "number", "row"
    ),
    _column("id", "text", "", "16 hex digits that name the trace", 'id matches "^7c1e"', "id"),
    _column("model", "text", "", "name of the model in the capture", 'model contains "SmolLM2"', "model"),
    FieldInfo(
        "prompt", "text", (), "", "the prompt as it was given", "index", 'prompt contains "ignore previous"',
        "prompt", "prompt", "prompt",
    ),
    FieldInfo(
        "text", "text", (), "", "what was tokenised: the prompt, or the rendered chat template", "index",
        'text contains "<|im_start|>system"', "text", "prompt", "text",
    ),
    FieldInfo(
        "label.*", "text", (), "", "a label given at capture; any key, in quotes if it is not a plain word",
        "index", 'label.category == "injection"', "label", "label", "", always=False,
    ),
    _column("seq_len", "number", "tokens", "number of tokens", "seq_len in {5..40}", "number of tokens"),
    FieldInfo(
        "token", "text", (POS,), "", "a token, decoded alone; most begin with a space", "manifest",
        'token[-1] == " Paris"', "token", "token", "tokens", aliases=("tokens",), tokens=True, ids="token.id",
    ),
    FieldInfo(
        "token.id", "number", (POS,), "", "a token's number in the vocabulary", "index", "token.id[0] == 1",
        "token id", "token", "token_ids", aliases=("token_ids",),
    ),
    FieldInfo(
        "next.token", "text", (), "", "the most likely next token", "index", 'next.token == " Paris"',
        "most likely next token", "column", "next_token", always=False, tokens=True, ids="next.id",
    ),
    FieldInfo(
        "next.id", "number", (), "", "its number in the vocabulary", "index", "next.id == t:262",
        "id of the most likely next token", "column", "next_id", always=False,
    ),
    FieldInfo(
        "next.p", "number", (), "", "probability of the most likely next token", "index", "next.p > 0.9",
        "probability of the next token", "column", "next_p", always=False,
    ),
    FieldInfo(
        "time", "time", (), "UTC", "when the trace was captured", "index", "time >= 2026-08-01",
        "capture time", "column", "captured_at", aliases=("captured_at",),
    ),
    _column(
        "layers", "number", "", "how many layers were captured", "layers >= 30", "number of captured layers"
    ),
    _column("bytes", "number", "bytes", "size of its files on disk", "bytes > 1.5M", "size in bytes"),
    _column("dtype", "text", "", "what the model computed in", 'dtype == "bfloat16"', "dtype"),
    _column("bos", "truth", "", "a BOS token was put before the text", "not bos", "BOS token"),
    FieldInfo(
        "expert.severity", "severity", (), "", "how bad a finding about the evidence is: note, warn or error",
        "index", "expert.severity >= warn", "severity", "expert", "severity", many=True, always=False,
    ),
    FieldInfo(
        "expert.code", "text", (), "", "what was found: bos, nan, massive, truncated, integrity …", "index",
        'expert.code == "nan"', "code", "expert", "code", many=True, always=False,
    ),
    FieldInfo(
        "mark", "truth", (), "", "whether somebody marked the trace, or a token or cell in it", "case",
        "not mark", "mark", "case", "",
    ),
    FieldInfo(
        "mark.*", "truth", (), "", "whether it has the mark of that name", "case",
        'mark.suspect and label.category == "injection"', "mark", "case", "",
    ),
    FieldInfo(
        "tag", "text", (), "", "a tag that somebody gave it", "case", 'tag in {"jailbreak", "leak"}',
        "tag", "case", "tag", many=True, always=False,
    ),
    FieldInfo(
        "note", "text", (), "", "what somebody wrote about it", "case", 'note contains "system prompt"',
        "note", "case", "note", many=True, always=False,
    ),
    *_signals(),
    *_sites(),
)  # fmt: skip

Provider = Callable[[], Sequence[FieldInfo]]


def _measured() -> Sequence[FieldInfo]:
    from tensorshark.forensics.measured import declared

    return declared.fields()


PROVIDERS: list[Provider] = [_measured]
"""Where fields that analyzers declare come in. Asked only for names that are not in FIELDS."""

_MARK = re.compile(r"[A-Za-z0-9_]{1,64}")
_BY_NAME = {name: info for info in FIELDS for name in (info.name, *info.aliases)}


def find(name: str) -> FieldInfo | None:
    """The field of that name, with `label.` and a key as a field of its own; None when there is none."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith("label.") and len(name) > len("label."):
        return label(name[len("label.") :])
    if name.startswith("mark.") and _MARK.fullmatch(name, len("mark.")):
        return mark(name[len("mark.") :])
    return next((info for provider in PROVIDERS for info in provider() if info.name == name), None)


def label(key: str) -> FieldInfo:
    """The field of one label."""
    quoted = f"label.{key}" if _plain(key) else f"label.{quote(key)}"
    return msgspec.structs.replace(
        _BY_NAME["label.*"], name=quoted, key=key, noun=f"label {safe_text(key, 40)}"
    )


def mark(name: str) -> FieldInfo:
    """The field of one mark."""
    return msgspec.structs.replace(_BY_NAME["mark.*"], name=f"mark.{name}", key=name)


def quote(text: str) -> str:
    """`text` as the language writes a string; what cannot be printed is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def fields(index: Index | None = None, budget_s: float | None = 0.0) -> list[FieldInfo]:
    """All fields; with an index, one per label key instead of `label.*`, and how many traces have each.

    What is not counted yet is counted for `budget_s` seconds, or to the end; see `coverage`.
    """
    made = [info for provider in PROVIDERS for info in provider()]
    if index is None:
        return [*FIELDS, *made]
    from tensorshark.forensics.filter.coverage import Coverage

    coverage = Coverage.of(index).look(budget_s)
    keys = [label(key) for key in coverage.labels]
    found = [each for info in FIELDS for each in (keys if info.kind == "label" else [info])]
    return [msgspec.structs.replace(info, traces=coverage.count(info)) for info in (*found, *made)]


def nearest(name: str, index: Index | None = None) -> str | None:
    """The name that was probably meant."""
    import difflib

    names = [info.name for info in fields(index)]
    last = name.rpartition(".")[2]
    same = next((full for full in names if full.rpartition(".")[2] == last), None)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    found = same if same and (last == name or not close) else close[0] if close else None
    kind, dot, key = name.partition(".")
    if found is None and dot:  # `labels.x`
        found = next(iter(difflib.get_close_matches(f"{kind}.*", names, n=1, cutoff=0.6)), None)
        found = found if found and found.endswith(".*") else None
    return f"{found[:-1]}{key or 'NAME'}" if found and found.endswith(".*") else found


def begins(name: str) -> bool:
    """True when a field, or the key of a label, may still be typed out of `name`."""
    return any(info.name.startswith(name) for info in fields()) or "label.".startswith(name)


def _plain(key: str) -> bool:
    return key.isascii() and all(part.isidentifier() or part.isalnum() for part in key.split("."))
