"""`tensorshark filter`: what a filter means, whether it can be read, and how it will be answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tensorshark.traces.errors import FilterError, UsageError
from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column
from tensorshark.tui.cli.selected import number_of, with_selected

if TYPE_CHECKING:
    from tensorshark.forensics.filter.answers.plan import Plan, Step
    from tensorshark.forensics.filter.answers.why import ClauseCount

EPILOG = """\b
Examples:
  tensorshark filter check 'resid_post.norm#12[-1] > 90 and'
  tensorshark filter explain demo.tshark 'label.category == "injection" and max(resid_post.norm) > 300'
  tensorshark filter explain demo.tshark 'prompt matches "(?i)ignore" or not bos' --count
"""
EXPLAIN = """\b
The tree has one line per clause:
  turn   the order in which clauses are asked; what a clause leaves open is asked of the next
  by     what answers it: SQL, trigrams, a column of the index, statistics files, tensors, an analyzer
  asks   of how many traces it may have to be asked, at most; fewer where other clauses decide first
  opens  how many traces are opened for it, at most, and how much is read of them
  about  expected time on this machine
"""


@click.group("filter", epilog=EPILOG)
def command() -> None:
    """What a display filter means, whether it can be read, and how it will be answered."""


@command.command("check")
@click.argument("text", metavar="FILTER")
@click.argument("capture", required=False, type=click.Path())
@with_selected
def check_command(text: str, capture: str | None, selected: str) -> int:
    """Say what FILTER means, or point at what is wrong with it (exit code 2).

    With CAPTURE also whether it will be slow there, and what it asks for that no trace has.
    """
    from tensorshark.forensics.filter import check

    if capture is None:
        if selected:
            raise UsageError("--selected names a trace of a capture: tensorshark filter check FILTER CAPTURE")
        from tensorshark.forensics import config

        found = check(text, context=config.context())
    else:
        from tensorshark.forensics.engine import Engine

        with Engine(capture) as engine:
            found = engine.check(text, number_of(engine, selected))
    if found.state in ("bad", "incomplete"):
        raise FilterError(found.reason, text, found.column, found.length, found.state == "incomplete")
    lines = [f"{found.state}: {found.words}"]
    if found.reason and found.length:
        lines += [f"  {line}" for line in FilterError(found.reason, text, found.column, found.length)
                  .pointed().splitlines()]  # fmt: skip
    elif found.reason:
        lines.append(f"  {found.reason}")
    output.write(lines)
    return 0


@command.command("explain", epilog=EXPLAIN)
@click.argument("capture", type=click.Path())
@click.argument("text", metavar="FILTER")
@click.option("--json", "as_json", is_flag=True, help="One object: words, total, tree, seconds, bytes.")
@click.option(
    "--count", is_flag=True, help="Also how many traces satisfy each clause alone; may take a scan."
)
@with_selected
def explain_command(capture: str, text: str, as_json: bool, count: bool, selected: str) -> int:
    """Say in words what FILTER means and show how it will be answered in CAPTURE."""
    from tensorshark.forensics.engine import Engine
    from tensorshark.tui.cli.read import catch_up

    with Engine(capture, wait=False) as engine:
        catch_up(engine)
        trace = number_of(engine, selected)
        plan = engine.explain(text, trace)
        counts = engine.clause_counts(text, selected=trace) if count else []
    if as_json:
        import msgspec

        data: dict[str, Any] = msgspec.to_builtins(plan)
        if count:
            data["counts"] = msgspec.to_builtins(counts)
        output.write([json_text(data)])
        return 0
    output.write(_lines(plan, counts, count))
    return 0


def _lines(plan: Plan, counts: list[ClauseCount], counted: bool) -> Iterator[str]:
    yield safe_text(plan.words, 2000)
    read = f", reads {output.size(plan.bytes)} at most" if plan.bytes else ""
    yield f"{plan.total:,} traces, about {_seconds(plan.seconds)}{read}"
    yield ""
    columns = [
        Column("turn", right=True),
        Column("clause"),
        Column("asks", right=True),
        Column("opens", right=True),
        Column("reads", right=True),
        Column("about", right=True),
        *([Column("true of", right=True)] if counted else []),
        Column("by"),
    ]
    true_of = {each.clause: each.count for each in counts}
    rows = []
    for indent, step in _walk(plan.tree, "", ""):
        if step.kind != "clause":
            rows.append(["", indent + step.kind, *[""] * (5 + counted - 1), ""])
            continue
        known = f" ({step.known:,} known)" if step.known else ""
        rows.append(
            [
                str(step.turn),
                indent + safe_text(step.clause, 200),
                f"{step.traces:,}{known}",
                f"{step.opens:,}" if step.opens else "",
                output.size(step.bytes) if step.bytes else "",
                _seconds(step.seconds),
                *([f"{true_of.get(step.clause, 0):,}"] if counted else []),
                step.by,
            ]
        )
    yield from output.table(columns, rows)


def _walk(step: Step, first: str, rest: str) -> Iterator[tuple[str, Step]]:
    """(what is drawn before it, step), top to bottom."""
    yield first, step
    for place, part in enumerate(step.parts):
        last = place == len(step.parts) - 1
        yield from _walk(part, rest + ("└ " if last else "├ "), rest + ("  " if last else "│ "))


def _seconds(seconds: float) -> str:
    """`< 1 ms`, `12 ms`, `1.5 s`, `2 min`."""
    if seconds < 1e-3:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
