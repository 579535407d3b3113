"""Tensors kept beside the index are those of the traces, whoever asked first."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.filter import parse, values
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import LAYER, POS, find
from tensorshark.forensics.filter.syntax.tree import At, Named, Parts, Slice, Through
from tensorshark.forensics.filter.values import vectors
from tensorshark.forensics.filter.values.operands import Numbers, Tier, batches
from tensorshark.forensics.filter.values.reader import Cancelled, Reader
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.forensics.filter.values.tensors import Site
from tensorshark.forensics.filter.values.vectors import held
from tensorshark.traces.index import Index
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.index.vectors import Vectors
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

LAST: Parts = (At(-1),)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    capture = write_synthetic(tmp_path / "some.tshark", traces=40, prompts=["a b c d", "e f", "g h i"])
    victim = capture.trace(capture.ids()[6]).folder / "tensors.safetensors"
    victim.write_bytes(victim.read_bytes()[:-9])
    with Index.open(capture) as index:
        yield index


def _site(layers: Parts, positions: Parts, name: str = "resid_post") -> Site:
    field = find(name)
    assert field is not None
    return Site(field, (Pick(LAYER, layers), Pick(POS, positions)))


def _cells(site: Site, reader: Reader, numbers: Numbers, tier: Tier) -> list[list[float]]:
    """The one cell of each trace, empty where there is none."""
    found: dict[int, list[float]] = {}
    for batch in batches(tier, reader, numbers):
        cells = site.cells(batch)
        for at, number in enumerate(batch.numbers.tolist()):
            cell = cells[..., min(at, cells.shape[3] - 1), :]
            found[number] = [] if np.isnan(cell).all() else cell.ravel().tolist()
    return [found[number] for number in numbers.tolist()]


@pytest.mark.parametrize(
    ("layers", "positions"),
    [
        ((At(2),), LAST),
        ((At(-1),), (At(0),)),
        ((Through(1, 1),), (Through(-2, -2),)),
        ((At(0),), (Named("prompt", (At(2),)),)),
        ((At(3),), (At(-4),)),
    ],
)
def test_opened_and_kept_say_the_same(index: Index, layers: Parts, positions: Parts) -> None:
    site, all_ = _site(layers, positions), np.arange(1, 41)
    first = Reader(index)
    assert site.now(first, all_) is Tier.TRACE
    opened = _cells(site, first, all_, Tier.TRACE)
    assert opened[6] == [] and any(opened)
    later = Reader(index)
    assert site.now(later, all_[:6]) is Tier.ROWS
    kept = held(later, "resid_post", site.picks)
    assert kept is not None and np.flatnonzero(kept.lacks).tolist() == [6], "damage is not kept"
    assert _cells(site, later, all_, Tier.ROWS) == opened
    some = np.array([3, 7, 40])
    assert _cells(site, later, some, Tier.ROWS) == [opened[number - 1] for number in some]


@pytest.mark.parametrize(
    ("layers", "positions"),
    [
        ((), LAST),
        ((At(1), At(2)), LAST),
        ((At(1),), ()),
        ((At(1),), (Slice(None, None, None),)),
        ((At(1),), (Named("prompt", None),)),
        ((At(1),), (Named("all", (At(-1),)),)),
        ((At(9),), LAST),
        ((At(-9),), LAST),
    ],
)
def test_several_cells_are_opened(index: Index, layers: Parts, positions: Parts) -> None:
    site, reader = _site(layers, positions), Reader(index)
    if layers != (At(9),):
        assert held(reader, "resid_post", site.picks) is None
    assert site.now(reader, np.arange(1, 4)) is Tier.TRACE


def test_models_of_two_widths_are_opened(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "two.tshark", traces=2)
    record = capture.model("synthetic")
    import msgspec

    wider = msgspec.structs.replace(record, name="wider", d_model=32, fingerprint="f" * 64)
    capture.add_model(wider, {k: np.zeros((64, 32) if "un" in k else 32, np.float32) for k in capture.lens("synthetic")}, capture.vocab("synthetic"))  # fmt: skip  # noqa: E501
    with Index.open(Capture.open(capture.path)) as index:
        site = _site((At(1),), LAST)
        assert held(Reader(index), "resid_post", site.picks) is None
        for text in ("cos(resid_post#1[-1], $resid_post#1[-1])", 'similar_to("#1", resid_post, 1)'):
            assert values(text, index, [1], context=Context(selected=1)) == [1.0]


def test_what_is_missing_where_nearly_all_is_there(index: Index) -> None:
    site = _site((At(1),), LAST)
    cell = Cell.of("resid_post", 1, -1, 16)
    assert index.vectors(cell).extend()
    append_synthetic(index.capture, traces=2, seed=77)
    index.refresh()
    reader, all_ = Reader(index), np.arange(1, 43)
    assert site.now(reader, all_) is Tier.ROWS, "2 of 42"
    assert site.now(reader, all_[-2:]) is Tier.TRACE
    assert len([cells for cells in _cells(site, reader, all_, Tier.ROWS) if cells]) == 41
    assert site.now(reader, all_[-2:]) is Tier.ROWS


def test_cancelled_while_reading(index: Index) -> None:
    site = _site((At(1),), LAST)
    asked: list[int] = []
    reader = Reader(index, lambda: len(asked) > 3 or bool(asked.append(1)))
    with pytest.raises(Cancelled):
        _cells(site, reader, np.arange(1, 41), Tier.ROWS)


def test_a_full_disk_costs_nothing_but_time(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorshark.traces.index.vector_files.write_file", refuse)
    site = _site((At(1),), LAST)
    assert sum(map(bool, _cells(site, Reader(index), np.arange(1, 41), Tier.TRACE))) == 39


def test_two_who_read_at_once_keep_each_trace_once(index: Index) -> None:
    site, all_ = _site((At(1),), LAST), np.arange(1, 41)
    one, two = Reader(index), Reader(index)
    for reader in (one, two):  # both learn what is missing before either writes
        held(reader, "resid_post", site.picks)
    for reader in (one, two):
        _cells(site, reader, all_, Tier.TRACE)
    cell = Cell.of("resid_post", 1, -1, 16)
    assert sum(block.rows for block in Vectors(index, cell).shelf.head()) == 39


def test_what_is_kept_costs_no_opening(index: Index) -> None:
    asked = parse('similar_to("#1", resid_post, 2, -1) > 0.5')
    before = asked.cost(index)
    parts = 1 + 2 * 3  # what resid_post of layer 2 is the sum of
    assert not before.index_only and before.traces == 40
    assert before.bytes >= 40 * parts * 64 * len(index.trace(1).token_ids)
    step = asked.explain(index).tree
    assert step.opens == 40 and step.by == "tensors"
    asked.select(index)
    assert asked.cost(index).index_only
    other = parse('similar_to("#3", resid_post#2[-1]) > 0.5')
    assert other.cost(index).index_only and other.explain(index).tree.by == "vectors kept beside the index"
    assert not parse("has(resid_post#2[-1])").cost(index).index_only, "which manifests say"


@pytest.mark.parametrize(
    "text",
    [
        "norm(resid_post#2[-1])",
        "cos(resid_post#2[-1], $resid_post#2[-1])",
        "dist(resid_post#2[-1], $resid_post#2[-1])",
        "cos(resid_post#1[prompt[0]], attn_out#-1[-1])",
        "norm(resid_post#2[-1] - resid_pre#2[-1])",
        "norm(resid_post#2[-1] / 3 + mlp_out#0[1]) * seq_len",
        "dist(resid_post#2[-1], resid_post#2[0]) / resid_post.norm#2[-1]",
        'zscore(norm(resid_post#2[-1]), over=label.category == "code")',
        "rank(cos(resid_post#2[-1], $resid_post#2[-1]))",
        "abs(cos(resid_post#1[-1], $resid_post#3[-1]))",
        "norm(resid_post[-1]) - norm(resid_post#2[-1])",
        "max(norm(resid_post#2)) - norm(resid_post#2[-1])",
    ],
)
def test_functions_of_tensors_are_the_same_to_the_bit(
    index: Index, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, all_ = Context(selected=9), np.arange(1, 41)
    with monkeypatch.context() as without:
        without.setattr(vectors, "held", lambda *_: None)
        truth = values(text, index, all_, context=context)
    assert any(truth) and truth[6] is None
    assert values(text, index, all_, context=context) == truth, "and kept"
    assert values(text, index, all_, context=context) == truth
    assert values(text, index, [9, 30, 2], context=context) == [truth[8], truth[29], truth[1]]
    single = [each for each in truth if isinstance(each, float)]
    if single:
        bound = sorted(single)[len(single) // 2]
        found = [number for number, each in enumerate(truth, 1) if isinstance(each, float) and each >= bound]
        for _ in range(2):
            forget(index)
            assert parse(f"{text} >= {bound!r}").select(index, context=context).tolist() == found


def test_the_second_question_opens_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    context, all_ = Context(selected=9), np.arange(1, 41)
    values("cos(resid_post#2[-1], $resid_post#2[-1])", index, all_, context=context)
    opened: list[int] = []
    trace = index.trace
    monkeypatch.setattr(index, "trace", lambda number: (opened.append(number), trace(number))[1])
    for number in (9, 12):
        parse("dist(resid_post#2[-1], $resid_post#2[-1]) < 3 and norm(resid_post#2[-1]) > 1").select(
            index, context=Context(selected=number)
        )
    assert set(opened) <= {7}, "but the damaged trace, of which nothing could be kept"
