"""Functions that an installed package adds: found by entry point, imported when called, contained."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.filter import added, check, parse, values
from tensorshark.traces.errors import FilterError
from tensorshark.traces.index import Index

MODULE = """
import numpy as np

class CREST:
    takes = gives = "number"
    reduces = True
    help = "the largest value as a multiple of the mean"
    words = "crest of"
    of = staticmethod(lambda cells: np.nanmax(cells, axis=0) / np.nanmean(cells, axis=0))

class HALF(CREST):
    reduces = False
    words = "half of"
    of = staticmethod(lambda cells: cells / 2)

class SHOUT(CREST):
    takes = gives = "text"
    reduces = False
    of = staticmethod(lambda cells: np.array([[[[c and c.upper() + "!" for c in cells[0, 0, 0]]]]], object))

class RAISES(CREST):
    @staticmethod
    def of(cells):
        raise ValueError("no \\x1b[2J")

class SHAPE(CREST):
    of = staticmethod(lambda cells: cells)

class LACKS:
    takes = "number"

class ODD(CREST):
    takes = "tensor"
"""
POINTS = "\n".join(
    ["[tensorshark.functions]", "max = plugged:HALF", "gone = plugged:GONE", "away = plugged_away:X"]
    + [
        f"{name.lower()} = plugged:{name}"
        for name in ("CREST", "HALF", "SHOUT", "RAISES", "SHAPE", "LACKS", "ODD")
    ]
)


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is installed, as far as Python can tell."""
    (tmp_path / "plugged.py").write_text(MODULE)
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    for cache in (added.find, added._entries):
        cache.cache_clear()
    yield
    sys.modules.pop("plugged", None)
    for cache in (added.find, added._entries):
        cache.cache_clear()


@pytest.mark.usefixtures("plugged")
def test_a_function_of_a_plugin_is_one_of_the_language(index: Index) -> None:
    (shown,) = values("crest(resid_post.norm[-1])", index, [1])
    (norms,) = values("resid_post.norm[-1]", index, [1])
    assert shown == pytest.approx(max(norms) / np.mean(norms))
    assert values("half(seq_len) - seq_len / 2", index, [1, 2]) == [0.0, 0.0]
    assert values("shout(label.category)", index, [2]) == ["INJECTION!"]
    filter = parse("crest(resid_post.norm[-1]) > 1 and any(l: half(resid_post.norm#l[-1]) > 2)")
    assert filter.select(index).tolist()
    assert "whose crest of residual norm" in filter.words()


@pytest.mark.usefixtures("plugged")
def test_nothing_is_imported_before_a_filter_calls_it() -> None:
    assert "crest" in added.names()
    parse("max(seq_len) > 1")
    assert "plugged" not in sys.modules


@pytest.mark.usefixtures("plugged")
def test_a_name_of_ours_cannot_be_taken(index: Index) -> None:
    assert "max" not in added.names()
    assert values("max(seq_len)", index, [1]) == values("seq_len", index, [1])


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", r"gone\(…\), which plugged 1.0 adds, cannot be imported: AttributeError"),
        ("away", "cannot be imported: ModuleNotFoundError"),
        ("lacks", "lacks gives, reduces, help, words, of"),
        ("odd", "takes or gives what no function does"),
    ],
)
def test_one_that_cannot_be_used_is_pointed_at(name: str, reason: str) -> None:
    with pytest.raises(FilterError, match=reason) as caught:
        parse(f"bos and {name}(seq_len) > 1")
    assert (caught.value.column, caught.value.length) == (8, len(name))


@pytest.mark.usefixtures("plugged")
def test_one_that_fails_fails_its_filter_alone(index: Index) -> None:
    for text, reason in (("raises(seq_len)", "failed: ValueError"), ("shape(seq_len)", "made shape")):
        assert check(f"{text} > 1", index).state == "ok"
        with pytest.raises(FilterError, match=reason) as caught:
            parse(f"{text} > 1").select(index)
        assert caught.value.reason.isprintable()


def test_one_that_nobody_has_is_named_with_those_that_there_are() -> None:
    assert "there is no function crest; there are abs" in check("crest(seq_len) > 1").reason
