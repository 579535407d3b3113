"""Whole columns compared: the same answer as cell by cell, whatever the extents let it leave unread."""

from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.filter.values import scan as scanning
from tensorshark.forensics.filter.values.relations import OneOf, Order, Range, Relation
from tensorshark.forensics.filter.values.scan import scan
from tensorshark.traces.index import columns, database
from tensorshark.traces.index.columns import Column, Floats, Store
from tensorshark.traces.index.database import Database
from tensorshark.traces.index.seal import DamagedError

NAME = "resid_post.norm"
LAYERS, BLOCKS, SIZE = 4, 12, 8
SOME = np.array([0, 0.5, 1, 2, np.inf, -np.inf, np.nan], np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (columns, scanning):
        monkeypatch.setattr(module, "BLOCK", SIZE)


def _values(random: np.random.Generator) -> Floats:
    """(layer, trace): in some blocks a layer has one value, in some a few, and often none is absent."""
    parts = []
    for _ in range(BLOCKS):
        drawn = random.choice(SOME[: random.integers(2, len(SOME) + 1)], (LAYERS, SIZE))
        flat = random.random(LAYERS) < 0.5
        drawn[flat] = random.choice(SOME, (int(flat.sum()), 1))
        parts.append(drawn)
    return np.concatenate(parts, axis=1)[:, : -SIZE // 2]


def _column(folder: Path, values: Floats) -> Column:
    connection = Database(folder / "d.sqlite").connect()
    database.create(connection)
    store = Store(folder / "columns")
    store.append(connection, 0, {NAME: values}, values.shape[1])
    shapes = store.shapes(connection, NAME)
    connection.close()

    def recover() -> tuple[Store, dict[int, columns.Shape]]:
        raise DamagedError("not in this test")

    return Column(NAME, values.shape[1], store, shapes, recover)


def _relation(random: np.random.Generator) -> Relation:
    """With a constant that is one of the values, or lies close to one."""
    constant = float(random.choice([0, 0.1, 0.5, 1, 1 + 1e-12, 1.5, 2, 1e300]))
    kind = random.integers(8)
    if kind == 0:
        return Range(constant, constant + 1)
    if kind == 1:
        members = Order("==", constant), Range(1, 2), Order(">", 1e300)
        return OneOf(members[: random.integers(1, 4)], outside=bool(random.integers(2)))
    return Order(str(random.choice(["==", "!=", "<", "<=", ">", ">="])), constant)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("small_blocks")
def test_what_is_left_unread_changes_no_answer(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = _values(random)
    column = _column(tmp_path, values)
    for _ in range(80):
        relation = _relation(random)
        layers = sorted(random.choice(LAYERS + 1, random.integers(1, LAYERS + 1), replace=False).tolist())
        here = [values[layer] for layer in layers if layer < LAYERS]  # beyond the last there is nothing
        cells = [[float(cell) for cell in trace if cell == cell] for trace in np.transpose(here)]
        if not here:
            cells = [[]] * column.count
        told = [[relation.one(cell) for cell in trace] for trace in cells]
        found = scan(column, layers, relation, "any", lambda: None)
        assert found.tolist() == [any(trace) for trace in told], (relation, layers)
        found = scan(column, layers, relation, "all", lambda: None)
        assert found.tolist() == [bool(trace) and all(trace) for trace in told], (relation, layers)


@pytest.mark.usefixtures("small_blocks")
def test_only_what_may_match_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.ones((LAYERS, BLOCKS * SIZE), np.float32)
    values[2, 3 * SIZE + 1] = 9
    column = _column(tmp_path, values)
    column.extents(0, LAYERS)  # known from the first question on
    read: list[int] = []
    block = column.block
    monkeypatch.setattr(column, "block", lambda at, *layers: read.append(at) or block(at, *layers))
    found = scan(column, range(LAYERS), Order(">", 5), "any", lambda: None)
    assert np.flatnonzero(found).tolist() == [3 * SIZE + 1]
    assert set(read) == {3}
