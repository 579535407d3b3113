"""`tensorshark run`: an analyzer over the traces of a capture, without a screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tensorshark.forensics import render
from tensorshark.forensics.results import AnyResult, Failed, NotApplicable, NotCaptured, Result
from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text
from tensorshark.tui.cli import output

if TYPE_CHECKING:
    from tensorshark.forensics.outline import OptionOutline, Outline
    from tensorshark.traces.store import Capture

FORMAT = 1
"""Version of what `-T json` prints; keys are added, never changed."""

EPILOG = """\b
Examples:
  tensorshark run --list                                        which analyzers there are
  tensorshark run norms --help                                  what one does, and its options
  tensorshark run norms demo.tshark -Y 'label.category == "injection"'
  tensorshark run norms,entropy demo.tshark -o position=all[:] -T jsonl
  tensorshark run logit-lens demo.tshark --limit 1 -o top_k=5 -o track=" Paris"
  tensorshark run norms demo.tshark -T csv --result growth > growth.csv
  tensorshark run diff demo.tshark -o a=#1 -o b=#2
"""


class RunCommand(click.Command):
    """`tensorshark run NAME --help` also says what the analyzer NAME does and which options it takes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The analyzer's own part, then the examples."""
        from tensorshark.forensics import host

        for name in host.names():
            if name in ctx.meta.get(__name__, ()):
                _describe(host.describe(name), formatter)
        super().format_epilog(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember the words: `--help` ends parsing before the arguments are known."""
        ctx.meta[__name__] = {name for word in args[:2] for name in word.split(",")}
        return super().parse_args(ctx, args)


def _names(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of analyzers, for the shell."""
    from tensorshark.forensics import host

    return [name for name in host.names() if name.startswith(incomplete)]


@click.command("run", cls=RunCommand, epilog=EPILOG)
@click.argument("analyzer", required=False, shell_complete=_names)
@click.argument("capture", required=False, type=click.Path())
@click.option("-Y", "--filter", "text", default="", metavar="FILTER", help="Only traces that match.")
@click.option("-o", "--option", "given", multiple=True, metavar="NAME=VALUE", help="An analyzer's option.")
@click.option(
    "-T",
    "kind",
    type=click.Choice(["text", "csv", "json", "jsonl"]),
    default="text",
    help="How to print: text for people; jsonl streams a line per row.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N matching traces.")
@click.option(
    "--result", "wanted", multiple=True, metavar="NAME", help="Print only results of this title or kind."
)
@click.option("--list", "listing", is_flag=True, help="List the analyzers; imports none of them.")
@click.option("--json", "as_json", is_flag=True, help="The same as -T json.")
def command(
    analyzer: str | None,
    capture: str | None,
    text: str,
    given: tuple[str, ...],
    kind: str,
    limit: int | None,
    wanted: tuple[str, ...],
    listing: bool,
    as_json: bool,
) -> int:
    """Run ANALYZER (a name, or several with commas) over the traces of CAPTURE.

    Exit code 7: an analyzer failed on something; what else it found, and the others, is printed all the
    same. 1: no trace matched, or there is nothing to say about those that did.
    """
    kind = "json" if as_json else kind
    if listing:
        return _list(kind)
    if analyzer is None or capture is None:
        raise click.UsageError("name an analyzer and a capture; `tensorshark run --list` shows the analyzers")
    return _run(analyzer.split(","), Path(capture), text, given, kind, limit, wanted)


def _run(
    names: Sequence[str],
    path: Path,
    text: str,
    given: Sequence[str],
    kind: str,
    limit: int | None,
    wanted: Sequence[str],
) -> int:
    from tensorshark.forensics import host
    from tensorshark.forensics.view import View
    from tensorshark.traces.store import Capture

    options = _options(names, given)
    capture = Capture.open(path)
    ids = _ids(capture, text, limit)
    if not ids:
        output.note("no trace matches the filter" if text.strip() else "the capture has no traces")
        return 1
    printer = Printer(kind, text, len(ids), wanted)
    for name in names:
        with output.progress(name) as report:
            view = View(capture, ids, report)
            start = host.stream if kind == "jsonl" else host.run
            printer.add(name, options[name], _apart(start(name, view, options[name])))
    return printer.finish()


class Printer:
    """Prints results as they come; problems also go to stderr, and decide the exit code."""

    def __init__(self, kind: str, text: str, traces: int, wanted: Sequence[str]) -> None:
        self.kind = kind
        self.wanted = set(wanted)
        """Titles and kinds to print; empty for all."""
        self.header: dict[str, object] = {"format": FORMAT, "filter": text, "traces": traces}
        self.runs: list[dict[str, object]] = []
        self.seen: dict[str, None] = {}
        """Titles of all results, printed or not."""
        self.printed = 0
        self.failed = False

    def add(self, name: str, options: dict[str, str], results: Iterable[Result]) -> None:
        """One analyzer's results."""
        shown = self._shown(name, results)
        if self.kind == "json":
            data = [render.to_data(result) for result in shown]
            self.runs.append({"analyzer": name, "options": options, "results": data})
        elif self.kind == "jsonl":
            output.write(_line(name, result) for result in shown)
        else:
            draw = render.to_text if self.kind == "text" else render.to_csv
            for result in shown:
                if not isinstance(result, _PROBLEMS):
                    output.write([*([""] if self.printed > 1 else []), draw(result).rstrip("\n")])

    def finish(self) -> int:
        """Whatever is printed at the end, and the exit code."""
        if self.kind == "json":
            output.write([json.dumps({**self.header, "runs": self.runs}, allow_nan=False)])
        if self.kind == "csv" and self.printed > 1:
            titles = ", ".join(safe_text(title) for title in self.seen)
            output.note(
                f"{self.printed} results with an empty line between; --result prints one of: {titles}"
            )
        if self.wanted and not self.printed and self.seen:
            titles = ", ".join(safe_text(title) for title in self.seen)
            output.note(f"no result of that title or kind; there are: {titles}")
        if self.failed:
            return 7
        return 0 if self.printed else 1

    def _shown(self, name: str, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            if isinstance(result, _PROBLEMS):
                self.failed |= isinstance(result, Failed)
                output.note(render.to_text(result))
                yield result
                continue
            title = result.title or name
            self.seen[title] = None
            if not self.wanted or self.wanted & {title, _kind(result)}:
                self.printed += 1
                yield result


_PROBLEMS = (Failed, NotCaptured, NotApplicable)


def _kind(result: Result) -> str:
    """The tag of its JSON; rows count as the table that they would be in."""
    assert isinstance(result, AnyResult)
    tag = type(result).__struct_config__.tag
    return "table" if tag == "row" else str(tag)


def _line(name: str, result: Result) -> str:
    data = render.to_data(result)
    assert isinstance(data, dict)
    return json.dumps({"analyzer": name, **data}, allow_nan=False)


def _options(names: Sequence[str], given: Sequence[str]) -> dict[str, dict[str, str]]:
    """Options by analyzer: each goes to those that have it. Raises UsageError before anything runs."""
    from tensorshark.forensics import host

    pairs: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"-o {safe_text(word, 80)}: expected NAME=VALUE")
        pairs[name] = value
    declared = {name: host.declared(name) for name in names}
    every = {option.name for options in declared.values() for option in options or ()}
    sorted_out: dict[str, dict[str, str]] = {}
    for name, options in declared.items():
        known = {option.name for option in options or ()}
        # What nobody knows is left to each, to be refused by the first; one that cannot be loaded has no say.
        mine = {key: value for key, value in pairs.items() if key in known or key not in every}
        if options is not None:
            host.parse_options(options, mine)
        sorted_out[name] = mine
    return sorted_out


def _apart(results: Iterator[Result]) -> Iterator[Result]:
    """The same results; what a plugin prints while it makes them goes to stderr: stdout is data."""
    while True:
        with redirect_stdout(sys.stderr):
            result = next(results, None)
        if result is None:
            return
        yield result


def _ids(capture: Capture, text: str, limit: int | None) -> list[str]:
    """Ids of the matching traces, in capture order."""
    if not text.strip():
        return capture.ids()[:limit]
    ids: list[str] = []
    for trace in capture.select(text):
        ids.append(trace.id)
        if len(ids) == limit:
            break
    return ids


def _list(kind: str) -> int:
    from tensorshark.forensics import host

    found = host.outlines()
    if kind in ("json", "jsonl"):
        lines = [render.to_json(each) for each in found]
        output.write(lines if kind == "jsonl" else ["[" + ", ".join(lines) + "]"])
        return 0
    rows = [[each.name, each.scope, each.origin, each.problem or each.summary] for each in found]
    if kind == "csv":
        output.write(render.csv_lines(["name", "scope", "origin", "summary"], rows))
        return 0
    columns = [output.Column(title) for title in ("name", "scope", "from", "what it answers")]
    output.write(output.table(columns, [[safe_text(cell) for cell in row] for row in rows], output.width()))
    return 0


def _describe(found: Outline, formatter: click.HelpFormatter) -> None:
    """What the analyzer says about itself, as sections of the help."""
    with formatter.section(f"{found.name} ({safe_text(found.origin)}, scope {safe_text(found.scope)})"):
        formatter.write_text(safe_text(found.problem or found.summary))
    options = [(f"-o {option.name}={option.type.upper()}", _help(option)) for option in found.options]
    fields = [
        (field.name, f"{field.help} [{field.unit}]" if field.unit else field.help) for field in found.fields
    ]
    for title, rows in (("Options", options), ("Fields", fields)):
        if rows:
            with formatter.section(f"{title} of {found.name}"):
                formatter.write_dl([(safe_text(name), safe_text(help)) for name, help in rows])


def _help(option: OptionOutline) -> str:
    choices = f" One of {', '.join(map(str, option.choices))}." if option.choices else ""
    return f"{option.help}.{choices} [default: {json.dumps(option.default, ensure_ascii=False)}]"
