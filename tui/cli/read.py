"""`tensorshark read`: list the traces of a capture, filtered, as text or data."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

import click

from tensorshark.traces.errors import UsageError
from tensorshark.tui.cli import output
from tensorshark.tui.cli.read_formats import FORMATS, Asked
from tensorshark.tui.cli.read_search import Search
from tensorshark.tui.cli.selected import number_of, with_selected

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine

EPILOG = """\b
Examples:
  tensorshark read demo.tshark
  tensorshark read -r demo.tshark -Y 'label.category == "injection" and seq_len > 10'
  tensorshark read demo.tshark -Y 'resid_post.norm#12[-1] > 40' --sort 'resid_post.norm#12[-1]' --desc
  tensorshark read demo.tshark -T fields -e id -e seq_len -e next.token
  tensorshark read demo.tshark -T jsonl | jq -r .prompt
  tensorshark read demo.tshark --selected '#7' -Y 'cos(resid_post#12[-1], $resid_post#12[-1]) > 0.9'

\b
Formats:
  table   for people: fits the terminal, unless stdout is not one
  fields  the -e fields, tab-separated; newlines shown as ⏎, tabs as ⇥
  csv     a header, then a line per trace; text is shown as in fields
  jsonl   one object per trace; keys are field names, text is exact, absent values are null
  json    one array of these objects
  Without -e, csv and json have number, time, id, model, seq_len, every label, next.token, next.p, prompt.
  Several values of one field are joined with commas in fields and csv, and an array in JSON.
  With -Y, json and jsonl have "why": for each clause that made the trace match its text, its words and
  the cells (layer, head, token, value) that did, at most 20 of them; those of any(l, p: …) have the
  "values" of the fields that use the variables. --no-why leaves it out.
  Numbers that are not finite are "inf" and "-inf"; times are UTC.

\b
Traces are printed as they are found, unless --sort or --desc wants all of them first. Ctrl-C ends it.

\b
Exit codes: 0 ok, 1 the filter matched nothing, 2 the filter cannot be read, 3 no such capture or trace.
"""


@click.command("read", epilog=EPILOG)
@click.argument("capture", required=False, type=click.Path())
@click.option("-r", "--read", "also", type=click.Path(), metavar="CAP", help="The capture, as in tshark.")
@click.option("-Y", "--filter", "text", default="", metavar="FILTER", help="Only traces that match.")
@click.option(
    "-T",
    "--format",
    "form",
    type=click.Choice(["table", "fields", "json", "jsonl", "csv"]),
    default="table",
    help="How to print; see Formats.",
)
@click.option("-e", "--field", "fields", multiple=True, metavar="FIELD", help="Print this field; repeatable.")
@click.option("--sort", default="", metavar="FIELD", help="Order by this field; traces without it come last.")
@click.option("--desc", is_flag=True, help="Largest first.")
@click.option("--no-why", is_flag=True, help="Without the reasons that JSON has with -Y.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N traces.")
@with_selected
def command(
    capture: str | None,
    also: str | None,
    text: str,
    form: str,
    fields: tuple[str, ...],
    sort: str,
    desc: bool,
    no_why: bool,
    limit: int | None,
    selected: str,
) -> int:
    """List the traces of CAPTURE. FIELD is any field of `tensorshark fields`, e.g. resid_post.norm#12[-1]."""
    if (capture is None) == (also is None):
        raise UsageError("name one capture: tensorshark read CAPTURE, or -r CAPTURE")
    if form == "fields" and not fields:
        raise UsageError("-T fields prints the fields of -e; name at least one, e.g. -e id -e seq_len")
    from tensorshark.forensics.engine import Engine

    with Engine(capture or also or "", wait=False) as engine:
        catch_up(engine)
        trace = number_of(engine, selected)
        search = Search(engine, text, sort, desc, limit, trace)
        asked = Asked(list(fields), "" if no_why else text.strip(), trace)
        with output.Writer() as writer, closing(search.pages(writer.flush)) as pages:
            first = next(
                pages
            )  # a filter or a sort key that cannot be read is told before anything is printed
            writer.write(FORMATS[form](engine, chain([first], pages), asked))
        search.say()
        for line in engine.missing(text, [*fields, sort], trace):
            output.note(line)
        return 1 if text.strip() and not search.found else 0


def catch_up(engine: Engine) -> None:
    """Bring the index up to date; the first time on a large capture takes long enough to say so."""
    with output.progress("indexing traces") as show:
        while engine.follow():
            engine.refresh(0.25)
            show(len(engine.index), len(engine.capture))
