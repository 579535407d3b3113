"""What people get wrong about such a language: each has its sentence in docs/filter.md.

Wireshark's users' guide warns of most of these where it explains display filters: `!=` and `not ==`, ranges
over several values, fields that exist by being named. Here each is asked of a real capture, too.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.traces.index import Index
from tensorshark.traces.manifest import Expert
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic

PAGE = Path(__file__).parents[3] / "docs" / "filter.md"
NAN, INF = np.nan, np.inf

TRACES: tuple[tuple[dict[str, str], list[list[float]]], ...] = (
    ({"category": "injection", "reviewed": "no"}, [[4, 10, 20], [1, 1, 1]]),
    ({"category": "fact"}, [[6, 6, 6], [6, 6, 6]]),
    ({}, [[NAN, NAN, NAN], [NAN, NAN, NAN]]),
    ({"category": "Injection"}, [[INF, 2, 3], [7, NAN, 2]]),
)
"""Labels and resid_post.norm (layer, pos) of traces 1 to 4; `attn_out.norm` is 5 everywhere."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    capture = write_synthetic(tmp_path_factory.mktemp("tiny") / "tiny.tshark", traces=0, layers=2)
    with capture.writer(sync=False) as writer:
        for number, (labels, norms) in enumerate(TRACES, 1):
            manifest, tensors, stats = synthetic_trace(capture, "one two three", labels, seed=number)
            stats["norm.resid_post"] = np.array(norms, np.float32)
            stats["norm.attn_out"][:] = 5
            experts = [Expert(severity="error", code="nan", text="")] if np.isnan(norms).any() else []
            provenance = msgspec.structs.replace(manifest.provenance, bos_added=number == 2)
            manifest = msgspec.structs.replace(manifest, experts=experts, provenance=provenance)
            assert writer.commit(manifest, tensors, stats)
    with Index.open(capture) as index:
        yield index


NOT_EQUAL = "**`!=` means: none is equal.**"
DIFFERS = "`!==` is true if any value differs, `===` if all are equal."
ABSENT = "A comparison of a field that a trace does not have is false, also with `!=`."
LABELS = (
    '`label.x != "a"` is true of traces that have the label and another value; '
    '`not label.x == "a"` is also true of those without it.'
)
EXISTS = "`has(field)`, or the field alone, asks whether there is any value."
TRUTHS = "A field that is itself true or false, alone, asks whether it is true."
ANY = (
    "A comparison is true if any of the selected values satisfies it; write `all(…)` before it "
    "to ask of every value"
)
AROUND = "`all(f < 3)` is `all(f) < 3`."
NO_NAN = "A NaN satisfies nothing, and `has` does not count it"
ALL_THERE = "`all(…)` asks of the values that are there, and wants at least one."
INFINITY = "Infinity is a number."
FIND_NAN = 'To find NaN, ask for `expert.code == "nan"`.'
RANGE = (
    "`f > 5 and f < 9` may be satisfied by two different cells; "
    "`f in {5..9}` asks one cell, both ends included."
)
NOT_IN = "`not in` is like `!=`: there is a value, and none of them is in the set."
CAPITALS = "text exactly as typed, capitals count"
NOTHING = "Of no value at all a function makes none; `count` makes 0."
OUTSIDE = "A layer, head or token that a trace does not have is not an error; it is absent."
BINDS = "| `not` | `!` | | binds closest |"
ORDER = "`and`, then `xor`, then `or`"
CHAIN = "| `a < f <= b` | | | the same as `a < f and f <= b` |"
ENDS = "`[3-7]` holds both ends, `[3:7]` is a Python slice"
FLOAT32 = "**Numbers are compared exactly**, as the float32 that was stored against the number as typed."
PAIRED = "A side with one cell, or without the axis, meets every cell of the other."

PITFALLS = [
    # != and not ==, of a field with several values
    (NOT_EQUAL, "resid_post.norm != 6", [1, 4]),
    (NOT_EQUAL, "not resid_post.norm == 6", [1, 3, 4]),
    (NOT_EQUAL, "resid_post.norm#0 != 4", [2, 4]),
    (NOT_EQUAL, "resid_post.norm#0 == 4", [1]),
    (DIFFERS, "resid_post.norm#0 !== 4", [1, 2, 4]),
    (DIFFERS, "resid_post.norm === 6", [2]),
    # != and not ==, of a field that may be absent
    (ABSENT, 'label.reviewed != "yes"', [1]),
    (LABELS, 'label.category != "injection"', [2, 4]),
    (LABELS, 'not label.category == "injection"', [2, 3, 4]),
    (ABSENT, "label.nowhere != label.category", []),
    # a field alone
    (EXISTS, "label.reviewed", [1]),
    (EXISTS, "not has(label.category)", [3]),
    (TRUTHS, "bos", [2]),
    (EXISTS, "has(bos)", [1, 2, 3, 4]),
    # any and all
    (ANY, "resid_post.norm < 3", [1, 4]),
    (ANY, "all(resid_post.norm) < 7", [2]),
    (AROUND, "all(resid_post.norm < 7)", [2]),
    (ANY, "all(resid_post.norm#1) < 7", [1, 2]),
    # NaN and infinity
    (NO_NAN, "resid_post.norm#1[1] > 0", [1, 2]),
    (NO_NAN, "resid_post.norm#1[1] <= 0", []),
    (NO_NAN, "has(resid_post.norm)", [1, 2, 4]),
    (NO_NAN, "not resid_post.norm > 0", [3]),
    (ALL_THERE, "all(resid_post.norm#1) >= 2", [2, 4]),
    (ALL_THERE, "all(resid_post.norm) < 1000", [1, 2]),
    (INFINITY, "resid_post.norm > 1e300", [4]),
    (FIND_NAN, 'expert.code == "nan"', [3, 4]),
    # ranges over several values
    (RANGE, "resid_post.norm > 5 and resid_post.norm < 9", [1, 2, 4]),
    (RANGE, "resid_post.norm in {5..9}", [2, 4]),
    (CHAIN, "5 < resid_post.norm < 9", [1, 2, 4]),
    (RANGE, "resid_post.norm in {6..6}", [2]),
    (NOT_IN, "resid_post.norm not in {5..9}", [1]),
    (NOT_IN, "not resid_post.norm in {5..9}", [1, 3]),
    # the rest
    (CAPITALS, 'label.category == "injection"', [1]),
    (NOTHING, "max(resid_post.norm#1) < 100", [1, 2, 4]),
    (NOTHING, "count(resid_post.norm) == 0", [3]),
    (OUTSIDE, "resid_post.norm#5 > 0 or resid_post.norm[9] > 0", []),
    (OUTSIDE, "not resid_post.norm#5 > 0", [1, 2, 3, 4]),
    (BINDS, "not bos and has(label.category)", [1, 4]),
    (ORDER, "bos or label.reviewed and label.nowhere", [2]),
    (ENDS, "resid_post.norm#0[0-1] == 10", [1]),
    (ENDS, "resid_post.norm#0[0:1] == 10", []),
    (FLOAT32, "resid_post.norm == 10", [1]),
    (PAIRED, "resid_post.norm#0 > attn_out.norm#0[0]", [1, 2, 4]),
    (PAIRED, "all(resid_post.norm > attn_out.norm)", [2]),
]


@pytest.mark.parametrize(("sentence", "text", "numbers"), PITFALLS)
def test_it_does_what_its_sentence_says(tiny: Index, sentence: str, text: str, numbers: list[int]) -> None:
    assert sentence in page()
    assert parse(text).select(tiny).tolist() == numbers


def page() -> str:
    """The words of docs/filter.md, without its line breaks."""
    return " ".join(PAGE.read_text().split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label.category = 'fact'", "= alone does not compare; write =="),
        ("label.category == fact", 'text needs quotes: "fact"'),
        ("bos AND bos", "write and in small letters"),
        ("seq_len in {9..5}", "this range is empty: its first end is the larger one"),
        ("seq_len in {}", "an empty set holds nothing"),
        ("resid_post > 3", "resid_post is a tensor with axes layer, pos, d_model"),
        ("3 < 4", "two constants; one side has to be a field"),
        ("prompt > 3", "the left side is text, and this is a number"),
    ],
)
def test_what_has_no_meaning_is_said(text: str, reason: str) -> None:
    assert check(text).reason.startswith(reason)
