"""`similar_to`: the same from opened traces and from kept vectors, in filters, columns and sort keys."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.closeness import cosine
from tensorshark.forensics.filter import parse, sort_key, values
from tensorshark.forensics.filter.columns import numbers
from tensorshark.forensics.similar import similar
from tensorshark.traces.errors import FilterError, NotFoundError
from tensorshark.traces.index import Index
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.synthetic import write_synthetic

ALL = np.arange(1, 31)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    capture = write_synthetic(tmp_path / "x.tshark", traces=30, prompts=["a b c d", "e f", "g h i"])
    with Index.open(capture) as index:
        yield index


def _truth(index: Index, number: int, layer: int, at: int) -> list[float | None]:
    vectors = []
    for each in ALL.tolist():
        states = index.trace(each).load(f"blocks.{layer}.hook_resid_post")
        vectors.append(states[at] if -len(states) <= at < len(states) else None)
    example = vectors[number - 1]
    return [None if vector is None else float(cosine(vector, example)) for vector in vectors]


@pytest.mark.parametrize(
    ("text", "layer", "at"),
    [
        ('similar_to("#4", resid_post, 2, -1)', 2, -1),
        ('similar_to("#4", resid_post, 2)', 2, -1),
        ('similar_to("#1", resid_post, 2)', 2, -1),
        ('similar_to("#4", resid_post, -1, 0)', 3, 0),
        ('similar_to("#4", resid_post, 1, prompt[2])', 1, 2),
        ('similar_to("#4", resid_post, 0x1, -3)', 1, -3),
        ('similar_to("#4", resid_post#3[-1])', 3, -1),
        ('similar_to("#4", resid_post#-3[prompt[0]])', 1, 0),
    ],
)
def test_numbers_are_the_same_opened_and_kept(index: Index, text: str, layer: int, at: int) -> None:
    example = int(text[13])
    truth = _truth(index, example, layer, at)
    assert truth[example - 1] == 1.0
    assert values(text, index, ALL) == truth, "from opened traces"
    assert values(text, index, ALL) == truth, "from what was kept of them"
    assert values(text, index, [9, 4]) == [truth[8], truth[3]]
    assert [None if np.isnan(each) else each for each in numbers(text, index, ALL)] == truth
    for bound in (0.0, 0.1, truth[8] or 0.0):
        found = [number for number, score in enumerate(truth, 1) if score is not None and score >= bound]
        assert parse(f"{text} >= {bound!r}").select(index).tolist() == found


def test_a_filter_keeps_what_it_opens(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    first = parse('number <= 8 and similar_to("#2", resid_post, 2, -1) > 0').select(index)
    assert len(index.vectors(Cell.of("resid_post", 2, -1, 16)).missing()) == 22
    opened: list[int] = []
    trace = index.trace
    monkeypatch.setattr(index, "trace", lambda number: (opened.append(number), trace(number))[1])
    again = parse('similar_to("#2", resid_post, 2, -1) > 0 and number < 9').select(index)
    assert again.tolist() == first.tolist() and not opened


def test_sorted_by_it_is_what_similar_finds(index: Index) -> None:
    name = index.id_of(5)
    key = sort_key(f'similar_to("{name[:12]}", resid_post, 2, -1)')
    order = key.order(index, ALL, descending=True)
    hits = similar(index, 5, Cell.of("resid_post", 2, -1, 16), 29)
    assert order.tolist() == [5, *hits.numbers.tolist()]
    assert key.order(index, ALL, descending=True).tolist() == order.tolist()


def test_it_says_itself() -> None:
    said = parse('similar_to("#2", resid_post, 12, -1) > 0.9').words()
    assert said.endswith("likeness to trace #2 of resid_post in layer 12 at the last token exceeds 0.9")


def test_an_example_that_is_not_there(index: Index) -> None:
    for text in ('similar_to("#99", resid_post, 1)', 'similar_to("zz", resid_post, 1)'):
        with pytest.raises(NotFoundError, match="no trace"):
            parse(f"{text} > 0").select(index)
    for text in ('similar_to("#2", resid_post, 9)', 'similar_to("#2", resid_post, 1, 3)'):  # of two tokens
        assert not parse(f"{text} > -2").select(index).size
        assert values(text, index, ALL) == [None] * 30


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("similar_to()", "takes a trace, a site", 0),
        ('similar_to("#1")', "takes a trace, a site", 0),
        ('similar_to("#1", resid_post, 1, 2, 3)', "takes a trace, a site", 0),
        ('similar_to("#1", resid_post, layer=3)', "takes a trace, a site", 0),
        ("similar_to(12, resid_post, 1)", "in quotes", 11),
        ('similar_to(t"#1", resid_post, 1)', "in quotes", 11),
        ('similar_to("#1", resid_post.norm, 1)', "a site with a vector", 17),
        ('similar_to("#1", pattern, 1)', "a site with a vector", 17),
        ('similar_to("#1", 4, 1)', "a site with a vector", 17),
        ('similar_to("#1", resid_post)', "one layer and one token", 17),
        ('similar_to("#1", resid_post#[1-3][-1])', "one layer and one token", 17),
        ('similar_to("#1", resid_post#1[-1], 2)', "selected twice", 17),
        ('similar_to("#1", resid_post, "a")', "a layer is a whole number", 29),
        ('similar_to("#1", resid_post, 1.5)', "a layer is a whole number", 29),
        ('similar_to("#1", resid_post, 1, prompt)', "a token is a whole number", 32),
        ('similar_to("#1", resid_post, 1, prompt#3[1])', "a token is a whole number", 32),
        ('similar_to("#1", resid_post, 1, prompt[:])', "one layer and one token", 17),
    ],
)
def test_refusals_point_at_the_place(text: str, said: str, at: int) -> None:
    with pytest.raises(FilterError, match=said) as caught:
        parse(f"{text} > 0.5")
    assert caught.value.column == at
