"""The `tensorshark` command: one file per subcommand, imported only when it is used.

A command returns its exit code, or None for 0. stdout is data, stderr is narration. What is raised becomes
one line on stderr and an exit code: 0 ok, 1 nothing matched, 2 usage or filter, 3 not found, 4 integrity,
5 I/O or space, 6 untrusted input refused, 7 an analyzer failed, 70 internal error, 128+n signal n.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tensorshark.traces.errors import FilterError, TensorsharkError
from tensorshark.traces.text import safe_text
from tensorshark.tui import crash

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "open": "look at a capture in the workbench (the default)",
    "capture": "run prompts through a model and keep what flows",
    "read": "list traces, filtered, as a table, fields, JSON or CSV",
    "similar": "the traces whose activations are closest to one trace's",
    "info": "what is in a capture: models, labels, sites, sizes, integrity",
    "filter": "what a filter means, whether it can be read, how it will be answered",
    "fields": "every field that filters and columns can use",
    "stats": "compare groups of traces: means, effect sizes, AUROC, and how sure they are",
    "note": "mark, tag and annotate traces, tokens and cells; list what was said",
    "macro": "texts that filters are made of, and whole filters, kept by name",
    "run": "run an analyzer over traces",
    "serve": "answer programs in any language, as JSON-RPC over stdin and stdout",
    "models": "the models that can be captured from",
    "demo": "capture the demo prompts and open them",
    "completion": "print the shell's completion script",
}
"""Name -> help line; `tensorshark.tui.cli.<name>.command` is the command."""

COMPLETE = "_TENSORSHARK_COMPLETE"
"""Set by the shell's completion script; see `completion.py`."""

EPILOG = """\b
Examples:
  tensorshark demo                                        capture 98 prompts, open the workbench
  tensorshark demo.tshark                                 the workbench on a capture
  tensorshark capture -w my.tshark --prompt "Hello"       one prompt through the default model
  tensorshark read my.tshark -Y 'seq_len > 20'            traces with more than 20 tokens
  tensorshark run norms my.tshark                         an analyzer, headless
"""


class Commands(click.Group):
    """Knows its commands by name; imports one when it runs. A capture's path alone means `open`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help lines of COMMANDS: printing them imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands without importing them; a file where no command fits."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=help) for name, help in COMMANDS.items() if name.startswith(incomplete)
        ]
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return found or [CompletionItem(incomplete, type="file")]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`tensorshark x.tshark` is `tensorshark open x.tshark`."""
        name = args[0]
        if name not in COMMANDS and (name.endswith(".tshark") or os.sep in name or Path(name).exists()):
            return "open", self.get_command(ctx, "open"), args
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tensorshark {version('tensorshark')}")
        ctx.exit()


@click.group(
    cls=Commands,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def group(ctx: click.Context) -> int | None:
    """Wireshark for the inside of language models: capture, filter and read what flows through a model.

    Without a command, the workbench opens on the capture that is named, or on the one in this folder.
    """
    if ctx.invoked_subcommand is not None:
        return None
    command = group.get_command(ctx, "open")
    assert command is not None
    with command.make_context("open", [], parent=ctx) as inner:
        code: int | None = command.invoke(inner)
    return code


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code. The only place that turns errors into exit codes."""
    words = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 sees escapes, not a crash
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, "tensorshark", COMPLETE, instruction)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _reader_left()
        crash.say(f"tensorshark: {_plain(error)}")
        return 5
    except KeyboardInterrupt:
        crash.say("tensorshark: interrupted")
        return 130
    except Exception as error:
        crash.say(crash.report(error, next((word for word in words if word in COMMANDS), "open")))
        return crash.exit_code(error)
    return code


def _run(words: list[str]) -> int:
    """Parse and invoke; what the user got wrong is said here."""
    try:
        with group.make_context("tensorshark", words) as ctx:
            code = group.invoke(ctx)
            return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        usage = getattr(error, "ctx", None)
        if usage is not None:
            crash.say(f"{usage.get_usage()}\nTry '{usage.command_path} --help' for help and examples.")
        crash.say(f"tensorshark: {_lines(error.format_message())}")
        return error.exit_code
    except FilterError as error:
        lines = error.pointed().splitlines() if error.text else [str(error)]
        crash.say("\n  ".join(["tensorshark: cannot use this:", *lines]))
        return error.exit_code
    except TensorsharkError as error:
        crash.say(f"tensorshark: {error}")
        return error.exit_code


def _lines(text: str) -> str:
    """Words of the command line come back in messages, and file names can hold anything."""
    return "\n".join(safe_text(line) for line in text.splitlines())


def _plain(error: OSError) -> str:
    name = f": {safe_text(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else ""
    return f"{error.strerror or type(error).__name__}{name}"


def _reader_left() -> int:
    """`tensorshark read ... | head`: not worth a word. What is buffered goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return 141
