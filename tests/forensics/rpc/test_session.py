"""The real process: its ends, its order, what it does with clients that are slow, greedy, gone or hostile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tensorshark.forensics.rpc import document, protocol
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

from .conftest import START, Client, Start

pytestmark = pytest.mark.timeout(120)

SLOW = "dozing"
"""An analyzer that takes as long as it is told to."""
PLUGIN = '''
"""Sleeps, prints, crashes."""
import os, time
from tensorshark.forensics import Analyzer, Option

class Dozing(Analyzer):
    """Sleeps in small steps; prints where it should not; ends the process when it is told to."""
    name = "dozing"
    scope = "corpus"
    options = [Option("seconds", 60.0, "how long"), Option("crash", False, "end the process")]

    def run(self, view, options):
        print("not for the protocol", flush=True)
        os.system("echo not for the protocol either; cat")
        end = time.monotonic() + options["seconds"]
        while time.monotonic() < end:
            view.report(1, 2)
            time.sleep(0.01)
        if options["crash"]:
            os._exit(3)
        for trace in view.progress():
            yield trace.row(tokens=len(trace.token_ids))
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a server that finds the analyzer."""
    place = tmp_path_factory.mktemp("plugin")
    (place / "dozing.py").write_text(PLUGIN)
    info = place / "dozing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dozing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tensorshark.analyzers]\ndozing = dozing:Dozing\n")
    return {"PYTHONPATH": str(place)}


@pytest.fixture
def dozing(example: Capture, serve: Start, plugin: dict[str, str]) -> Client:
    """A server with something that takes long."""
    client = serve(example.path, "--stdio", env=plugin)
    client.ask("status")
    return client


def doze(seconds: float = 60, **options: Any) -> dict[str, Any]:
    """Parameters of a run that takes so long."""
    return {"analyzer": SLOW, "options": {"seconds": seconds, **options}}


def test_it_ends_with_its_input(example: Capture) -> None:
    lines = b'{"jsonrpc":"2.0","id":1,"method":"status"}\n\n  \n'
    lines += b'{"jsonrpc":"2.0","id":2,"method":"check","params":[""]}'
    done = subprocess.run(
        [sys.executable, "-P", "-c", START, "serve", str(example.path), "--stdio"],
        input=lines,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]


def test_what_runs_at_the_end_is_cancelled_and_answered(dozing: Client) -> None:
    running = dozing.send("run", doze())
    waiting = dozing.send("run", doze())
    dozing.notified("progress")
    start = time.monotonic()
    assert dozing.end() == 0
    assert time.monotonic() - start < 4
    for id in (running, waiting):
        assert dozing.answer(id)["error"]["code"] == protocol.CANCELLED


def test_what_runs_at_the_end_can_be_waited_for(
    example: Capture, serve: Start, plugin: dict[str, str]
) -> None:
    client = serve(example.path, "--stdio", "--finish", env=plugin)
    ids = [
        client.send("run", doze(0.3)),
        client.send("run", doze(0)),
        client.send("slice", {"id": "#1", "site": "resid_post"}),
    ]
    assert client.end() == 0
    for id in ids:
        assert "result" in client.answer(id)
    again = serve(example.path, "--stdio", "--finish", env=plugin)
    again.send("run", doze())
    again.notified("progress")
    again.stdin.close()
    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(10) == 128 + signal.SIGTERM, "an end is an end"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_cleanly(dozing: Client, number: signal.Signals) -> None:
    id = dozing.send("run", doze())
    dozing.notified("progress")
    dozing.process.send_signal(number)
    assert dozing.answer(id)["error"]["code"] == protocol.CANCELLED
    assert dozing.process.wait(10) == 128 + number
    assert dozing.process.stderr and dozing.process.stderr.read().count(b"Traceback") == 0


def test_its_worker_dies_with_it(dozing: Client) -> None:
    dozing.send("run", doze())
    dozing.notified("progress")
    children = Path(f"/proc/{dozing.process.pid}/task/{dozing.process.pid}/children")
    [child] = [pid for task in children.parent.parent.glob("*/children") for pid in task.read_text().split()]
    dozing.process.kill()
    dozing.process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("busy", [False, True])
def test_nobody_reads_its_output_any_more(dozing: Client, busy: bool) -> None:
    """It ends without a word, whether it has something to say or not."""
    if busy:
        dozing.send("run", doze())
        dozing.notified("progress")
    # The listening thread holds the pipe; a server of our own is simpler to leave.
    command = [sys.executable, "-P", "-c", START, "serve", *dozing.process.args[5:]]  # type: ignore[index]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    if busy:
        process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"fields"}\n')
        process.stdin.flush()
    assert process.wait(10) == 141
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


def test_stdout_is_for_the_protocol_alone(dozing: Client) -> None:
    """An analyzer prints, and starts programs that print and read: all of it goes elsewhere."""
    answer = dozing.ask("run", doze(0))
    assert len(answer["runs"][0]["results"][0]["rows"]) == 8
    assert dozing.ask("status")["traces"] == 8


def test_a_cancelled_request_says_so_at_once_and_the_next_one_runs(dozing: Client) -> None:
    first, second = dozing.send("run", doze()), dozing.send("run", doze())
    dozing.notified("progress")
    running = {each["request"]: each for each in dozing.ask("status")["running"]}
    assert running.keys() == {first, second}
    assert (running[first]["method"], running[first]["total"]) == ("run", 2)
    for id in (second, first):
        start = time.monotonic()
        assert dozing.ask("cancel", {"request": id}) == {"cancelled": True}
        assert dozing.answer(id)["error"] == {"code": protocol.CANCELLED, "message": "cancelled"}
        assert time.monotonic() - start < 0.5
    assert dozing.ask("cancel", {"request": first}) == {"cancelled": False}
    assert dozing.ask("run", doze(0))["traces"] == 8
    assert dozing.ask("status")["running"] == []


def test_cancelling_by_notification(dozing: Client) -> None:
    id = dozing.send("run", doze())
    dozing.notified("progress")
    dozing.write(json.dumps({"jsonrpc": "2.0", "method": "cancel", "params": [id]}).encode())
    assert dozing.answer(id)["error"]["code"] == protocol.CANCELLED


def test_an_id_that_is_taken(dozing: Client) -> None:
    """The first keeps its answer; nobody can mistake the refusal for it."""
    id = dozing.send("run", doze(0.5))
    dozing.send("run", doze(), id=id)
    dozing.send("trace", {"id": "#1"}, id="1")
    assert dozing.answer(None)["error"]["code"] == protocol.INVALID_REQUEST
    assert dozing.answer("1")["result"]["number"] == 1
    assert dozing.answer(id)["result"]["traces"] == 8


def test_a_worker_that_dies_fails_its_request_alone(dozing: Client) -> None:
    error = dozing.refuse("run", doze(0, crash=True))
    assert error["code"] == -32007 and error["data"]["exit_code"] == 7
    assert "exit code 3" in error["message"]
    assert dozing.ask("run", doze(0))["traces"] == 8


def test_what_is_quick_does_not_wait_for_what_is_not(dozing: Client) -> None:
    run = dozing.send("run", doze())
    dozing.notified("progress")
    lens = dozing.send("lens", {"id": "#1"})
    start = time.monotonic()
    quick = [dozing.send("check", {"filter": "seq_len > 3"}) for _ in range(50)]
    slices = [dozing.send("slice", {"id": "#2", "site": "resid_post"}) for _ in range(5)]
    for id in quick:
        assert dozing.answer(id)["result"]["state"] == "ok"
    assert time.monotonic() - start < 2
    for id in (*slices, lens):
        assert "result" in dozing.answer(id)
    dozing.ask("cancel", {"request": run})


def test_a_thousand_requests_each_get_their_own_answer(client: Client, example: Capture) -> None:
    """A hundred at a time; what is asked differs in every one."""
    ids = example.ids()
    for start in range(0, 1000, 100):
        for n in range(start, start + 100):
            match n % 4:
                case 0:
                    client.send("trace", {"id": ids[n % 8]}, id=f"q{n}")
                case 1:
                    params = {"id": ids[n % 8], "site": "resid_post.norm", "layer": n % 3, "pos": "0"}
                    client.send("slice", params, id=f"q{n}")
                case 2:
                    client.send("rows", {"offset": n % 8, "limit": 1}, id=f"q{n}")
                case 3:
                    client.send("check", {"filter": f"seq_len > {n}"}, id=f"q{n}")
        for n in reversed(range(start, start + 100)):
            result = client.answer(f"q{n}")["result"]
            match n % 4:
                case 0:
                    assert (result["id"], result["number"]) == (ids[n % 8], n % 8 + 1)
                case 1:
                    assert (result["id"], result["layers"]) == (ids[n % 8], [n % 3])
                case 2:
                    assert result["rows"][0]["id"] == ids[n % 8]
                case 3:
                    assert result["words"].endswith(f" exceeds {n}")


def test_batches(client: Client) -> None:
    status = {"jsonrpc": "2.0", "method": "status"}
    request = {"jsonrpc": "2.0", "id": "s", "method": "slice", "params": ["#1", "resid_post.norm"]}
    lens = {"jsonrpc": "2.0", "id": "l", "method": "lens", "params": ["#1"]}
    client.write(
        json.dumps([status, 1, request, lens, {**status, "id": "x"}, {**status, "method": "no"}]).encode()
    )
    answer = client.hear()
    while isinstance(answer, dict):  # the lens may say how far it is
        assert answer["method"] == "progress"
        answer = client.hear()
    assert {each["id"] for each in answer} == {None, "s", "l", "x"} and len(answer) == 4
    [refused] = [each for each in answer if each["id"] is None]
    assert refused["error"]["code"] == protocol.INVALID_REQUEST
    client.write(json.dumps([status, status]).encode(), b"[]")
    assert client.hear()["error"]["code"] == protocol.INVALID_REQUEST, "notifications are not answered"


def test_notifications_are_never_answered(client: Client) -> None:
    for message in (
        {"method": "nothing"},
        {"method": "rows", "params": {"x": 1}},
        {"method": "run", "params": []},
    ):
        client.write(json.dumps({"jsonrpc": "2.0", **message}).encode())
    client.write(json.dumps({"jsonrpc": "2.0", "method": "lens", "params": {"id": "#1"}}).encode())
    last = client.send("status")
    assert client.hear()["id"] == last


def test_too_much_at_once_is_refused_and_the_next_line_read(client: Client) -> None:
    client.write(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * protocol.MAX_REQUEST + b'"}')
    answer = client.hear()
    assert answer["error"]["code"] == protocol.INVALID_REQUEST and answer["id"] is None
    assert "8,388,608 bytes" in answer["error"]["message"]
    client.write(b'{"jsonrpc":"2.0","id":1,"method":"check","params":["' + b"x" * (8_000_000) + b'"]}')
    assert client.hear()["error"]["code"] == protocol.INVALID_PARAMS
    error = client.refuse("lens", {"id": "#1", "layer": [0] * 1024, "pos": "all[:]", "top_k": 100})
    assert error["code"] == protocol.TOO_LARGE
    error = client.refuse("slice", {"id": "#1", "site": "resid_post", "layer": [0] * 1000 * 9})
    assert error["code"] == protocol.INVALID_PARAMS


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) << 10


def test_a_client_that_does_not_read_costs_no_memory(example: Capture) -> None:
    """It writes ten thousand questions and reads nothing: they wait in the pipe, and it with them."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START, "serve", str(example.path), "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    ask = b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}\n'
    process.stdin.write(ask % (0, b"rows", b"{}"))
    process.stdin.flush()
    process.stdout.readline()
    before = memory(process.pid)
    os.set_blocking(process.stdin.fileno(), False)
    written, data = (
        0,
        b"".join(
            ask % (n, b"slice", b'{"id":"#1","site":"resid_post"}') + ask % (-n, b"rows", b"{}")
            for n in range(1, 20_000)
        ),
    )
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and written < len(data):
        try:
            written += os.write(process.stdin.fileno(), data[written : written + 65536])
        except BlockingIOError:
            time.sleep(0.02)
    assert written < len(data), "it should not take more than it can hold"
    assert memory(process.pid) - before < 64 << 20
    process.stdin.close()
    said = [json.loads(line) for line in process.stdout]
    assert process.wait(20) == 0
    assert len({each["id"] for each in said}) == len(said) > 10, "each is answered once, in the end"
    process.stdout.close()


def test_new_traces_are_told_to_who_asked(tmp_path: Path, serve: Start) -> None:
    capture = write_synthetic(tmp_path / "grows.tshark", traces=2)
    client = serve(capture.path, "--stdio")
    assert client.ask("follow") == {"following": True, "traces": 2}
    append_synthetic(capture, traces=3, seed=5)
    total = 2
    while total < 5:
        note = client.notified("traces")
        total += note["new"]
        assert (note["traces"], note["problem"]) == (total, "")
    assert client.ask("rows")["total"] == 5
    assert client.ask("follow", {"on": False})["following"] is False
    append_synthetic(capture, traces=1, seed=6)
    deadline = time.monotonic() + 20
    while client.ask("rows")["total"] < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.ask("rows")["total"] == 6 and client.notifications == []


def test_a_capture_that_goes_away_is_told_to_who_asked(tmp_path: Path, serve: Start) -> None:
    capture = write_synthetic(tmp_path / "goes.tshark", traces=2)
    client = serve(capture.path, "--stdio")
    client.ask("follow")
    capture.path.rename(tmp_path / "gone.tshark")
    assert "no longer there" in client.notified("traces")["problem"]
    (tmp_path / "gone.tshark").rename(capture.path)
    assert client.notified("traces")["problem"] == ""
    assert client.ask("trace", {"id": "#1"})["number"] == 1


def test_an_index_that_is_not_there_yet_is_waited_for(tmp_path: Path, serve: Start) -> None:
    """The first question is about all traces, however long the index takes; others need not wait."""
    capture = write_synthetic(tmp_path / "new.tshark", traces=400, layers=1, d_model=2)
    client = serve(capture.path, "--stdio", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    asked = client.send("rows", {"limit": 0})
    checked = client.ask("check", {"filter": "seq_len > 3"})
    assert checked["state"] == "ok"
    assert client.answer(asked)["result"] == {"total": 400, "offset": 0, "rows": []}


def test_damage_is_an_error_that_names_the_trace(tmp_path: Path, serve: Start) -> None:
    capture = write_synthetic(tmp_path / "damaged.tshark", traces=2)
    ids = capture.ids()
    path = capture.trace(ids[0]).folder / "tensors.safetensors"
    client = serve(capture.path, "--stdio")
    client.ask("rows")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    error = client.refuse("slice", {"id": ids[0], "site": "mlp_out", "layer": 3})
    assert (error["code"], error["data"]["trace"]) == (-32004, ids[0])
    assert "result" in client.answer(client.send("slice", {"id": ids[1], "site": "mlp_out"}))


def test_a_method_that_crashes_is_one_line_and_the_server_lives(
    example: Capture, tmp_path: Path, serve: Start
) -> None:
    """A fault of ours, made by hand: the answer has its place, not its message, and no traceback follows."""
    (tmp_path / "sitecustomize.py").write_text(
        "import tensorshark.forensics.engine as e\n"
        "def broken(self, text, selected): raise ZeroDivisionError('the secret ' + text)\n"
        "e.Engine.check = broken\n"
    )
    client = serve(example.path, "--stdio", env={"PYTHONPATH": str(tmp_path)})
    error = client.refuse("check", {"filter": "prompt"})
    assert error["code"] == -32603 and "ZeroDivisionError at" in error["message"]
    assert client.ask("rows")["total"] == 8
    assert client.end() == 0
    assert client.process.stderr
    said = client.process.stderr.read().decode()
    assert said.count("\n") == 1 and "internal error" in said and "secret" not in said


HOSTILE = "\x1b]0;PWNED\x07 \u202egnp.exe \x9b31m \x7f\u2028 [INST] \U000e0041 \\u001b é 😀"


def test_hostile_text_comes_back_exactly_and_cannot_command_a_terminal(tmp_path: Path) -> None:
    """A person may look at the answers, or a log of them."""
    labels = [{"category": HOSTILE, HOSTILE: "x"}]
    capture = write_synthetic(tmp_path / "hostile.tshark", traces=2, prompts=[HOSTILE, "x"], labels=labels)
    asked: list[tuple[str, Any]] = [
        ("rows", {"columns": ["prompt", "label.category", "token"]}),
        ("trace", {"id": "#1"}),
        ("check", {"filter": f'prompt contains "{HOSTILE}"'}),
        ("complete", {"filter": "label.category == "}),
        ("rows", {"filter": f"{HOSTILE} =="}),
        ("rows", {"sort": HOSTILE}),
        ("trace", {"id": HOSTILE}),
        ("slice", {"id": "#1", "site": HOSTILE}),
        ("run", {"analyzer": "norms"}),
        ("run", {"analyzer": HOSTILE}),
        ("stats", {"by": ["label.category"], "expressions": ["seq_len"]}),
        ("explain", {"filter": f'prompt contains "{HOSTILE}"'}),
        (HOSTILE, {}),
        ("rows", {HOSTILE: 1}),
    ]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": f"{n} {HOSTILE}", "method": method, "params": params})
        for n, (method, params) in enumerate(asked)
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", START, "serve", str(capture.path), "--stdio", "--finish"],
        input="\n".join([*lines, HOSTILE]).encode(),
        capture_output=True,
        timeout=60,
    )
    said = done.stdout.decode().splitlines()
    assert done.returncode == 0 and done.stderr == b"" and len(said) >= len(asked) + 1
    assert all(line.isprintable() for line in said)
    answers = {each.get("id"): each for each in map(json.loads, said)}
    rows = answers[f"0 {HOSTILE}"]["result"]
    assert rows["rows"][0]["prompt"] == rows["cells"][0][0] == HOSTILE
    assert rows["rows"][0]["labels"] == labels[0]
    assert "".join(answers[f"1 {HOSTILE}"]["result"]["tokens"]) == HOSTILE
    assert answers[f"4 {HOSTILE}"]["error"]["data"]["text"] == f"{HOSTILE} =="


def test_many_questions_at_once_while_the_capture_grows(tmp_path: Path, serve: Start) -> None:
    """Dear filters, sorts, statistics and likeness in four threads; afterwards each is asked alone."""
    capture = write_synthetic(tmp_path / "busy.tshark", traces=40)
    client = serve(capture.path, "--stdio")
    asked: list[tuple[str, Any]] = []
    for n in range(12):
        text = f"seq_len > {n} and resid_post.norm#{n % 4}[0] > {n}"
        asked += [
            ("rows", {"filter": f"number <= 40 and {text}", "limit": 1000, "columns": ["id", "seq_len"]}),
            ("rows", {"filter": "number <= 40", "sort": f"attn.entropy#{n % 4}:{n % 2}[-1]", "limit": 1000}),
            (
                "stats",
                {
                    "by": ["label.category"],
                    "expressions": [f"max(attn_out.norm#{n % 4})"],
                    "filter": "number <= 40",
                },
            ),
            ("similar", {"id": f"#{n + 1}", "layer": n % 4, "filter": "number <= 40", "k": 5}),
            ("slice", {"id": f"#{n + 1}", "site": "resid_post", "layer": n % 4}),
        ]
    ids = [client.send(method, params) for method, params in asked]
    for seed in range(5):
        append_synthetic(capture, traces=4, seed=50 + seed)
    together = [client.answer(id) for id in ids]
    for (method, params), answer in zip(asked, together, strict=True):
        alone = client.answer(client.send(method, params))
        if method == "similar":  # how many traces there are to compare with has changed meanwhile
            for each in (answer, alone):
                each["result"]["compared"] = each["result"]["absent"] = 0
        assert answer.get("result") == alone.get("result"), (method, params)
        assert "result" in answer, answer


def test_it_imports_neither_a_screen_nor_a_model(example: Capture, tmp_path: Path, serve: Start) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr))\n"
    )
    client = serve(example.path, "--stdio", env={"PYTHONPATH": str(tmp_path)})
    for method, params in (
        ("rows", {"filter": 'prompt matches "a"'}),
        ("lens", {"id": "#1"}),
        ("run", {"analyzer": "norms"}),
        ("stats", {"by": ["label.category"], "expressions": ["seq_len"]}),
    ):
        client.ask(method, params)
    assert client.end() == 0 and client.process.stderr
    loaded = set(client.process.stderr.read().decode().split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "transformers", "textual", "rich", "lark", "sklearn", "scipy", "plotext"}


@pytest.fixture(scope="module")
def fuzzed(example: Capture) -> Any:
    """A server that is sent everything."""
    one = Client(example.path, "--stdio")
    yield one
    assert one.end() == 0, "whatever it was sent"
    assert one.process.stderr and one.process.stderr.read() == b""
    one.kill()


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=300).map(lambda data: data.replace(b"\n", b" ").replace(b"\r", b" ")))
def test_any_bytes_are_answered_or_not_and_then_the_next_is(fuzzed: Client, line: bytes) -> None:
    fuzzed.write(line)
    id = fuzzed.send("check", {"filter": ""})
    answer = fuzzed.hear()
    if line.strip() and answer.get("id", id) != id:
        assert answer["error"]["code"] in (protocol.PARSE_ERROR, protocol.INVALID_REQUEST)
    while not (isinstance(answer, dict) and answer.get("id") == id and "result" in answer):
        answer = fuzzed.hear()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
LIKELY = st.sampled_from(
    ["#1", "#2", "-1", "resid_post", "attn.entropy", "all[:]", "prompt[0:2]", "seq_len > 3", "seq_len", "tag"]
) | st.integers(-3, 9)
TYPES = {
    "object": st.dictionaries(st.text(max_size=3), LIKELY, max_size=2),
    "array": st.lists(LIKELY, max_size=3),
    "string": LIKELY.map(str) | st.text(max_size=8),
    "integer": st.integers(-3, 12),
    "number": st.floats(-1, 2),
    "boolean": st.booleans(),
    "null": st.none(),
}
SCHEMA = json.loads(document.schema())
QUICK = [method for method in SCHEMA["methods"] if method["name"] not in ("lens", "run")]


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly of the type that is asked for, sometimes of any."""
    kinds = [each.get("type") for each in schema.get("anyOf", [schema])]
    fitting = [TYPES[kind] for kind in kinds if kind]
    if "enum" in schema:
        fitting = [st.sampled_from(schema["enum"])]
    return st.one_of(*fitting * 4, ODD)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, Any]:
    """A method and what may be its parameters."""
    method = draw(st.sampled_from(QUICK))
    named = {each["name"]: values(each["schema"]) for each in method["params"]}
    required = {each["name"]: named.pop(each["name"]) for each in method["params"] if each["required"]}
    params = draw(
        st.fixed_dictionaries(required, optional=named)
        | st.tuples(*required.values(), *named.values()).map(list)
        | st.dictionaries(st.sampled_from([*named, *required, "x"]), ODD, max_size=4)
    )
    return method["name"], params


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(questions())
def test_any_parameters_are_answered_once(fuzzed: Client, question: tuple[str, Any]) -> None:
    method, params = question
    line = json.dumps({"jsonrpc": "2.0", "id": "fuzz", "method": method, "params": params})
    fuzzed.write(line.encode("utf-8", "replace"))
    answer = fuzzed.hear()
    while "method" in answer:
        answer = fuzzed.hear()
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["code"] in protocol.CODES
        assert answer["error"]["code"] != protocol.INTERNAL_ERROR, (line, answer)
        assert answer["error"]["message"].isprintable()
