"""The real server on a small capture, and a client that knows only what docs/serve.md says."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

START = "import sys; from tensorshark.tui.cli import main; sys.exit(main())"
TIMEOUT = 60.0


@pytest.fixture(scope="package")
def example(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """The capture of the examples in docs/serve.md: eight traces, nobody adds to it."""
    return write_synthetic(tmp_path_factory.mktemp("rpc") / "example.tshark")


class Client:
    """A server in a process of its own. What it says is sorted by whom it is for."""

    def __init__(self, *words: str | Path, stderr: int = subprocess.PIPE, env: dict[str, str] | None = None):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, "serve", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **(env or {})},
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.said: queue.Queue[Any] = queue.Queue()
        """Messages in the order in which they came; None at the end."""
        self.notifications: list[dict[str, Any]] = []
        self.answers: dict[Any, dict[str, Any]] = {}
        self._ids = itertools.count(1)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.stdout:
            self.said.put(json.loads(line))
        self.said.put(None)

    def write(self, *lines: bytes) -> None:
        """Raw lines."""
        self.stdin.write(b"".join(line + b"\n" for line in lines))
        self.stdin.flush()

    def send(self, method: str, params: Any = None, id: Any = ...) -> Any:
        """A request; returns its id."""
        id = next(self._ids) if id is ... else id
        request = {"jsonrpc": "2.0", "id": id, "method": method}
        self.write(json.dumps(request | ({} if params is None else {"params": params})).encode())
        return id

    def hear(self) -> Any:
        """The next message, whatever it is."""
        return self.said.get(timeout=TIMEOUT)

    def answer(self, id: Any) -> dict[str, Any]:
        """The whole answer to a request; others and notifications that come before are kept."""
        while id not in self.answers:
            message = self.hear()
            assert message is not None, "it ended without an answer"
            if "id" in message:
                assert message["id"] not in self.answers, "answered twice"
                self.answers[message["id"]] = message
            else:
                self.notifications.append(message)
        return self.answers.pop(id)

    def ask(self, method: str, params: Any = None) -> Any:
        """The result of a request that is answered with one."""
        answer = self.answer(self.send(method, params))
        assert "result" in answer, answer
        return answer["result"]

    def refuse(self, method: str, params: Any = None) -> dict[str, Any]:
        """The error of a request that is answered with one."""
        error: dict[str, Any] = self.answer(self.send(method, params))["error"]
        return error

    def notified(self, method: str) -> dict[str, Any]:
        """The parameters of the next notification of this name."""
        while True:
            for note in self.notifications:
                if note["method"] == method:
                    self.notifications.remove(note)
                    found: dict[str, Any] = note["params"]
                    return found
            message = self.hear()
            assert message is not None
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.notifications.append(message)

    def end(self) -> int:
        """Close its input, wait for its end; returns the exit code."""
        self.stdin.close()
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        """For the end of a test."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stderr):
            if pipe is not None:
                pipe.close()


Start = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Start]:
    """Starts servers that are gone at the end of the test."""
    started: list[Client] = []

    def start(*words: str | Path, **options: Any) -> Client:
        started.append(Client(*words, **options))
        return started[-1]

    yield start
    for client in started:
        client.kill()


@pytest.fixture(scope="module")
def client(example: Capture) -> Iterator[Client]:
    """One server for the tests of a module; what they note is gone with it."""
    one = Client(example.path, "--stdio")
    yield one
    one.kill()
