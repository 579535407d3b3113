"""The worker process: real crashes, hangs, leaks and orphans, caused by a plugin that is really installed."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics import host, lens
from tensorshark.forensics.jobs import (
    AnyMessage,
    Done,
    Ending,
    Job,
    JobCancelled,
    JobFailed,
    LensGrid,
    LensJob,
    Limits,
    Progress,
    RunJob,
)
from tensorshark.forensics.results import Text
from tensorshark.forensics.view import View
from tensorshark.forensics.worker import Ticket, Worker
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

pytestmark = pytest.mark.timeout(60)

PLUGIN = '''
import os, signal, subprocess, sys, time
from tensorshark.forensics import Analyzer, Option, Text

def tell(pid):
    with open(os.environ["ROGUE"] + ".tmp", "w") as file:
        file.write(str(pid))
    os.rename(os.environ["ROGUE"] + ".tmp", os.environ["ROGUE"])

class Rogue(Analyzer):
    """Does what a plugin must not do."""
    name = "rogue"
    scope = "corpus"
    options = [Option("what", "nothing", "which crime")]

    def run(self, view, options):
        yield from getattr(self, options["what"])(view)

    def exit(self, view):
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
        yield

    def segfault(self, view):
        os.kill(os.getpid(), signal.SIGSEGV)
        yield

    def spin(self, view):
        yield Text(text="x")
        tell(os.getpid())
        while True:
            try:
                pass
            except BaseException:
                pass

    def slow(self, view):
        yield Text(text="x")
        tell(os.getpid())
        for _ in range(1000):
            for trace in view.progress():
                time.sleep(0.01)

    def hog(self, view):
        kept = []
        while True:
            kept.append(bytearray(16 << 20))
        yield

    def chat(self, view):
        print("{}")
        os.write(1, b"{}\\n")
        yield Text(text=sys.stdin.read())

    def forge(self, view):
        for fd in range(3, 20):
            try:
                os.write(fd, b'{"number": 1}\\n')
            except OSError:
                pass
        yield Text(text="x")

    def spawn(self, view):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        tell(child.pid)
        os._exit(1)
        yield

    def imported(self, view):
        yield Text(text=" ".join(sys.modules))
'''


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("worker") / "c.tshark", traces=8)


@pytest.fixture(autouse=True)
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin where the worker process, and nobody else, finds it."""
    (tmp_path / "rogue.py").write_text(PLUGIN)
    info = tmp_path / "rogue-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tensorshark.analyzers]\nrogue = rogue:Rogue\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ROGUE", str(tmp_path / "pid"))
    return tmp_path / "pid"


class Desk:
    """A worker, and what it says."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.worker = Worker()

    def submit(self, job: Job) -> tuple[Ticket, "queue.Queue[AnyMessage]"]:
        said: queue.Queue[AnyMessage] = queue.Queue()
        return self.worker.submit(job, said.put), said

    def do(self, job: Job) -> list[AnyMessage]:
        """All messages of one job but progress."""
        return _all(self.submit(job)[1])

    def rogue(self, what: str, **limits: float) -> RunJob:
        return RunJob(
            analyzer="rogue",
            capture=str(self.capture.path),
            options={"what": what},
            limits=Limits(**limits),  # type: ignore[arg-type]
        )

    def lens(self, number: int = 1, **more: object) -> LensJob:
        return LensJob(
            capture=str(self.capture.path),
            trace=self.capture.ids()[number - 1],
            **({"layers": [0, 3], "positions": [0, 2, 4]} | more),  # type: ignore[arg-type]
        )


@pytest.fixture
def desk(capture: Capture) -> Iterator[Desk]:
    desk = Desk(capture)
    yield desk
    desk.worker.close()


def _all(said: "queue.Queue[AnyMessage]") -> list[AnyMessage]:
    messages: list[AnyMessage] = []
    while not messages or not isinstance(messages[-1], Ending):
        message = said.get(timeout=30)
        if not isinstance(message, Progress):
            messages.append(message)
    return messages


def test_a_lens_grid_is_what_the_lens_says(desk: Desk) -> None:
    for job in (desk.lens(), desk.lens(positions=[4, 5, 2]), desk.lens(layers=[3, 1], track=7), desk.lens()):
        grid, done = desk.do(job)
        assert isinstance(grid, LensGrid) and isinstance(done, Done)
        right = lens.read(desk.capture.trace(job.trace), job.layers, job.positions, job.top_k, job.track)
        for name in ("token_ids", "probs", "entropy", "kl", "kl_reverse", "rank", "tracked"):
            np.testing.assert_allclose(getattr(grid, name), getattr(right, name), rtol=1e-5, atol=1e-6)
        vocab = desk.capture.vocab("synthetic")
        assert grid.tokens[1][2][0] == vocab[grid.token_ids[1, 2, 0]]
        assert (grid.layers, grid.positions) == (job.layers, job.positions)


def test_a_lens_job_that_cannot_be_done_says_why(desk: Desk) -> None:
    for job, reason in (
        (desk.lens(layers=[9]), "layer 9 was not captured"),
        (desk.lens(positions=[99]), "positions 0 to"),
        (desk.lens(track=10_000), "vocabulary"),
    ):
        (failed,) = desk.do(job)
        assert isinstance(failed, JobFailed) and reason in failed.reason and not failed.crashed
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_results_are_those_of_the_host(desk: Desk) -> None:
    ids = desk.capture.ids()[:3]
    *results, done = desk.do(RunJob(analyzer="norms", capture=str(desk.capture.path), ids=ids))
    assert isinstance(done, Done)
    assert results == list(host.run("norms", View(desk.capture, ids)))


def test_traces_are_chosen_by_a_filter(desk: Desk) -> None:
    job = RunJob(
        analyzer="norms", capture=str(desk.capture.path), filter='label.category == "fact"', options={}
    )
    ids = [trace.id for trace in desk.capture.select('label.category == "fact"')]
    assert desk.do(job)[:-1] == list(host.run("norms", View(desk.capture, ids)))


def test_a_bad_filter_or_option_is_the_jobs_failure(desk: Desk) -> None:
    path = str(desk.capture.path)
    for job, reason in (
        (RunJob(analyzer="norms", capture=path, filter="seq_len >"), "a value"),
        (RunJob(analyzer="norms", capture=path, options={"x": "1"}), "no option x"),
        (RunJob(analyzer="nothing", capture=path), "no analyzer"),
        (RunJob(analyzer="norms", capture=path + "x"), "no such capture"),
    ):
        (failed,) = desk.do(job)
        assert isinstance(failed, JobFailed) and not failed.crashed, failed
        assert reason in failed.reason


@pytest.mark.parametrize(
    ("crime", "evidence"), [("exit", "exit code 3: last words"), ("segfault", "SIGSEGV")]
)
def test_a_crash_is_one_jobs_failure(desk: Desk, crime: str, evidence: str) -> None:
    assert isinstance(desk.do(desk.lens())[-1], Done)
    (failed,) = desk.do(desk.rogue(crime))
    assert isinstance(failed, JobFailed) and failed.crashed and evidence in failed.reason, failed
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_a_process_that_was_killed_between_jobs_is_replaced(desk: Desk) -> None:
    assert isinstance(desk.do(desk.lens())[-1], Done)
    (text, _) = desk.do(desk.rogue("imported"))
    child = desk.worker._child
    assert child is not None and isinstance(text, Text)
    os.kill(child._process.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_cancelling_stops_a_job_and_spares_the_process(desk: Desk, told: Path) -> None:
    pids = []
    for _ in range(2):
        ticket, said = desk.submit(desk.rogue("slow"))
        pids.append(_pid(told))
        began = time.monotonic()
        ticket.cancel()
        ticket.cancel()
        assert [type(message) for message in _all(said)] == [JobCancelled]
        assert time.monotonic() - began < 1
        assert ticket.wait(1)
    assert pids[0] == pids[1]


def test_a_job_that_does_not_listen_is_killed(
    desk: Desk, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tensorshark.forensics.worker.GRACE_S", 0.3)
    ticket, said = desk.submit(desk.rogue("spin"))
    pid = _pid(told)
    ticket.cancel()
    assert [type(message) for message in _all(said)] == [JobCancelled]
    _gone(pid)
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_the_newest_lens_job_wins(desk: Desk) -> None:
    busy, _ = desk.submit(desk.rogue("slow"))
    waiting = [desk.submit(desk.lens(number)) for number in (1, 2, 3)]
    other, heard = desk.submit(RunJob(analyzer="norms", capture=str(desk.capture.path)))
    busy.cancel()
    ends = [_all(said) for _, said in waiting]
    assert [type(end[-1]) for end in ends] == [JobCancelled, JobCancelled, Done]
    assert isinstance(ends[2][0], LensGrid) and ends[2][0].trace == desk.capture.ids()[2]
    assert isinstance(_all(heard)[-1], Done) and other.wait(5)  # only lens jobs replace lens jobs


def test_a_waiting_job_can_be_cancelled(desk: Desk) -> None:
    busy, _ = desk.submit(desk.rogue("slow"))
    ticket, said = desk.submit(desk.lens())
    ticket.cancel()
    assert isinstance(_all(said)[-1], JobCancelled)
    assert not busy.ended.is_set()


def test_time_and_memory_have_limits(desk: Desk) -> None:
    *_, failed = desk.do(desk.rogue("spin", seconds=1.0))
    assert isinstance(failed, JobFailed) and "longer than 1 s" in failed.reason
    *results, _ = desk.do(desk.rogue("hog", bytes=256 << 20))
    assert "MemoryError" in str(results)
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_what_a_plugin_prints_is_not_a_message(desk: Desk) -> None:
    text, done = desk.do(desk.rogue("chat"))
    assert isinstance(text, Text) and text.text == "" and isinstance(done, Done)


def test_a_forged_message_fails_the_job(desk: Desk) -> None:
    *_, failed = desk.do(desk.rogue("forge"))
    assert isinstance(failed, JobFailed) and "no message" in failed.reason
    assert isinstance(desk.do(desk.lens())[-1], Done)


def test_what_a_plugin_started_dies_with_it(desk: Desk, told: Path) -> None:
    (failed,) = desk.do(desk.rogue("spawn"))
    assert isinstance(failed, JobFailed)
    _gone(_pid(told))


def test_a_receiver_that_raises_does_not_stop_the_worker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr("threading.excepthook", lambda args: reported.append(args.exc_value))
    ticket = desk.worker.submit(desk.lens(), lambda message: 1 / 0)
    assert ticket.wait(30)
    assert isinstance(desk.do(desk.lens())[-1], Done)
    assert {type(error) for error in reported} == {ZeroDivisionError}


def test_the_worker_imports_neither_torch_nor_a_screen(desk: Desk) -> None:
    desk.do(desk.lens())
    text, _ = desk.do(desk.rogue("imported"))
    assert isinstance(text, Text)
    assert not {"torch", "transformers", "textual", "rich"} & set(text.text.split())


def test_closing_ends_the_process_and_takes_no_more(desk: Desk, told: Path) -> None:
    desk.submit(desk.rogue("spin"))
    pid = _pid(told)
    desk.worker.close()
    desk.worker.close()
    _gone(pid)
    with pytest.raises(RuntimeError):
        desk.submit(desk.lens())


@pytest.mark.parametrize("crime", ["spin", "slow"])
def test_no_orphan_is_left_when_the_parent_is_killed(capture: Capture, told: Path, crime: str) -> None:
    program = (
        "import sys, time; from tensorshark.forensics.worker import Worker\n"
        "from tensorshark.forensics.jobs import RunJob\n"
        "job = RunJob(analyzer='rogue', capture=sys.argv[1], options={'what': sys.argv[2]})\n"
        "Worker().submit(job, print); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", program, str(capture.path), crime])
    child = _pid(told)
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    _gone(child)


def _pid(told: Path) -> int:
    """Of the process that the plugin tells about; the file goes away."""
    for _ in range(3000):
        if told.exists():
            pid = int(told.read_text())
            told.unlink()
            return pid
        time.sleep(0.01)
    pytest.fail("the plugin did not start")


def _gone(pid: int) -> None:
    """Wait until there is no such process; fail if it stays."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} is still there")
