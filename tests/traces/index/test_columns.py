"""Column blocks: they grow in traces and layers, forget, and never give a value that was not written."""

from pathlib import Path

import numpy as np
import pytest

from tensorshark.traces.index import database
from tensorshark.traces.index.columns import BLOCK, Column, Floats, Store, remove
from tensorshark.traces.index.database import Connection, Database
from tensorshark.traces.index.seal import DamagedError

NAME = "resid_post.norm"


class Table:
    """A store with its table, and what was put in."""

    def __init__(self, folder: Path) -> None:
        self.connection: Connection = Database(folder / "d.sqlite").connect()
        database.create(self.connection)
        self.folder = folder / "columns"
        self.store = Store(self.folder)
        self.count = 0

    def add(self, values: Floats | None, count: int = 0) -> None:
        fields = {} if values is None else {NAME: values}
        count = count if values is None else values.shape[1]
        remove(self.store.append(self.connection, self.count, fields, count))
        self.count += count

    def column(self, store: Store | None = None) -> Column:
        shapes = self.store.shapes(self.connection, NAME)

        def recover() -> tuple[Store, dict[int, object]]:
            raise DamagedError("again")

        return Column(NAME, self.count, store or self.store, shapes, recover)  # type: ignore[arg-type]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def _random(layers: int, count: int) -> Floats:
    return np.random.default_rng(count).standard_normal((layers, count)).astype(np.float32)


def test_values_come_back_from_any_number_of_appends(table: Table) -> None:
    parts = [_random(3, size) for size in (1, 254, 1, 1, 3000, BLOCK, 500)]
    for part in parts:
        table.add(part)
        assert table.column().layers().shape == (3, table.count)
    whole = np.concatenate(parts, axis=1)
    column = table.column(Store(table.folder))
    np.testing.assert_array_equal(column.layers(1, 3), whole[1:3])
    joined = np.concatenate([values for _, values in column.blocks(2, 3)], axis=1)
    np.testing.assert_array_equal(joined, whole[2:3])
    chosen = np.array([column.count, 1, BLOCK, BLOCK + 1, 17])
    np.testing.assert_array_equal(column.at(chosen), whole[:, chosen - 1])
    assert len(list(table.folder.rglob("*.f32"))) == 2  # superseded files are gone


def test_absent_is_nan(table: Table) -> None:
    table.add(None, 3)
    table.add(_random(2, 2))
    table.add(None, 2)
    table.add(_random(4, 1))
    values = table.column().layers()
    absent = np.isnan(values)
    assert values.shape == (4, 8)
    assert absent[:, [0, 1, 2, 5, 6]].all()
    assert not absent[:2, 3:5].any() and absent[2:, 3:5].all()
    assert not absent[:, 7].any()
    assert np.isnan(table.column().layers(3, 6)[1:]).all()  # past the last layer


def test_a_field_that_comes_late_is_absent_before(table: Table) -> None:
    table.add(None, BLOCK + 10)
    table.add(_random(2, 5))
    column = table.column()
    assert np.isnan(column.layers()[:, : BLOCK + 10]).all()
    np.testing.assert_array_equal(column.layers()[:, BLOCK + 10 :], _random(2, 5))


def test_forgetting_leaves_readers_what_they_have(table: Table) -> None:
    before = _random(2, BLOCK + 300)
    table.add(before)
    column = table.column()
    assert column.layers().shape == before.shape
    stale = table.store.truncate(table.connection, 100)
    table.count = 100
    table.add(_random(2, 7))
    np.testing.assert_array_equal(column.layers(), before)  # an older view, still whole
    remove(stale)
    now = table.column().layers()
    np.testing.assert_array_equal(now[:, :100], before[:, :100])
    np.testing.assert_array_equal(now[:, 100:], _random(2, 7))


def test_damage_is_noticed_in_the_layers_that_are_read(table: Table) -> None:
    table.add(_random(3, 200))
    (file,) = table.folder.rglob("*.f32")
    data = bytearray(file.read_bytes())
    data[4 * 256 + 5] ^= 1  # layer 1
    file.write_bytes(data)
    fresh = table.column(Store(table.folder))
    fresh.layers(0, 1)
    fresh.layers(2, 3)
    for damaged in (lambda: fresh.layers(1, 2), lambda: fresh.at([1]), lambda: fresh.layers()):
        with pytest.raises(DamagedError):
            damaged()
    file.write_bytes(data[:-4])
    with pytest.raises(DamagedError):
        table.column(Store(table.folder)).layers(0, 1)


def test_what_lies_beyond_the_written_part_does_not_matter(table: Table) -> None:
    table.add(_random(2, 10))
    (file,) = table.folder.rglob("*.f32")
    data = bytearray(file.read_bytes())
    data[40:44] = b"\1\2\3\4"  # the eleventh trace, as left by a writer that was killed
    file.write_bytes(data)
    np.testing.assert_array_equal(table.column(Store(table.folder)).layers(), _random(2, 10))
    table.store = Store(table.folder)
    table.add(_random(2, 3))
    np.testing.assert_array_equal(table.column().layers()[:, 10:], _random(2, 3))
