"""docs/filter.md, made from the tables of fields and functions.

    python -m tensorshark.forensics.filter.docs        writes docs/filter.md of the checkout anew

A test says when the page is stale, and runs every filter on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tensorshark.forensics.filter.display import parse
from tensorshark.forensics.filter.fields import FIELDS, SELECTORS, FieldInfo
from tensorshark.forensics.filter.functions import FUNCTIONS, PREDICATES
from tensorshark.forensics.filter.syntax.builder import MAX_DEPTH, MAX_TERMS, UNITS
from tensorshark.forensics.filter.syntax.parser import MAX_TEXT
from tensorshark.forensics.measured.declared import ours

TEMPLATE = Path(__file__).with_name("page.md")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "filter.md"

SHOWN = {
    "measured": (
        'lens.top#20[-1] == " Paris" and lens.rank#29[-1] <= 3',
        "max(surprisal[response]) > 12",
    ),
    "first": (
        'label.category == "injection" and resid_post.norm#12[-1] > 90',
        'prompt contains "ignore previous" or prompt matches r"(?i)\\bDAN\\b"',
    ),
    "axes": (
        "resid_post.norm#[8-12][-1] > 120",
        "all(attn.entropy#[20-29]:3[-1]) < 0.5",
        "resid_post.absmax#-1[response] > 1.5k",
        "max(resid_post.norm#20[prompt]) > 900",
    ),
    "comparisons": (
        'label.category != "injection"',
        'not label.category == "injection"',
        "not has(label.reviewed)",
        "seq_len in {5..40, 128}",
        "resid_post.norm#20[-1] > resid_post.norm#12[-1]",
        "all(mlp_out.norm[-1] > attn_out.norm[-1])",
    ),
    "tokens": (
        'token[-1] == t"Ġthe"',
        "token in {t:262, t:290..299}",
    ),
    "case": (
        "mark.suspect and not has(label.reviewed)",
        'tag == "jailbreak" or note contains "system prompt"',
    ),
    "arithmetic": (
        "max(resid_post.norm#20) / resid_post.norm#20[-1] > 50",
        "resid_post.norm#[1-29][-1] - resid_post.norm#[0-28][-1] > 100",
        "seq_len % 2 == 1",
    ),
    "correlated": (
        "any(l, p: resid_post.norm#l[p] > 900 && attn.entropy#l[p] < 0.2)",
        "all(l: mlp_out.norm#l[-1] < 2 * attn_out.norm#l[-1])",
    ),
    "references": (
        "cos(resid_post#12[-1], $resid_post#12[-1]) > 0.9",
        "resid_post.norm#12[-1] > 2 * $resid_post.norm#12[-1]",
    ),
    "similar": (
        'similar_to("#7", resid_post, 12, -1) > 0.9',
        'similar_to("#7", resid_post#12[prompt[-1]]) > 0.9 and label.category != "injection"',
    ),
    "corpus": (
        "resid_post.norm#12[-1] > 3sigma",
        'zscore(next.p, over=label.category == "fact") in {2..3}',
        "rank(next.p) <= 10",
    ),
    "operators": (
        "40 < seq_len <= 80",
        "time in {2026-08-01..2026-08-07}",
        "expert.severity >= warn and not bos",
        'next.token in {" Paris", " London"} xor next.p < 0.1',
    ),
}
"""Place on the page -> filters that stand there, each followed by what it says in words."""


def page() -> str:
    """The text of docs/filter.md: page.md with the tables in the places of their names."""
    text = TEMPLATE.read_text("utf-8")
    for name, filters in SHOWN.items():
        text = text.replace(f"@{name}@", _block(*filters))
    numbers = {"characters": f"{MAX_TEXT:,}", "terms": str(MAX_TERMS), "levels": str(MAX_DEPTH)}
    units = ", ".join(f"`{unit}`" for unit in UNITS if unit)
    tables = {"fields": _fields(), "functions": _functions(), "units": [units]}
    for name, lines in tables.items():
        text = text.replace(f"@{name}@", "\n".join(lines))
    for name, number in numbers.items():
        text = text.replace(f"@{name}@", number)
    return text


def examples() -> list[str]:
    """Every filter on the page that is answered."""
    rows = [
        *(info.example for info in (*FIELDS, *ours())),
        *(function.example for function in FUNCTIONS.values()),
    ]
    return [*rows, *(filter for filters in SHOWN.values() for filter in filters)]


def _block(*filters: str) -> str:
    """Filters, each followed by what it says in words."""
    return "\n".join(f"    {filter}\n\n{parse(filter).words()}\n" for filter in filters).rstrip()


def _fields() -> Iterator[str]:
    yield "| field | type | axes | unit | meaning | example |"
    yield "|---|---|---|---|---|---|"
    for info in (*FIELDS, *ours()):
        example = info.example.replace("|", r"\|")
        yield f"| `{info.name}` | {info.type} | {_axes(info)} | {info.unit} | {info.help} | `{example}` |"


def _axes(info: FieldInfo) -> str:
    written = {"layer": "#layer", "head": ":head", "pos": "[pos]"}
    assert written.keys() == SELECTORS.keys()
    return " ".join(f"`{written[axis]}`" for axis in info.axes)


def _functions() -> Iterator[str]:
    yield "| function | of | meaning | example |"
    yield "|---|---|---|---|"
    for name, help in PREDICATES.items():
        yield f"| `{name}(…)` | any field | {help} | `{name}(label.category)` |"
    for function in FUNCTIONS.values():
        one = "anything" if function.takes == "any" else function.takes
        of = f"two {one}s" if function.tensors == 2 else one
        written = function.signature or f"{function.name}(…)"
        yield f"| `{written}` | {of} | {function.help} | `{function.example}` |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
