"""Measured values in memory and packed: what goes in comes out, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from tensorshark.forensics.measured.columns import Column, DamagedError, chunk, pack, unpack


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_ragged_numbers_with_gaps_and_failures() -> None:
    column = Column(2, texts=False)
    big = np.array([[1.0, np.nan], [0.1, np.inf]])
    column.extend(unpack(*pack(chunk([(5, big), (7, "broken"), (9, np.array([[3.0]]))], 2, False))))
    column.extend(chunk([(2**64 - 1, np.empty((0, 4)))], 2, False))
    places = column.places(ids(9, 1, 5, 7, 2**64 - 1))
    assert places.tolist() == [2, -1, 0, 1, 3]
    cells = column.cells(places)  # (2, 4, trace)
    assert cells.shape == (2, 4, 5) and cells.dtype == np.float64
    assert np.array_equal(cells[:, :2, 2], big, equal_nan=True), "0.1 is not rounded to float32"
    assert cells[0, 0, 0] == 3.0 and np.isnan(cells[1, :, 0]).all() and np.isnan(cells[..., [1, 3, 4]]).all()
    assert column.failures(places) == {"broken": (1, 3)}
    assert column.cells(column.places(ids(7))).shape == (0, 0, 1)


def test_texts_and_truths_and_what_comes_twice() -> None:
    column = Column(1, texts=True)
    odd = np.array([" Paris", "", None, "\x1b", "\0"], object)
    column.extend(unpack(*pack(chunk([(1, odd), (2, np.array([None], object))], 1, True))))
    column.extend(
        unpack(*pack(chunk([(2, np.array(["", "new"], object)), (3, "no"), (3, odd[:1])], 1, True)))
    )
    found = column.cells(column.places(ids(1, 2, 3)))
    assert found[:, 0].tolist() == odd.tolist()
    assert found[:, 1].tolist() == ["", "new", None, None, None]
    assert found[:, 2].tolist() == [" Paris", None, None, None, None]
    assert column.failures(column.places(ids(1, 2, 3))) == {}
    truths = Column(0, texts=True)
    truths.extend(chunk([(1, np.array(True, object)), (2, np.array(None, object)), (3, "no")], 0, True))
    assert truths.cells(truths.places(ids(1, 2, 3))).tolist() == [True, None, None]


def test_places_follow_what_is_added() -> None:
    column, wanted = Column(0, texts=False), ids(3, 4)
    assert column.places(wanted).tolist() == [-1, -1]
    assert np.isnan(column.cells(column.places(wanted))).all()
    column.extend(chunk([(4, np.array(2.0))], 0, False))
    assert column.places(wanted).tolist() == [-1, 0]


def test_damage_is_noticed() -> None:
    crc, body = pack(chunk([(1, np.array([1.5]))], 1, False))
    for at in range(len(body)):
        damaged = bytearray(body)
        damaged[at] ^= 4
        with pytest.raises(DamagedError):
            unpack(crc, bytes(damaged))


def test_arrays_of_many_shapes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against one after the other."""
    from tensorshark.forensics.measured import columns

    monkeypatch.setattr(columns, "_TOGETHER", 500)
    rng = np.random.default_rng(0)
    arrays = [rng.random(rng.integers(0, 5, size=3)) for _ in range(200)]
    column = Column(3, texts=False)
    column.extend(chunk(list(enumerate(arrays)), 3, False))
    found = column.cells(column.places(np.arange(200, dtype=np.uint64)))
    assert found.shape == (4, 4, 4, 200)
    for at, array in enumerate(arrays):
        own = tuple(slice(size) for size in array.shape)
        assert np.array_equal(found[(*own, at)], array)
        assert np.isnan(found[..., at]).sum() == 64 - array.size
