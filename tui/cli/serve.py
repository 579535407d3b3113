"""`tensorshark serve`: a capture for programs in any language, as JSON-RPC over two pipes."""

from __future__ import annotations

import os
import signal
import sys

import click

from tensorshark.traces.errors import UsageError
from tensorshark.tui import crash
from tensorshark.tui.cli import output

EPILOG = """\b
Examples:
  tensorshark serve demo.tshark --stdio
  echo '{"jsonrpc":"2.0","id":1,"method":"status"}' | tensorshark serve demo.tshark --stdio
  tensorshark serve demo.tshark --stdio --finish < questions.jsonl > answers.jsonl
  tensorshark serve --schema | jq -r '.methods[].name'

\b
One JSON-RPC 2.0 message per line, in UTF-8, each way. stdout carries nothing else; narration goes to stderr.
It ends with its input: what is still running then is cancelled, unless --finish. docs/serve.md has every
method.

\b
Exit codes: 0 the input ended, 2 usage, 3 no such capture, 141 nobody reads the output, 128+n signal n.
"""


@click.command("serve", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option("--stdio", is_flag=True, help="Talk over stdin and stdout; the only way there is yet.")
@click.option(
    "--finish", is_flag=True, help="When the input ends, answer what was asked; else it is cancelled."
)
@click.option(
    "--schema", is_flag=True, help="Print what the methods take and give, as JSON (OpenRPC), and end."
)
def command(capture: str | None, stdio: bool, finish: bool, schema: bool) -> int:
    """Answer questions about CAPTURE: rows, tensors, the lens, analyzers, as JSON-RPC 2.0."""
    if schema:
        from tensorshark.forensics.rpc.document import schema as document

        output.write([document()])
        return 0
    if capture is None or not stdio:
        raise UsageError("say what to serve and how: tensorshark serve CAPTURE --stdio")
    return _serve(capture, finish)


def _serve(capture: str, finish: bool) -> int:
    from tensorshark.forensics.engine import Engine
    from tensorshark.forensics.rpc.session import Session

    with Engine(capture, wait=False) as engine:
        # What a plugin prints must not get among the answers, nor what it reads be taken from the questions.
        source, sink = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdout.flush()
        os.dup2(2, 1)
        session = Session(engine, source, sink, _narrate, finish=finish)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and a shell's & have it
                signal.signal(number, lambda number, _frame: session.stop(number))
        ended_by = session.serve()
    return 128 + ended_by if ended_by else 0


def _narrate(text: str) -> None:
    crash.say(f"tensorshark: {text}")
