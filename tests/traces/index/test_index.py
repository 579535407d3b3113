"""The index answers what a scan of all traces would answer, whatever happens to its files."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tensorshark.traces.errors import NotFoundError
from tensorshark.traces.index import BLOCK, Index, Indexed
from tensorshark.traces.journal import JournalEntry
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, commit_synthetic, write_synthetic
from tests.traces.index.brute import ask, scan

HOSTILE = [
    "The capital of Paris",
    "visible\0hidden Paris",
    'a "quoted" part',
    "ünïcode ﷽ and an escape \x1b]52;c;x\x07",
    "x" * 5000 + " Paris at the end",
    "",
]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Thirty traces, some of them with texts that want to be misread."""
    made = write_synthetic(tmp_path / "c.tshark", traces=18)
    append_synthetic(made, traces=12, seed=5, prompts=HOSTILE)
    return made


def test_answers_equal_a_scan(capture: Capture) -> None:
    with Index.open(capture) as index:
        assert ask(index) == scan(capture.path)


def test_hidden_text_is_found_behind_a_nul(capture: Capture) -> None:
    with Index.open(capture) as index:
        found = dict(index.texts(index.containing("hidden Paris")))
        assert set(found.values()) == {"visible\0hidden Paris"}
        assert dict(index.texts(index.containing("\0h"))) == found
        assert len(index.containing("Paris at the end")) == 2  # beyond what a row keeps for display
        assert len(index.containing("PARIS")) == 0


def test_follows_a_growing_capture(capture: Capture) -> None:
    with Index.open(capture) as index:
        assert index.refresh() == 0
        append_synthetic(capture, traces=3, seed=7)
        assert index.behind
        assert index.refresh() == 3
        assert not index.behind
        assert ask(index) == scan(capture.path)


def test_two_writers_at_once_are_numbered_in_capture_order(capture: Capture) -> None:
    with Index.open(capture) as index, capture.writer() as early, capture.writer() as late:
        for writer, seed in ((late, 11), (early, 12), (late, 13), (early, 14)):
            commit_synthetic(writer, traces=2, seed=seed)
            if writer is early:
                assert index.refresh() == 4
        assert ask(index) == scan(capture.path)


def test_an_entry_that_arrives_late_takes_its_place(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "c.tshark", traces=4)
    hidden = next((capture.path / "journal").iterdir())
    append_synthetic(capture, traces=5, seed=2)
    aside = hidden.rename(tmp_path / hidden.name)  # as on a network disk that shows a new file late
    late = Capture.open(capture.path)
    with Index.open(late) as index:
        assert len(index) == 5
        aside.rename(hidden)
        assert index.refresh() == 4
        assert ask(index) == scan(capture.path)


def test_a_damaged_manifest_is_listed_without_its_text(capture: Capture) -> None:
    victim = capture.trace(capture.ids()[2])
    manifest = victim.folder / "trace.json"
    good = manifest.read_bytes()
    manifest.chmod(0o600)
    manifest.write_bytes(good.replace(victim.prompt.encode()[:9], b"FORGED!!!"))
    with Index.open(capture) as index:
        row = index.rows([3])[0]
        assert (row.id, row.prompt, row.labels, row.expert) == (victim.id, "", {}, "error")
        assert index.query("SELECT severity, code FROM experts WHERE row = 3") == [("error", "integrity")]
        assert "FORGED" not in str(list(index.texts()))
        assert ask(index) == scan(capture.path)
    manifest.write_bytes(good)  # restored from a copy
    with Index.open(capture) as index:
        assert index.rows([3])[0].prompt == victim.prompt
        assert ask(index) == scan(capture.path)


def test_damaged_statistics_are_not_shown_as_values(capture: Capture) -> None:
    victim = capture.trace(capture.ids()[2])
    stats = victim.folder / "stats.safetensors"
    data = bytearray(stats.read_bytes())
    data[-1] ^= 1
    stats.write_bytes(data)
    with Index.open(capture) as index:
        row = index.rows([3])[0]
        assert row.prompt == victim.prompt
        assert row.expert == "error"
        assert all(np.isnan(row.norms))


def test_a_row_that_is_not_there_is_left_out(capture: Capture) -> None:
    with Index.open(capture) as index:
        assert [row.number for row in index.rows([30, 99, 1, 0])] == [30, 1]
        assert index.number_of(index.id_of(7)) == 7
        assert index.number_of("f" * 16) == 0
        with pytest.raises(NotFoundError, match="31 among 30"):
            index.id_of(31)
        with pytest.raises(NotFoundError, match=r"resid_post\.norm"):
            index.column("norm.resid_post")


def test_an_empty_capture_has_an_empty_index(tmp_path: Path) -> None:
    with Index.open(Capture.create(tmp_path / "e.tshark")) as index:
        assert (len(index), index.labels(), index.rows([1]), list(index.texts())) == (0, {}, [], [])
        assert index.column("attn.entropy").layers().shape == (0, 0)
        assert index.containing("x").tolist() == []


def test_opening_does_not_wait_and_slices_catch_up(capture: Capture) -> None:
    with Index.open(capture, refresh=False) as index:
        assert (len(index), index.behind) == (0, True)
        grown = []
        while index.behind:
            grown.append(index.refresh(budget_s=0.001))
        assert sum(grown) == 30
        assert len(grown) > 2
        assert ask(index) == scan(capture.path)


@pytest.mark.parametrize("seed", range(60))
def test_damage_at_random_bytes_never_changes_an_answer(capture: Capture, seed: int) -> None:
    with Index.open(capture) as index:
        right = ask(index)
    chance = random.Random(seed)
    files = [path for path in sorted((capture.path / ".index").rglob("*")) if path.is_file()]
    victim = chance.choices(files, weights=[path.stat().st_size + 2000 for path in files])[0]
    data = bytearray(victim.read_bytes())
    if seed % 4 == 0:
        data = data[: chance.randrange(len(data) + 1)]
    else:
        for _ in range(chance.choice((1, 1, 20))):
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    victim.write_bytes(data)
    with Index.open(Capture.open(capture.path)) as index:
        assert ask(index) == right


def test_damage_while_it_is_open_never_changes_an_answer(capture: Capture) -> None:
    right = scan(capture.path)
    for name in ("*.f32", "index.sqlite"):
        with Index.open(capture) as first:
            first.close()
        with Index.open(capture) as index:
            for path in (capture.path / ".index").rglob(name):
                data = bytearray(path.read_bytes())
                data[: len(data) // 2] = bytes(len(data) // 2)
                path.write_bytes(data)
            assert ask(index) == right


def test_the_cache_may_be_deleted_under_a_reader(capture: Capture) -> None:
    with Index.open(capture) as index:
        shutil.rmtree(capture.path / ".index")
        append_synthetic(capture, traces=1, seed=8)
        index.refresh()
        assert ask(index) == scan(capture.path)


def test_an_index_of_another_capture_or_user_is_not_believed(capture: Capture, tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "o.tshark", traces=5, seed=3)
    with Index.open(other), Index.open(capture):
        pass
    shutil.rmtree(capture.path / ".index")
    shutil.copytree(other.path / ".index", capture.path / ".index")
    with Index.open(capture) as index:
        assert ask(index) == scan(capture.path)
    (tmp_path / "cache" / "tensorshark" / "index.key").unlink()  # as if it came with a stranger's capture
    index_before = {path.name for path in (capture.path / ".index").iterdir()}
    with Index.open(capture) as index:
        assert ask(index) == scan(capture.path)
    assert {path.name for path in (capture.path / ".index").iterdir()} != index_before


def test_a_capture_that_was_replaced_is_noticed(capture: Capture, tmp_path: Path) -> None:
    with Index.open(capture):
        pass
    shutil.rmtree(capture.path / "journal")
    shutil.rmtree(capture.path / "traces")
    append_synthetic(Capture.open(capture.path), traces=40, seed=99)
    with Index.open(Capture.open(capture.path)) as index:
        assert ask(index) == scan(capture.path)


def test_read_only_evidence_is_indexed_in_the_users_cache(capture: Capture) -> None:
    """As a user who may read the capture and nothing more."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        top, home = Path(name), Path(name) / "home"
        evidence = Path(shutil.copytree(capture.path, top / "c.tshark"))
        home.mkdir()
        for path in (evidence, *evidence.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(home, nobody, nobody)
            top.chmod(0o755)
        found = _listed_as(nobody, evidence, home)
        left = list((home / "cache" / "tensorshark" / "index").rglob("index.sqlite"))
        inside = (evidence / ".index").exists()
        for path in (evidence, *evidence.rglob("*")):
            path.chmod(0o755)
    assert found == ["30", capture.ids()[0]] * 2
    assert (len(left), inside) == (1, False)


def _listed_as(user: int, capture: Path, home: Path) -> list[str]:
    """Number of traces and first id, twice, in a process of a user without rights."""
    program = (
        "import os, sys\n"
        "from tensorshark.traces.store import Capture; from tensorshark.traces.index import Index\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setgid({user}); os.setuid({user})\n"
        "for _ in range(2):\n"
        "    with Index.open(Capture.open(sys.argv[1])) as index: print(len(index), index.rows([1])[0].id)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(capture)],
        env={"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split() or [done.stderr]


def test_processes_that_refresh_at_once_agree(capture: Capture) -> None:
    program = (
        "import sys, time; from tensorshark.traces.store import Capture\n"
        "from tensorshark.traces.index import Index\n"
        "sys.path.insert(0, sys.argv[2]); from tests.traces.index.brute import ask, scan\n"
        "index = Index.open(Capture.open(sys.argv[1]), refresh=False)\n"
        "stop = time.monotonic() + 60\n"
        "while len(index) < 130 and time.monotonic() < stop: index.refresh(0.002); index.labels()\n"
        "index.refresh(); assert ask(index) == scan(sys.argv[1]); print('same')"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-P", "-c", program, str(capture.path), str(root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for seed in range(20, 30):
        append_synthetic(capture, traces=10, seed=seed)
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["same"] * 4


def test_a_killed_refresh_leaves_an_index_that_is_right(capture: Capture) -> None:
    append_synthetic(capture, traces=400, seed=40)
    program = (
        "import sys; from tensorshark.traces.store import Capture\n"
        "from tensorshark.traces.index import Index\n"
        "index = Index.open(Capture.open(sys.argv[1]), refresh=False); print('go', flush=True)\n"
        "while index.behind: index.refresh(0.003)"
    )
    for seed in range(8):
        shutil.rmtree(capture.path / ".index", ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(capture.path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        time.sleep(random.Random(seed).uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with Index.open(Capture.open(capture.path)) as index:
            assert ask(index) == scan(capture.path)


def test_what_a_killed_process_committed_is_kept(capture: Capture) -> None:
    program = (
        "import os, sys; from tensorshark.traces.store import Capture\n"
        "from tensorshark.traces.index import Index, seal\n"
        "index = Index.open(Capture.open(sys.argv[1]), refresh=False)\n"
        "seal.Seal.close = lambda *_: os._exit(9)\n"
        "index.refresh()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program, str(capture.path)], check=False)
    assert done.returncode == 9
    log = next((capture.path / ".index").rglob("*-wal"))
    assert log.stat().st_size > 0
    Index.open(capture, refresh=False).close()
    with Index.open(capture) as index:
        assert ask(index) == scan(capture.path)
    assert log.parent.is_dir()  # the same generation: nothing had to be made again


def test_no_transaction_stays_open_between_questions(capture: Capture) -> None:
    with Index.open(capture) as index:
        ask(index)
        append_synthetic(capture, traces=2, seed=50)
        index.refresh()
        log = next((capture.path / ".index").rglob("*-wal"))
        assert log.stat().st_size == 0  # a reader inside a transaction would have kept it


@pytest.mark.parametrize(
    ("sql", "way"),
    [
        ("SELECT row, labels FROM traces WHERE damaged = 0 AND row IN (1, 2, 3)", "PRIMARY KEY"),
        ("SELECT row FROM traces WHERE damaged = 0 AND seq_len > 3", "COVERING INDEX"),
        ("SELECT row FROM traces WHERE damaged = 0 AND model = 'm'", "COVERING INDEX"),
        ("SELECT row FROM traces WHERE next_id IS NOT NULL AND next_token = 'x'", "COVERING INDEX"),
        ("SELECT row FROM traces ORDER BY captured_at, row", "COVERING INDEX"),
        ("SELECT row FROM labels WHERE key = 'k' AND value = 'v'", "PRIMARY KEY"),
    ],
)
def test_common_questions_scan_no_rows(capture: Capture, sql: str, way: str) -> None:
    with Index.open(capture) as index:
        plan = " ".join(str(row[3]) for row in index.query("EXPLAIN QUERY PLAN " + sql))
        assert way in plan


def test_a_filled_index_grows_over_many_blocks(tmp_path: Path) -> None:
    """The path that benches take; values cross block borders and blocks grow."""
    count, step = BLOCK + 5000, 7000
    norms = np.random.default_rng(0).random((3, count), dtype=np.float32)  # (layer, trace)
    with Index.open(Capture.create(tmp_path / "b.tshark")) as index:
        for start in range(0, count, step):
            part = norms[:, start : start + step]
            index.fill([_made(start + i) for i in range(part.shape[1])], {"resid_post.norm": part})
        assert len(index) == count
        np.testing.assert_array_equal(index.column("resid_post.norm").layers(), norms)
        np.testing.assert_array_equal(index.column("resid_post.norm").layers(1, 2), norms[1:2])
        chosen = [1, BLOCK, BLOCK + 1, count]
        np.testing.assert_array_equal(
            index.column("resid_post.norm").at(chosen), norms[:, np.array(chosen) - 1]
        )
        assert index.labels()["category"] == {"a": -(-count // 2), "b": count // 2}


def _made(number: int) -> Indexed:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    entry = JournalEntry(
        id=digest[:16], manifest_sha256=digest, committed_at=f"{number:08d}", writer="w", seq=number + 1
    )
    return Indexed(entry=entry, labels={"category": "ab"[number % 2]}, prompt="p", text="p")
