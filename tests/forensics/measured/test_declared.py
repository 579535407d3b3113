"""Fields that analyzers declare: read from source, and only under their own words."""

from __future__ import annotations

import sys

import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.forensics.filter.fields import FIELDS, find
from tensorshark.forensics.measured import declared

from .conftest import Install

SOURCE = '''
raise RuntimeError("imported")
from tensorshark.forensics import Analyzer, Field, Needs

class Mine(Analyzer):
    """Mine."""
    name = "mine"
    families = ["loud", "lens", "prompt"]
    needs = Needs(sites=["mlp_out"])
    fields = [
        Field("mine.x", float, axes=("layer",), help="x", unit="u"),
        Field("loud.word", str),
        Field("loud", int),
        Field("lens.stolen", float),
        Field("prompt.stolen", float),
        Field("other.x", float),
        Field("mine.x", float),
        Field("mine bad", float),
        Field("mine.axes", float, axes=("pos", "layer")),
        Field("mine.help", bool, help="esc \\x1b[31m \\u202e"),
    ]
    def measure(self, trace, field, cells):
        return 1

class Prints(Analyzer):
    """Prints."""
    name = "prints"
    fields = [Field("prints.x", float)]
    def run(self, view, options):
        return iter(())
'''


def test_ours() -> None:
    found = {info.name: info for info in declared.fields()}
    assert {"lens.top", "lens.p", "lens.rank", "lens.entropy", "surprisal", "norms.growth"} <= set(found)
    assert found["lens.top"].type == "text" and found["lens.top"].axes == ("layer", "pos")
    assert found["surprisal"].axes == ("pos",) and found["surprisal"].unit == "nats"
    assert "diff.cosine" not in found, "a pair has no value for one trace"
    for info in found.values():
        assert info.help and not info.help.endswith(".") and info.kind == "analyzer"
        assert find(info.name) == info and parse(info.example)
        assert check(f"has({info.name})").state == "ok"
    assert not set(found) & {info.name for info in FIELDS}
    rank = declared.find("lens.rank")
    assert rank is not None and rank.whole and rank.ours
    assert rank.needed == "--sites resid_post --lens-file embed"


def test_others_under_their_own_words(install: Install) -> None:
    install("mypkg", SOURCE, mine="Mine", prints="Prints")
    names = {info.name for info in declared.fields() if info.key in ("mine", "prints")}
    assert names == {"mine.x", "loud.word", "loud", "mine.help"}
    assert "mypkg_mod" not in sys.modules
    wrong = "\n".join(declared.problems())
    for name in ("lens.stolen", "prompt.stolen", "other.x", "mine bad", "mine.axes"):
        assert name in wrong
    assert "declared twice" in wrong
    assert (found := find("mine.help")) is not None and "\x1b" not in found.help
    mine = declared.find("mine.x")
    assert mine is not None and not mine.ours and mine.needed == "--sites mlp_out"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("diff.cosine > 1 ", "diff prints diff.cosine and does not measure it"),
        ("lens.what > 1 ", "analyzer logit-lens has no field lens.what; it has lens.top"),
        ("probe.injection#3 > 0.5", "no installed analyzer declares probe.*"),
    ],
)
def test_what_is_missing_is_said(text: str, reason: str) -> None:
    found = check(text)
    assert found.state == "bad" and reason in found.reason


def test_looking_for_names_is_cheap() -> None:
    import time

    declared.fields()
    begun = time.perf_counter()
    for _ in range(1000):
        find("lens.p")
        find("lens.nothing")
    assert time.perf_counter() - begun < 0.1
