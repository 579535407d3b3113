"""`tensorshark similar`: the traces that look like one, inside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from tensorshark.traces.text import csv_line, json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers
    from tensorshark.forensics.similar import Hits
    from tensorshark.traces.index.cell import Cell

LONG_S = 2.0
"""Reading vectors for the first time is announced when it will take longer."""
FORMAT = 1
"""Version of what `-T json` prints; keys are added, never changed."""

EPILOG = """\b
Examples:
  tensorshark similar demo.tshark '#7'                       like trace 7 at its middle layer
  tensorshark similar demo.tshark 7c1e --layer -1            by id, at the last layer
  tensorshark similar demo.tshark '#7' --pos 'prompt[0]' --metric l2
  tensorshark similar demo.tshark '#7' -k 50 -Y 'label.category != "injection"'
  tensorshark similar demo.tshark '#7' -Y 'next.token != $next.token'
  tensorshark similar demo.tshark '#7' -T json | jq '.hits[0].id'

\b
The first question about a site, layer and position opens the traces and keeps their vectors beside the
index; every later one reads those. --rebuild reads the traces anew.
A trace without such a vector (not captured, too short, of another width, damaged) is never found.

\b
Exit codes: 0 ok, 1 nothing to compare with, 2 usage or filter, 3 no such capture or trace, or not captured.
"""


class Hit(msgspec.Struct, frozen=True):
    """One line of what is printed."""

    score: float
    number: int
    id: str
    label: str
    prompt: str


def _sites(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Sites with a vector per token, for the shell."""
    from tensorshark.traces.sites import SITES

    fitting = [name for name, site in SITES.items() if site.axes == ("pos", "d_model")]
    return [name for name in fitting if name.startswith(incomplete)]


@click.command("similar", epilog=EPILOG)
@click.argument("capture", type=click.Path())
@click.argument("trace")
@click.option(
    "--site",
    default="resid_post",
    metavar="SITE",
    help="Which tensor.  [default: resid_post]",
    shell_complete=_sites,
)
@click.option("--layer", type=int, metavar="N", help="Which layer, -1 the last.  [default: the middle one]")
@click.option(
    "--pos", "position", default="-1", metavar="POS", help="Which token: -1, 0, prompt[-1].  [default: -1]"
)
@click.option("-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option(
    "--metric",
    type=click.Choice(["cos", "l2"]),
    default="cos",
    show_default=True,
    help="Cosine of the angle (larger is closer), or L2 distance (smaller is).",
)
@click.option(
    "-Y",
    "--filter",
    "text",
    default="",
    metavar="FILTER",
    help="Only find traces that match; $ speaks of TRACE.",
)
@click.option(
    "-T",
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print: table for people, json with exact text.",
)
@click.option(
    "--rebuild", is_flag=True, help="Forget the vectors kept for this question, and read them anew."
)
def command(
    capture: str,
    trace: str,
    site: str,
    layer: int | None,
    position: str,
    count: int,
    metric: Literal["cos", "l2"],
    text: str,
    form: str,
    rebuild: bool,
) -> int:
    """The traces of CAPTURE whose activations are closest to those of TRACE (#NUMBER, or how its id begins).

    Exact: the order is that of a comparison with every trace in float64.
    """
    from tensorshark.forensics.engine import Engine
    from tensorshark.tui.cli.read import catch_up

    with Engine(capture, wait=False) as engine:
        catch_up(engine)
        number = engine.number(trace)
        cell = engine.cell(number, site, layer, position)
        among = engine.select(text, selected=number) if text.strip() else None
        vectors = engine.index.vectors(cell)
        if rebuild:
            vectors.forget()
        _announce(engine, cell, among)
        with output.progress(f"reading {cell}") as show:
            hits = engine.similar(number, cell, count, metric, among=among, on_progress=show)
        _say(number, cell, hits, layer is None)
        found = _hits(engine, hits)
        if form == "json":
            output.write(_json(engine.index.id_of(number), number, cell, metric, hits, found))
        else:
            output.write(_FORMS[form](found))
        return 0 if len(hits) else 1


def _announce(engine: Engine, cell: Cell, among: Numbers | None) -> None:
    """Seconds and bytes, before a first use that takes long."""
    estimate = engine.index.vectors(cell).estimate(among)
    if estimate.seconds > LONG_S:
        output.note(
            f"reading {cell} of {estimate.traces:,} traces for the first time: about "
            f"{estimate.seconds:,.0f} s, {output.size(estimate.bytes)}; "
            f"{output.size(estimate.disk)} are kept, also after Ctrl-C"
        )


def _say(number: int, cell: Cell, hits: Hits, chosen: bool) -> None:
    """What was compared, and what was not."""
    middle = " (the middle layer; --layer N takes another)" if chosen else ""
    absent = f"; {hits.absent:,} have no such vector" if hits.absent else ""
    output.note(f"compared {cell} of trace #{number} with {hits.compared:,} traces{middle}{absent}")


def _hits(engine: Engine, hits: Hits) -> list[Hit]:
    rows = engine.rows(hits.numbers)
    return [
        Hit(
            score,
            row.number,
            row.id,
            row.labels.get("category") or next(iter(row.labels.values()), ""),
            row.prompt,
        )
        for score, row in zip(hits.scores.tolist(), rows, strict=True)
    ]


def _table(found: Sequence[Hit]) -> Iterator[str]:
    columns = [
        Column("score", 9, right=True),
        Column("No", max([4, *(len(str(hit.number)) for hit in found)]), right=True),
        Column("id", 16),
        Column("label", 10),
        Column("prompt"),
    ]
    return output.table(columns, map(_cells, found), output.width())


def _cells(hit: Hit) -> list[str]:
    return [
        f"{hit.score:.6f}" if abs(hit.score) < 1000 else f"{hit.score:.6g}",
        str(hit.number),
        hit.id,
        safe_text(hit.label, 64),
        safe_text(hit.prompt),
    ]


def _csv(found: Sequence[Hit]) -> Iterator[str]:
    yield csv_line(Hit.__struct_fields__)
    for hit in found:
        yield csv_line([_number(hit.score), hit.number, hit.id, hit.label, hit.prompt])


_FORMS = {"table": _table, "csv": _csv}


def _number(score: float) -> float | str:
    """A distance may be infinite, which JSON does not have."""
    return score if math.isfinite(score) else "inf"


def _json(
    trace_id: str, number: int, cell: Cell, metric: str, hits: Hits, found: Sequence[Hit]
) -> Iterator[str]:
    header: dict[str, Any] = {
        "format": FORMAT,
        "trace": {"number": number, "id": trace_id},
        "site": cell.site,
        "layer": cell.layer,
        "position": cell.position,
        "metric": metric,
        "compared": hits.compared,
        "absent": hits.absent,
        "hits": [{**msgspec.structs.asdict(hit), "score": _number(hit.score)} for hit in found],
    }
    yield json_text(header)
