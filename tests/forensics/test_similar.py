"""Query by example finds exactly what float64 finds, whatever the vectors are like."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from tensorshark.forensics.closeness import cosine, distance
from tensorshark.forensics.filter import Cancelled
from tensorshark.forensics.similar import Metric, cell_of, named, nearest, similar, similar_to_each
from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.index import Index
from tensorshark.traces.index.bulk import fill_synthetic
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.index.vectors import key_of
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

Floats = NDArray[np.float32]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tensorshark.traces.index.vector_files.BLOCK_BYTES", 4 * 24 * 100)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "some.tshark", traces=20)


@pytest.fixture
def index(capture: Capture) -> Iterator[Index]:
    with Index.open(capture) as index:
        yield index


def _stored(folder: Path, values: Floats) -> tuple[Index, Cell]:
    """An index whose traces have these vectors (trace, width)."""
    index = Index.open(Capture.create(folder / "made.tshark"))
    fill_synthetic(index, len(values))
    cell = Cell.of("resid_post", 12, -1, values.shape[1])
    digests = index.query("SELECT manifest_sha256 FROM traces ORDER BY row")
    index.vectors(cell).add([key_of(digest) for (digest,) in digests], values)
    return index, cell


def _brute(values: Floats, query: int, k: int, metric: Metric, among: list[int] | None = None) -> list[int]:
    """Numbers of the closest in float64, one vector after the other."""
    score = cosine if metric == "cos" else distance
    scored = [
        (float(score(vector, values[query - 1])) * (-1 if metric == "cos" else 1), number)
        for number, vector in enumerate(values, 1)
        if number != query and (among is None or number in among)
    ]
    return [number for found, number in sorted(pair for pair in scored if pair[0] == pair[0])][:k]


def _sets() -> dict[str, Floats]:
    rng = np.random.default_rng(1)
    plain = rng.standard_normal((500, 24)).astype(np.float32)
    near = np.tile(plain[:1], (500, 1))  # float32 cannot tell their products apart
    near[np.arange(500), rng.integers(24, size=500)] *= np.float32(1 + 2**-20)
    sizes = plain * np.float32(10) ** rng.integers(-30, 30, size=(500, 1)).astype(np.float32)
    holes = plain.copy()
    holes[rng.random(500) < 0.3] = 0
    holes[rng.random(500) < 0.2] = np.nan
    holes[rng.random(500) < 0.1, 3] = np.inf
    holes[rng.random(500) < 0.1, 5] = np.nan
    holes[0] = plain[0]
    cone = plain + np.float32(1000)  # all cosines above 0.9999
    twins = plain[rng.integers(40, size=500)]
    twins[::3] *= 2  # the same direction exactly
    tiny = (plain * np.float32(1e-41)).astype(np.float32)
    return {
        "plain": plain,
        "near": near,
        "sizes": sizes,
        "holes": holes,
        "cone": cone,
        "twins": twins,
        "tiny": tiny,
        "one": plain[:, :1],
    }


@pytest.mark.parametrize("metric", ["cos", "l2"])
@pytest.mark.parametrize("name", sorted(_sets()))
def test_the_order_is_that_of_float64(tmp_path: Path, name: str, metric: Metric) -> None:
    values = _sets()[name]
    index, cell = _stored(tmp_path, values)
    with index:
        for query in (1, 2, 77, 500):
            if not np.isfinite(values[query - 1]).all() or not values[query - 1].any():
                continue
            for k in (1, 10, 499, 5000):
                hits = similar(index, query, cell, k, metric)
                assert hits.numbers.tolist() == _brute(values, query, k, metric)
                score = cosine if metric == "cos" else distance
                np.testing.assert_array_equal(hits.scores, score(values[hits.numbers - 1], values[query - 1]))


@pytest.mark.parametrize("metric", ["cos", "l2"])
def test_it_agrees_with_a_library(tmp_path: Path, metric: Metric) -> None:
    values = _sets()["plain"]
    index, cell = _stored(tmp_path, values)
    with index:
        found = similar_to_each(index, list(range(1, 501)), cell, 7, metric, itself=True)
    library = NearestNeighbors(algorithm="brute", metric={"cos": "cosine", "l2": "euclidean"}[metric])
    distances, rows = library.fit(values.astype(np.float64)).kneighbors(values.astype(np.float64), 7)
    assert [hits.numbers.tolist() for hits in found] == (rows + 1).tolist()
    scores = np.array([hits.scores for hits in found])
    np.testing.assert_allclose(scores, 1 - distances if metric == "cos" else distances, atol=1e-6)


def test_near_ties_are_decided_as_exact_numbers_decide_them(tmp_path: Path) -> None:
    values = _sets()["near"]
    index, cell = _stored(tmp_path, values)
    with index:
        hits = similar(index, 1, cell, 20, "l2")

    def gap(number: int) -> Fraction:
        pairs = zip(values[number - 1].tolist(), values[0].tolist(), strict=True)
        return sum(((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs), Fraction())

    # Exactly equal distances may differ in the last bit of a float64 sum; others are in order.
    exact = [gap(number) for number in hits.numbers.tolist()]
    assert all(float(a) <= float(b) * (1 + 1e-15) for a, b in pairwise(exact))
    assert float(max(exact)) <= float(sorted(gap(number) for number in range(2, 501))[19]) * (1 + 1e-15)


def test_equal_ones_come_in_capture_order(tmp_path: Path) -> None:
    values = np.tile(_sets()["plain"][:1], (300, 1))
    values[::2] *= 4
    index, cell = _stored(tmp_path, values)
    with index:
        hits = similar(index, 9, cell, 5)
        assert hits.numbers.tolist() == [1, 2, 3, 4, 5] and hits.scores.tolist() == [1.0] * 5
        assert similar(index, 9, cell, 2, "l2", itself=True).numbers.tolist() == [1, 3]


def test_only_some_may_be_found(tmp_path: Path) -> None:
    values = _sets()["holes"]
    index, cell = _stored(tmp_path, values)
    with index:
        among = [3, 40, 41, 400, 420, 430, 440, 450]
        hits = similar(index, 1, cell, 4, among=np.array(among))
        assert hits.numbers.tolist() == _brute(values, 1, 4, "cos", among)
        assert similar(index, 1, cell, 4, among=np.array([1])).numbers.tolist() == []
        assert similar(index, 1, cell, 4, among=np.array([1]), itself=True).numbers.tolist() == [1]
        assert len(similar(index, 1, cell, 4, among=np.array([], np.int64))) == 0
        everything = similar(index, 1, cell, 1000)
        there = ~np.isnan(values).all(axis=1)
        assert everything.compared == 499 and everything.absent == 0, "stored as there"
        assert len(everything) == len(_brute(values, 1, 1000, "cos")) < there.sum()


def test_many_queries_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    values = _sets()["cone"]
    index, cell = _stored(tmp_path, values)
    with index:
        together = similar_to_each(index, list(range(1, 71)), cell, 6)
        for number, hits in enumerate(together, 1):
            alone = similar(index, number, cell, 6)
            assert hits.numbers.tolist() == alone.numbers.tolist()
            assert hits.scores.tolist() == alone.scores.tolist()


def test_a_query_that_nothing_is_like(tmp_path: Path) -> None:
    values = np.zeros((5, 24), np.float32)
    values[0] = np.nan
    values[1, 0] = np.inf
    values[3:] = 1
    index, cell = _stored(tmp_path, values)
    with index:
        with pytest.raises(NotFoundError, match="has no vector"):
            similar(index, 1, cell)
        with pytest.raises(UsageError, match="not finite"):
            similar(index, 2, cell)
        with pytest.raises(UsageError, match="no direction"):
            similar(index, 3, cell)
        assert similar(index, 3, cell, metric="l2").numbers.tolist() == [4, 5, 2]
        assert similar(index, 4, cell).numbers.tolist() == [5]


def test_damage_found_in_use_is_made_good(index: Index, capture: Capture) -> None:
    cell = cell_of(index.trace(3), "resid_post", 1)
    first = similar(index, 3, cell)
    assert first.compared == 19
    for path in (index.place.folder / "vectors").rglob("*.block"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    with Index.open(capture) as again:
        assert similar(again, 3, cell).numbers.tolist() == first.numbers.tolist()
        append_synthetic(capture, traces=2, seed=8)
        again.refresh()
        assert similar(again, 3, cell).compared == 21


def test_only_what_is_asked_about_is_read(index: Index) -> None:
    cell = cell_of(index.trace(3), "resid_post", 1)
    similar(index, 3, cell, among=np.array([1, 2]))
    assert len(index.vectors(cell).missing()) == 17


def test_cancelled(index: Index) -> None:
    cell = cell_of(index.trace(3), "resid_post", 1)
    with pytest.raises(Cancelled):
        similar(index, 3, cell, cancelled=lambda: True)


def test_what_to_compare(index: Index) -> None:
    trace = index.trace(1)
    assert cell_of(trace) == Cell.of("resid_post", 2, -1, 16), "the middle of four layers"
    assert cell_of(trace, "mlp_out", -1, "prompt[0]") == Cell.of("mlp_out", 3, "prompt[0]", 16)
    for site, layer, position, said in [
        ("resid_post", 4, "-1", "layers 0 to 3"),
        ("resid_post", -9, "-1", "layers 0 to 3"),
        ("resid_post", 0, "response[0]", "spans prompt"),
        ("resid_post", 0, "99", "tokens"),
    ]:
        with pytest.raises(NotFoundError, match=said):
            cell_of(trace, site, layer, position)
    with pytest.raises(UsageError, match="resid_pre, attn_out, mlp_out, resid_post"):
        cell_of(trace, "pattern")


def test_names_of_traces(index: Index) -> None:
    ids = index.capture.ids()
    assert named(index, "#1") == 1 and named(index, "#20") == 20
    assert [named(index, name) for name in ids] == list(range(1, 21))
    assert named(index, ids[4][:10]) == 5
    for name in (
        "",
        "#0",
        "#21",
        "#",
        "#-1",
        "#²",
        "zz",
        "'",
        "%",
        "\x1b[2J",
        "#" + "9" * 40,
        "\ud800",
        "A",
        "a\0",
        "0" * 17,
    ):
        with pytest.raises(NotFoundError):
            named(index, name)
    first = sorted(ids)
    shared = next(a[:1] for a, b in pairwise(first) if a[0] == b[0])
    with pytest.raises(NotFoundError, match="several"):
        named(index, shared)


def test_an_empty_matrix(tmp_path: Path) -> None:
    with Index.open(Capture.create(tmp_path / "empty.tshark")) as index:
        matrix = index.vectors(Cell.of("resid_post", 0, -1, 4)).matrix()
        assert len(nearest(matrix, np.ones((1, 4)), 3)[0]) == 0
