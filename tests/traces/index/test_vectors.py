"""Vectors of all traces: right after everything that can happen to a cache, and to the capture behind it."""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path

import ml_dtypes
import msgspec
import numpy as np
import pytest

from tensorshark.traces.errors import IntegrityError, StorageError, UsageError
from tensorshark.traces.index import Index, vectors
from tensorshark.traces.index.bulk import fill_synthetic, fill_vectors
from tensorshark.traces.index.cell import Cell
from tensorshark.traces.index.vector_files import THERE, Floats, Shelf
from tensorshark.traces.index.vectors import Vectors, key_of
from tensorshark.traces.manifest import trace_id
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, synthetic_trace, write_synthetic

CELL = Cell.of("resid_post", 2, "prompt[-1]", 16)


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "some.tshark", traces=12)


def _truth(capture: Capture, cell: Cell = CELL) -> Floats:
    """What the traces themselves say (trace, width)."""
    rows = np.full((len(capture), cell.width), np.nan, np.float32)
    for row, name in enumerate(capture.ids()):
        try:
            kind, vector = cell.read(capture.trace(name))
        except IntegrityError:
            continue
        if vector is not None:
            assert kind == THERE
            rows[row] = vector
    return rows


def _all(index: Index, cell: Cell = CELL) -> Floats:
    """The same from the cache, which must be complete."""
    found = index.vectors(cell)
    assert found.extend()
    return found.matrix().at(np.arange(1, len(index) + 1)).copy()


def _reads(found: Vectors, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The list to which every trace that is opened adds its number from now on."""
    read, numbers = found._read, list[int]()
    monkeypatch.setattr(found, "_read", lambda number: (numbers.append(number), read(number))[1])
    return numbers


def _blocks(index: Index) -> list[Path]:
    return sorted((index.place.folder / "vectors").rglob("*.block"))


def test_a_cell_says_itself_and_reads_one_token() -> None:
    assert str(CELL) == "resid_post#2[prompt[-1]]"
    assert str(Cell.of("attn_out", 0, -1, 4)) == "attn_out#0[-1]"
    assert (
        Cell.of("attn_out", 0, "[5]", 4)
        == Cell.of("attn_out", 0, "all[5]", 4)
        == Cell.of("attn_out", 0, 5, 4)
    )
    for site, layer, position in [
        ("pattern", 0, "-1"),
        ("attn", 0, "-1"),
        ("\x1b[31m", 0, "-1"),
        ("resid_post", -1, "-1"),
        ("resid_post", 0, "prompt"),
        ("resid_post", 0, "0:4"),
        ("resid_post", 0, "prompt[-1],2"),
        ("resid_post", 0, ""),
    ]:
        with pytest.raises(UsageError):
            Cell.of(site, layer, position, 4)


@pytest.mark.parametrize("position", ["-1", "0", "3", "prompt[1]", "prompt[-2]", "-30", "30", "response[0]"])
@pytest.mark.parametrize("site", ["resid_pre", "resid_post", "attn_out"])
def test_vectors_are_those_of_the_traces(capture: Capture, site: str, position: str) -> None:
    cell = Cell.of(site, 1, position, 16)
    with Index.open(capture) as index:
        np.testing.assert_array_equal(_all(index, cell), _truth(capture, cell))
        outside = position in ("-30", "30", "response[0]")
        assert np.isnan(_truth(capture, cell)).all() == outside
        absent = _all(index, Cell.of(site, 9, position, 16)), _all(index, Cell.of(site, 1, position, 8))
        assert all(np.isnan(values).all() for values in absent)


def test_other_types_are_exact(tmp_path: Path) -> None:
    for name, dtype in {"half": np.float16, "brain": ml_dtypes.bfloat16}.items():
        capture = write_synthetic(tmp_path / f"{name}.tshark", traces=1)
        with capture.writer(sync=False) as writer:
            manifest, tensors, stats = synthetic_trace(capture, "one two three", {}, seed=7)
            tensors = {key: array.astype(dtype) for key, array in tensors.items()}
            tensors["blocks.2.hook_resid_post"][-1, :3] = [np.inf, np.nan, -0.0]
            sites = [msgspec.structs.replace(site, dtype=np.dtype(dtype).name) for site in manifest.sites]
            manifest = msgspec.structs.replace(
                manifest, sites=sites, id=trace_id(
                    model_fingerprint=capture.model(manifest.model).fingerprint,
                    token_ids=manifest.token_ids,
                    attention_mask=manifest.attention_mask,
                    sites=sites,
                    dtype="float32",
                    interventions=["seed 7"],
                ),
            )  # fmt: skip
            writer.commit(manifest, tensors, stats)
        with Index.open(capture) as index:
            vector = _all(index)[1]
            np.testing.assert_array_equal(vector, tensors["blocks.2.hook_resid_post"][-1].astype(np.float32))
            assert np.isinf(vector[0]) and np.isnan(vector[1])
            assert index.vectors(CELL).matrix().exact


def test_what_was_read_is_not_read_again(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index.open(capture) as index:
        first = _all(index)
        size = index.vectors(CELL).nbytes
        assert size == sum(path.stat().st_size for path in _blocks(index)) == 12 * (8 + 4 * 16 + 16 + 1)
    with Index.open(capture) as index:
        reads = _reads(index.vectors(CELL), monkeypatch)
        np.testing.assert_array_equal(_all(index), first)
        append_synthetic(capture, traces=3, seed=5)
        index.refresh()
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert reads == [13, 14, 15]
        assert len(_blocks(index)) == 1, "the last block is written anew, the old one removed"


def test_wanted_traces_only(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        reads = _reads(found, monkeypatch)
        assert found.extend(wanted=np.array([7, 3]))
        assert reads == [3, 7]
        values = found.matrix().at(np.arange(1, 13))
        assert sorted(np.flatnonzero(~np.isnan(values[:, 0])) + 1) == [3, 7]
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert sorted(reads) == list(range(1, 13))


def test_the_index_made_again_and_rows_that_move(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index.open(capture) as index:
        _all(index)
    shutil.rmtree(next((capture.path / ".index").glob("g*")))
    # A writer whose journal arrives late: its traces come first in capture order, and all numbers move.
    early = write_synthetic(capture.path.parent / "early.tshark", traces=2, seed=3)
    for folder in (early.path / "traces").glob("*/*"):
        target = capture.path / "traces" / folder.parent.name / folder.name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(folder, target)
    (journal,) = (early.path / "journal").glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    moved, prev = list[str](), ""
    for line in lines:
        if "committed_at" in line:
            line["committed_at"] = "2020-01-01T00:00:00.000000Z"
        if "capture" in line:
            line["capture"] = capture.uuid
        if "prev" in line:
            line["prev"] = prev
        moved.append(json.dumps(line, separators=(",", ":")))
        prev = hashlib.sha256(moved[-1].encode()).hexdigest()
    (capture.path / "journal" / journal.name).write_text("\n".join(moved) + "\n")
    again = Capture.open(capture.path)
    assert len(again) == 14 and again.ids()[:2] == early.ids()
    with Index.open(again) as index:
        reads = _reads(index.vectors(CELL), monkeypatch)
        np.testing.assert_array_equal(_all(index), _truth(again))
        assert reads == [1, 2]


@pytest.mark.parametrize("where", [0, 12 * 8 + 5, 12 * 8 + 12 * 64 + 3, -1, "cut", "gone", "longer"])
def test_damage_is_noticed_and_made_good(capture: Capture, where: int | str) -> None:
    with Index.open(capture) as index:
        first = _all(index)
        (block,) = _blocks(index)
    data = bytearray(block.read_bytes())
    if isinstance(where, int):
        data[where] ^= 4
    block.write_bytes({"cut": data[:-7], "longer": data + b"\0"}.get(str(where), data))
    if where == "gone":
        block.unlink()
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        try:
            assert found.extend()
            values = found.matrix().at(np.arange(1, 13))
        except vectors.DamagedError:  # in the values, which are looked at when they are used
            found.mend()
            assert found.extend()
            values = found.matrix().at(np.arange(1, 13))
        np.testing.assert_array_equal(values, first)


@pytest.mark.parametrize("change", ["stranger", "rows", "text", "version", "other capture"])
def test_a_head_that_is_not_ours_is_not_believed(capture: Capture, change: str) -> None:
    with Index.open(capture) as index:
        _all(index)
        found = index.vectors(CELL)
        path = found.shelf.place.folder / "head.json"
        head = json.loads(path.read_text())
        assert len(found.shelf.head()) == 1
        if change == "stranger":
            key = Path(os.environ["XDG_CACHE_HOME"]) / "tensorshark" / "index.key"
            key.write_bytes(b"x" * 32)
            other = Index.open(capture)
            assert Vectors(other, CELL).shelf.head() == []
            other.close()
            return
        if change == "rows":
            head["blocks"][0]["rows"] = 11
        head["version"] += change == "version"
        head["uuid"] += " " * (change == "other capture")
        path.write_text("{" if change == "text" else json.dumps(head))
        assert found.shelf.head() == []
        np.testing.assert_array_equal(_all(index), _truth(capture))


def test_a_damaged_trace_is_absent_until_it_is_restored(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = capture.trace(capture.ids()[4]).folder / "tensors.safetensors"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    cell = Cell.of("mlp_out", 3, -1, 16)  # the last tensor of the file
    with Index.open(capture) as index:
        assert np.flatnonzero(np.isnan(_all(index, cell)[:, 0])).tolist() == [4]
        reads = _reads(index.vectors(cell), monkeypatch)
        assert index.vectors(cell).extend() and reads == [], "once per opening is enough"
    with Index.open(capture) as index:
        reads = _reads(index.vectors(cell), monkeypatch)
        _all(index, cell)
        assert reads == [5]
        assert index.vectors(cell).nbytes == 12 * (8 + 4 * 16 + 16 + 1), "and is not written twice"
    victim.write_bytes(whole)
    with Index.open(capture) as index:
        np.testing.assert_array_equal(_all(index, cell), _truth(capture, cell))


def test_cancelled_and_resumed(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        assert not found.extend(lambda *at: seen.append(at), lambda: len(seen) > 5)
        assert seen[-1] == (5, 12)
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        assert found.missing().tolist() == list(range(6, 13))
        reads = _reads(found, monkeypatch)
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert reads == list(range(6, 13))


def test_what_is_raised_in_between_loses_nothing(capture: Capture) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with Index.open(capture) as index:
        with pytest.raises(KeyboardInterrupt):
            index.vectors(CELL).extend(stop)
        assert len(index.vectors(CELL).missing()) == 8


def test_estimates_say_what_it_takes(capture: Capture) -> None:
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        estimate = found.estimate()
        assert estimate.traces == 12 and estimate.seconds > 0
        assert estimate.disk == 12 * (8 + 4 * 16 + 16 + 1)
        # resid_post#2 is embed + 2 x 3 outputs of the tensors, (pos, 16) float32 each
        mean = np.mean([len(capture.trace(name).token_ids) for name in capture.ids()])
        assert 0.5 < estimate.bytes / (12 * 7 * 64 * mean) < 2
        found.extend()
        assert found.estimate().traces == found.estimate().bytes == 0


def test_a_disk_that_refuses(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index.open(capture) as index:
        found = index.vectors(CELL)

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tensorshark.traces.index.vector_files.write_file", refuse)
        with pytest.raises(StorageError, match="No space left"):
            found.extend()


def _build(path: str, start: float) -> None:
    while time.time() < start:
        pass
    with Index.open(Capture.open(path)) as index:
        assert index.vectors(CELL).extend()


def test_two_processes_at_once_share_the_work(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "many.tshark", traces=60)
    with Index.open(capture):
        pass
    spawn = multiprocessing.get_context("spawn")
    start = time.time() + 2
    workers = [spawn.Process(target=_build, args=(str(capture.path), start)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        assert len(found.missing()) == 0
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert found.nbytes == 60 * (8 + 4 * 16 + 16 + 1), "no trace was written twice"


def test_threads_build_and_read_at_once(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "COMMIT_S", 0.0)  # a new head after every trace
    truth, wrong = _truth(capture), list[object]()
    with Index.open(capture) as index:
        found, other = index.vectors(CELL), Vectors(index, CELL)

        def look() -> None:
            for _ in range(200):
                try:
                    values = other.matrix().at(np.arange(1, 13))
                except FileNotFoundError:
                    continue
                there = ~np.isnan(values[:, 0])
                if not np.array_equal(values[there], truth[there]):
                    wrong.append(values)

        readers = [threading.Thread(target=look), threading.Thread(target=lambda: other.extend())]
        for reader in readers:
            reader.start()
        assert found.extend()
        for reader in readers:
            reader.join()
        assert not wrong
        assert found.nbytes == 12 * (8 + 4 * 16 + 16 + 1)


def test_rows_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorshark.traces.index.vector_files.BLOCK_BYTES", 4 * 16 * 5)
    capture = write_synthetic(tmp_path / "some.tshark", traces=12)
    with Index.open(capture) as index:
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert [block.rows for block in index.vectors(CELL).shelf.head()] == [5, 5, 2]
        append_synthetic(capture, traces=4, seed=4)
        index.refresh()
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert [block.rows for block in index.vectors(CELL).shelf.head()] == [5, 5, 5, 1]
        chosen = np.array([16, 1, 7, 7, 11])
        np.testing.assert_array_equal(index.vectors(CELL).matrix().at(chosen), _truth(capture)[chosen - 1])
        middle = _blocks(index)[0]
        middle.write_bytes(b"\0" * middle.stat().st_size)
    with Index.open(capture) as index:
        found = index.vectors(CELL)
        found.mend()
        assert len(found.missing()) in (5, 1)
        np.testing.assert_array_equal(_all(index), _truth(capture))


def test_a_capture_that_cannot_be_written(capture: Capture, cache: Path) -> None:
    (capture.path / ".index").rmdir() if (capture.path / ".index").is_dir() else None
    (capture.path / ".index").write_text("in the way")
    with Index.open(capture) as index:
        np.testing.assert_array_equal(_all(index), _truth(capture))
        assert index.vectors(CELL).shelf.place.folder.is_relative_to(cache)


def test_the_last_cells_stay_open(capture: Capture) -> None:
    with Index.open(capture) as index:
        first = index.vectors(CELL)
        assert index.vectors(CELL) is first and len(first) == 0
        for position in range(-20, 0):
            index.vectors(Cell.of("resid_post", 2, position, 16))
        assert index.vectors(CELL) is not first
        assert first.extend() and len(index.vectors(CELL)) == len(first) == 12


def test_numbers_that_are_no_more_have_no_vector(capture: Capture) -> None:
    with Index.open(capture) as index:
        assert index.vectors(CELL).extend()
        assert np.isnan(index.vectors(CELL).matrix().at(np.array([12, 13, 99]))[:, 0]).tolist() == [
            False,
            True,
            True,
        ]


def test_filled_without_traces(tmp_path: Path) -> None:
    with Index.open(Capture.create(tmp_path / "bulk.tshark")) as index:
        fill_synthetic(index, 40)
        fill_vectors(index, Cell.of("resid_post", 12, -1, 32))
        values = _all(index, Cell.of("resid_post", 12, -1, 32))
        assert np.isfinite(values).all() and len(values) == 40


def test_keys_of_any_text() -> None:
    keys = [key_of(text) for text in ("ab" * 32, "AB" * 32, "", "zz" * 32, "ab", "é" * 64, "ab " * 16)]
    assert {len(key) for key in keys} == {16} and keys[0] == bytes.fromhex("ab" * 16)


def test_a_shelf_of_another_width_is_another(tmp_path: Path, capture: Capture) -> None:
    with Index.open(capture) as index:
        one, two = (Shelf(index.place, "a", 4), Shelf(index.place, "b", 4))
        assert one.place.folder != two.place.folder
