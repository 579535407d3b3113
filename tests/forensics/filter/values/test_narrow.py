"""Measured cells of many traces in little memory, whatever the longest of them."""

from collections.abc import Iterator

import numpy as np
import pytest

from tensorshark.forensics.filter import parse
from tensorshark.forensics.filter.answers.kept import forget
from tensorshark.forensics.filter.columns import numbers
from tensorshark.forensics.filter.values import narrow
from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import write_synthetic

LENGTHS = "SELECT seq_len FROM traces ORDER BY row"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Twenty traces of several lengths."""
    with Index.open(write_synthetic(tmp_path_factory.mktemp("narrow") / "x.tshark", traces=20)) as index:
        yield index


@pytest.mark.parametrize("cells", [1, 100, 200, 1 << 22])
@pytest.mark.parametrize("chosen", [range(1, 21), [1, 2, 5, 9, 10, 20]])
def test_every_trace_is_in_one_batch_and_none_is_too_wide(
    cells: int, chosen: list[int], index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrow, "CELLS", cells)
    lengths = dict(enumerate((length for (length,) in index.query(LENGTHS)), 1))
    (batch,) = Reader(index).batches(np.array(chosen))
    found = list(narrow.narrowed(batch))
    assert np.concatenate([part.numbers for part in found]).tolist() == list(chosen)
    for part in found:
        longest = max(lengths[number] for number in part.numbers.tolist())
        assert part.count == 1 or part.count * longest * part.layers <= cells
    assert (len(found) == 1) == (cells == 1 << 22)


@pytest.mark.parametrize("text", ["max(lens.entropy) > 2", "lens.p > 0.3", "zscore(max(lens.p)) > 0"])
def test_narrow_batches_give_the_same_answers(
    text: str, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, keys = parse(text).select(index), numbers("max(lens.p)", index, range(1, 21))
    monkeypatch.setattr(narrow, "CELLS", 200)
    forget(index)
    assert parse(text).select(index).tolist() == expected.tolist()
    assert numbers("max(lens.p)", index, range(1, 21)).tolist() == keys.tolist()
