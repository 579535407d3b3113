"""Files of chained lines, apart from what the lines say; the journal's tests cover reading and damage."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tensorshark.traces.chain import MAX_PROBLEMS, ChainFile, ChainWriter, digest
from tensorshark.traces.errors import StorageError


class Words(ChainFile[str]):
    """A word a line; the chain is in `prev` alone."""

    def said(self, line: bytes) -> str | None:
        if not line.isalpha():
            self.problem(f"line {self.lines} is no word")
            return None
        return line.decode()


def test_several_lines_are_written_at_once_and_the_chain_goes_through_them(tmp_path: Path) -> None:
    writer = ChainWriter(tmp_path / "w.jsonl")
    writer.create()
    writer.append([b"one", b"two"])
    assert writer.prev == digest(b"two")
    writer.append([b"three"])
    writer.close()
    file = Words(tmp_path / "w.jsonl")
    assert file.refresh(tmp_path) == ["one", "two", "three"]
    assert file.prev == writer.prev == digest(b"three")


def test_all_of_what_does_not_fit_is_taken_back(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    writer = ChainWriter(tmp_path / "w.jsonl")
    writer.create()
    writer.append([b"one"])
    with file_limit(8), pytest.raises(StorageError, match="make room"):
        writer.append([b"two", b"three"])
    assert (tmp_path / "w.jsonl").read_bytes() == b"one\n"
    assert writer.certain
    with pytest.raises(StorageError, match="start again"):
        writer.append([b"four"])
    writer.close()


def test_problems_of_one_file_are_counted_up_to_a_cap(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    path.write_bytes(b"".join(json.dumps(i).encode() + b"\n" for i in range(5 * MAX_PROBLEMS)))
    file = Words(path)
    assert file.refresh(tmp_path) == []
    assert len(file.problems) == MAX_PROBLEMS
