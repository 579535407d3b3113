"""`tensorshark serve` as others use it: sh and jq, Node, and an asyncio client written from docs/serve.md."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

START = "import sys; from tensorshark.tui.cli import main; sys.exit(main())"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Eight traces."""
    return write_synthetic(tmp_path_factory.mktemp("serve") / "example.tshark")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tensorshark` as a shell finds it."""
    path = tmp_path_factory.mktemp("bin") / "tensorshark"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -c "{START}" "$@"\n')
    path.chmod(0o755)
    return path


def shell(script: str, program: Path, capture: Capture) -> subprocess.CompletedProcess[str]:
    """A script in sh, with the program in its path and the capture in its folder."""
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", script],
        cwd=capture.path.parent,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_says_what_it_needs(capture: Capture, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in ([], [str(capture.path)], ["--stdio"]):
        assert main(["serve", *words]) == 2
        assert "--stdio" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "no.tshark"), "--stdio"]) == 3
    assert "no such capture" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not here")
def test_a_shell_with_jq(program: Path, capture: Capture) -> None:
    script = r"""
        ask() { jq -nc --arg m "$1" --argjson p "$2" '{jsonrpc: "2.0", id: 1, method: $m, params: $p}'; }
        { ask rows '{"filter": "label.category == \"injection\""}'; ask fields '{}'; } |
            tensorshark serve example.tshark --stdio --finish |
            jq -r '.result | if .rows then (.rows[] | "\(.number) \(.prompt)") else .fields[0].name end'
    """
    done = shell(script, program, capture)
    prompts = [capture.trace(capture.ids()[n]).prompt for n in (1, 7)]
    assert done.stdout.splitlines() == [f"2 {prompts[0]}", f"8 {prompts[1]}", "number"]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not here")
def test_the_examples_of_the_help(program: Path, capture: Capture) -> None:
    schema = shell("tensorshark serve --schema | jq -r '.methods[].name'", program, capture)
    assert {"rows", "slice", "run"} <= set(schema.stdout.split())
    line = """echo '{"jsonrpc":"2.0","id":1,"method":"status"}' | tensorshark serve example.tshark --stdio"""
    assert line.partition("tensorshark")[0] in shell("tensorshark serve --help", program, capture).stdout
    assert json.loads(shell(line, program, capture).stdout)["result"]["traces"] == 8


def test_a_reader_that_has_enough(program: Path, capture: Capture) -> None:
    """`| head -1`: quiet, and over at once."""
    endless = """yes '{"jsonrpc":"2.0","id":1,"method":"fields"}'"""
    script = f"{endless} | tensorshark serve example.tshark --stdio | head -1"
    done = shell(script, program, capture)
    assert json.loads(done.stdout)["id"] == 1
    assert "Traceback" not in done.stderr and "tensorshark" not in done.stderr


NODE = """
const { spawn } = require("node:child_process");
const readline = require("node:readline");
const words = ["serve", "example.tshark", "--stdio"];
const server = spawn("tensorshark", words, { stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map(), notes = [];
let last = 0;
readline.createInterface({ input: server.stdout }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.method) return notes.push(message);
  const [resolve, reject] = waiting.get(message.id);
  waiting.delete(message.id);
  message.error ? reject(message.error) : resolve(message.result);
});
const ask = (method, params = {}) => new Promise((resolve, reject) => {
  waiting.set(++last, [resolve, reject]);
  server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: last, method, params }) + "\\n");
});
(async () => {
  const [status, page, broken] = await Promise.all([
    ask("status"),
    ask("rows", { filter: 'label.category == "fact"', columns: ["seq_len"] }),
    ask("rows", { filter: 'prompt contains "\\u{1F600}" and seq_len >> 3' }).catch((error) => error),
  ]);
  const id = page.rows[0].id;
  const slice = await ask("slice", { id, site: "resid_post", layer: 2, pos: "-1", encoding: "base64" });
  const bytes = Buffer.from(slice.values, "base64");
  const floats = Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(4 * at));
  const runs = ask("run", { analyzer: "norms" }).catch((error) => error.code);
  await ask("cancel", { request: last });
  const out = { traces: status.traces, cells: page.cells, code: broken.code, column: broken.data.column };
  console.log(JSON.stringify({ ...out, id, shape: slice.shape, floats, run: await runs }));
  server.stdin.end();
  server.on("exit", (code) => process.exit(code));
})();
"""


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not here")
def test_a_client_in_node(program: Path, capture: Capture, tmp_path: Path) -> None:
    """Promises by id, a socket pair instead of pipes, typed arrays from base64."""
    (tmp_path / "client.js").write_text(NODE)
    done = shell(f"node {tmp_path / 'client.js'}", program, capture)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    trace = capture.trace(capture.ids()[4])
    assert (found["traces"], found["id"], found["cells"]) == (8, trace.id, [[len(trace.tokens)]])
    assert found["code"] == -32002
    assert found["column"] == 'prompt contains "😀" and seq_len >> 3'.index(">> 3") + 1, "code points"
    assert found["shape"] == [1, 1, 16]
    assert found["floats"] == trace.load("blocks.2.hook_resid_post")[-1].tolist()
    assert found["run"] == -32010 or found["run"]["traces"] == 8


class Peer:
    """JSON-RPC over a subprocess, after docs/serve.md: a line a message, futures by id."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.futures: dict[int, asyncio.Future[Any]] = {}
        self.notes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reader = asyncio.create_task(self.listen())

    async def listen(self) -> None:
        """Until the server's end."""
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            message = json.loads(line.decode("utf-8"))
            assert message["jsonrpc"] == "2.0"
            if "method" in message:
                await self.notes.put(message)
            else:
                assert ("result" in message) != ("error" in message)
                self.futures.pop(message["id"]).set_result(message)

    def ask(self, method: str, *params: Any, **named: Any) -> asyncio.Future[Any]:
        """A request, answered later; its id is an attribute of nothing but this dictionary."""
        number = max(self.futures, default=0) + 1
        while number in self.futures:
            number += 1
        self.futures[number] = asyncio.get_running_loop().create_future()
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params) or named}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request, ensure_ascii=False).encode("utf-8") + b"\n")
        return self.futures[number]


@asynccontextmanager
async def peer(capture: Capture) -> AsyncIterator[Peer]:
    """A server, ended by the end of its input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", START, "serve", str(capture.path), "--stdio"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 << 20,
    )
    one = Peer(process)
    try:
        yield one
    finally:
        assert process.stdin
        process.stdin.close()
        await one.reader
        assert await process.wait() == 0


async def test_an_asyncio_client(capture: Capture) -> None:
    """Everything at once, awaited in another order."""
    async with peer(capture) as server:
        pages = [server.ask("rows", offset=n, limit=1) for n in range(8)]
        traces = [server.ask("trace", f"#{n}") for n in range(1, 9)]
        lens = server.ask("lens", id="#3", pos="all[:]", top_k=2)
        runs = [server.ask("run", analyzer="norms", filter=f"number == {n}") for n in (1, 2)]
        for n in reversed(range(8)):
            found = (await traces[n])["result"]
            assert found["id"] == (await pages[n])["result"]["rows"][0]["id"] == capture.ids()[n]
        trace = capture.trace(capture.ids()[2])
        grid = (await lens)["result"]
        assert grid["positions"] == list(range(len(trace.tokens)))
        assert grid["tokens"][-1][-1][0] == trace.manifest.next_tokens[0].token
        for n, run in enumerate(runs):
            answer = (await run)["result"]
            assert answer["runs"][0]["results"][0]["rows"][0][1] == capture.ids()[n]
        answer = (await server.ask("slice", "#1", "attn.entropy", 1, "-1", "base64"))["result"]
        heads = struct.unpack("<2f", base64.b64decode(answer["values"]))
        assert heads == tuple(capture.trace(capture.ids()[0]).stats["attn.entropy"][1, :, -1].tolist())
        assert (await server.ask("nothing"))["error"]["code"] == -32601


async def test_two_clients_of_one_capture_know_nothing_of_each_other(capture: Capture) -> None:
    async with peer(capture) as one, peer(capture) as two:
        first, second = one.ask("rows", limit=1), two.ask("rows", offset=3, limit=1)
        assert (await first)["result"]["rows"][0]["number"] == 1
        assert (await second)["result"]["rows"][0]["number"] == 4
        assert (await one.ask("status"))["result"]["running"] == []
