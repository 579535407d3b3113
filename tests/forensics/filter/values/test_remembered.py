"""What is worked out for all traces is kept until there are others."""

from pathlib import Path

from tensorshark.forensics.filter.values.reader import Reader
from tensorshark.forensics.filter.values.remembered import Remembered
from tensorshark.traces.index import Index
from tensorshark.traces.synthetic import append_synthetic, write_synthetic


def test_the_last_few_are_kept_until_a_trace_is_added(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=2)
    kept: Remembered[int] = Remembered(2)
    made: list[str] = []

    def get(index: Index, key: str) -> int:
        return kept.get(Reader(index), key, lambda: made.append(key) or len(made))

    with Index.open(capture) as index:
        assert [get(index, "a"), get(index, "b"), get(index, "a")] == [1, 2, 1]
        assert [get(index, "c"), get(index, "a"), get(index, "b")] == [3, 1, 4]  # b was used longest ago
        append_synthetic(capture, traces=1, seed=9)
        index.refresh()
        assert get(index, "a") == 5
        kept.forget(index)
        assert get(index, "a") == 6
