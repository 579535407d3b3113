"""The engine as a screen or a command uses it: headless, following, and with real work in its workers."""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tensorshark.forensics.engine import Engine
from tensorshark.forensics.filter import Cancelled
from tensorshark.forensics.jobs import AnyMessage, Done, LensGrid, LensJob, Progress, RunJob
from tensorshark.forensics.results import Table
from tensorshark.traces.errors import FilterError, IntegrityError, NotFoundError
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve traces, two of each category."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_synthetic(tmp_path / "c.tshark", traces=12).path


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with Engine(path) as engine:
        yield engine


def test_selecting_sorting_and_counting(engine: Engine) -> None:
    assert engine.select().tolist() == list(range(1, 13))
    assert engine.select(descending=True).tolist() == list(range(12, 0, -1))
    longest = engine.select(sort="seq_len", descending=True)
    by_norm = engine.select("number > 2", "resid_post.norm#1[-1]")
    assert engine.select(sort="seq_len", descending=True, limit=5).tolist() == longest[:5].tolist()
    assert engine.select("number > 2", "resid_post.norm#1[-1]", limit=1).tolist() == by_norm[:1].tolist()
    assert engine.select(descending=True, limit=2).tolist() == [12, 11]
    injections = engine.select('label.category == "injection"')
    assert injections.tolist() == [2, 8]
    assert [row.labels["category"] for row in engine.rows(injections)] == ["injection"] * 2
    assert engine.count('label.category == "injection"') == 2
    assert engine.count() == 12
    assert engine.labels()["category"]["code"] == 2
    order = engine.select("", sort="resid_post.norm#-1[-1]", descending=True)
    norms = [row.norms[-1] for row in engine.rows(order)]
    assert norms == sorted(norms, reverse=True) and len(norms) == 12


def test_a_filter_that_cannot_be_read_is_an_error_with_a_place(engine: Engine) -> None:
    with pytest.raises(FilterError) as caught:
        engine.select("seq_len >> 3")
    assert caught.value.column > 0
    assert engine.check("seq_len >> 3").state == "bad"
    assert engine.check("seq_len >").state == "incomplete"
    assert engine.check("seq_len > 3").state == "ok"
    assert any(item.text.startswith("seq_len") for item in engine.complete("seq", 3))


def test_a_selection_can_be_cancelled(engine: Engine) -> None:
    with pytest.raises(Cancelled):
        engine.select("seq_len > 3", cancelled=lambda: True)


def test_traces_open_by_id_or_its_beginning(engine: Engine) -> None:
    row = engine.rows([3])[0]
    assert (engine.trace(row.id).number, engine.trace(row.id[:12]).id) == (3, row.id)
    with pytest.raises(NotFoundError):
        engine.trace("zz")
    manifest = engine.trace(row.id).folder / "trace.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"synthetic", b"syntheti_"))
    with pytest.raises(IntegrityError) as caught:
        engine.trace(row.id)
    assert caught.value.trace_id == row.id


def test_the_closest_traces(engine: Engine) -> None:
    number = engine.number("#5")
    assert engine.number(engine.ids([5])[0][:12]) == number == 5
    cell = engine.cell(number)
    assert str(cell) == "resid_post#2[-1]", "the middle of four layers"
    told: list[tuple[int, int]] = []
    among = engine.select("number < 9")
    hits = engine.similar(
        number, cell, 3, among=among, on_progress=lambda done, total: told.append((done, total))
    )
    assert len(hits) == 3 and 5 not in hits.numbers and hits.numbers.max() < 9 and told[-1] == (8, 8)
    with pytest.raises(Cancelled):
        engine.similar(number, cell, cancelled=lambda: True)
    assert engine.similar(number, cell).compared == 11
    by_filter = engine.select("number < 9", f'similar_to("#5", {cell})', descending=True)
    assert by_filter[:4].tolist() == [5, *hits.numbers.tolist()]


def test_opening_does_not_wait_and_refreshing_catches_up(path: Path) -> None:
    with Engine(path, wait=False) as engine:
        assert (engine.count(), engine.follow()) == (0, True)
        gained = 0
        while engine.follow():
            gained += engine.refresh(0.001)
        assert (gained, engine.count()) == (12, 12)


def test_following_a_capture_that_grows(engine: Engine) -> None:
    assert not engine.follow()
    before = engine.labels()["category"]["credential"]
    append_synthetic(engine.capture, traces=1, seed=9)
    assert engine.follow()
    assert engine.refresh() == 1
    assert not engine.follow()
    assert engine.labels()["category"]["credential"] == before + 1
    assert engine.trace(engine.rows([13])[0].id).number == 13


def test_lens_and_analyzer_run_side_by_side(engine: Engine) -> None:
    said: queue.Queue[tuple[str, AnyMessage]] = queue.Queue()
    ids, path = engine.capture.ids(), str(engine.capture.path)
    run = engine.run(RunJob(analyzer="norms", capture=path), lambda m: said.put(("run", m)))
    job = LensJob(capture=path, trace=ids[0], layers=[0, 3], positions=[0])
    lens = engine.lens(job, lambda m: said.put(("lens", m)))
    assert run.wait(30) and lens.wait(30)
    heard = [entry for entry in said.queue if not isinstance(entry[1], Progress)]
    kinds = {name: [type(message) for who, message in heard if who == name] for name in ("run", "lens")}
    assert kinds["lens"] == [LensGrid, Done]
    assert kinds["run"][0] is Table and kinds["run"][-1] is Done


def test_many_threads_may_ask_while_it_grows(engine: Engine) -> None:
    failures: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            while not stop.is_set():
                rows = engine.rows(engine.select("seq_len > 0 and resid_post.norm#1[-1] > 0")[-20:])
                assert all(row.norms[1] > 0 for row in rows)
                engine.labels()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for seed in range(30, 50):
        append_synthetic(engine.capture, traces=5, seed=seed)
        engine.refresh(0.01)
    engine.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert engine.count("seq_len > 0") == 112


def test_the_engine_needs_no_torch_and_no_screen(path: Path) -> None:
    program = (
        "import sys; from tensorshark.forensics.engine import Engine\n"
        "with Engine(sys.argv[1]) as engine: engine.rows(engine.select())\n"
        "print(*{'torch', 'textual', 'lark', 're2', 'rich', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_capture_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Engine(tmp_path / "no.tshark")
