"""`tensorshark stats`: groups of traces compared, with effect sizes and how sure they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import csv_line, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.read import catch_up
from tensorshark.tui.cli.selected import number_of, with_selected

if TYPE_CHECKING:
    from tensorshark.forensics.effects import Contrast, Interval
    from tensorshark.forensics.engine import Engine
    from tensorshark.forensics.groups import Key, Summary
    from tensorshark.forensics.stats import Stats

FORMAT = 1
"""Version of what `-T json` and `-T jsonl` print; keys are added, never changed."""
ABSENT = "–"
WHOLE = 1 << 30
ROUGH = 10
"""Fewer values than this in a group: its intervals are rough."""

EPILOG = """\b
Examples:
  tensorshark stats demo.tshark --by label.category -e 'mean(resid_post.norm#20)'
  tensorshark stats demo.tshark --by label.category -e 'resid_post.norm#12[-1]' --no-pairs
  tensorshark stats demo.tshark --by 'prompt contains "password"' -e next.p -e seq_len
  tensorshark stats demo.tshark --by seq_len --bins 4 -e 'mean(attn.entropy#5[-1])' -T csv
  tensorshark stats demo.tshark --by model --by label.category -T jsonl | jq -c .

\b
What is printed:
  std         of a sample: the divisor is n - 1
  d           Cohen's d, the difference of means over the pooled std, with its 95 % interval
  AUROC       how often a value of the first group is the larger one, ties by half, with its 95 %
              interval: DeLong's, or Newcombe's (marked *) where DeLong's has no width
  p           Mann-Whitney's, two-sided; p Holm is adjusted for all comparisons that are printed
  shared      prompts that both groups have: p and the intervals take traces for independent

\b
Formats:
  table   for people: four significant digits
  csv     a line per group and expression; with --pairs a line per pair and expression instead
  json    one object with "groups", "summaries", "contrasts", and how many "tests" were made
  jsonl   a line per group, summary and contrast, each with its "kind"
  A group without a value is "(none)" for people and null in JSON; numbers that are not finite are
  "inf" and "-inf".

\b
Exit codes: 0 ok, 1 the filter matched nothing, 2 an expression cannot be read or there are too many
groups, 3 no such capture or trace.
"""


def _quantiles(_ctx: click.Context, _parameter: click.Parameter, given: str) -> list[float]:
    try:
        return [float(part) for part in given.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter("expected numbers from 0 to 1 with commas, such as 0.05,0.5,0.95") from None


@click.command("stats", epilog=EPILOG)
@click.argument("capture", type=click.Path())
@click.option("--by", multiple=True, metavar="EXPR", help="Group by this; a field or a filter; repeatable.")
@click.option("-e", "--expression", "expressions", multiple=True, metavar="EXPR", help="Measure this.")
@click.option("-Y", "--filter", "text", default="", metavar="FILTER", help="Only traces that match.")
@click.option("--pairs/--no-pairs", default=None, help="Compare every two groups [default: up to 12 groups].")
@click.option(
    "--quantiles", default="0.05,0.5,0.95", metavar="Q,…", callback=_quantiles, help="Which, from 0 to 1."
)
@click.option(
    "--bins",
    type=click.IntRange(min=2),
    metavar="N",
    help="Numbers to group by go into N bins of equal size.",
)
@click.option(
    "--prompts/--no-prompts",
    default=None,
    help="Look for prompts that groups share [default: up to 200,000 traces].",
)
@click.option(
    "-T",
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    help="How to print; see Formats.",
)
@with_selected
def command(
    capture: str,
    by: tuple[str, ...],
    expressions: tuple[str, ...],
    text: str,
    pairs: bool | None,
    quantiles: list[float],
    bins: int | None,
    prompts: bool | None,
    form: str,
    selected: str,
) -> int:
    """Compare groups of the traces of CAPTURE.

    EXPR is anything that `read -e` takes with one value per trace; without --by all traces are one group.
    """
    if not by and not expressions:
        raise UsageError("name what to measure or what to group by, e.g. --by label.category -e seq_len")
    from tensorshark.forensics.engine import Engine
    from tensorshark.forensics.stats import Asked

    asked = Asked(
        by=by,
        expressions=expressions,
        filter=text,
        quantiles=quantiles,
        bins=bins or 0,
        pairs=pairs,
        prompts=prompts,
    )
    with Engine(capture, wait=False) as engine:
        catch_up(engine)
        trace = number_of(engine, selected)
        found = engine.stats(asked, selected=trace)
        beside = dict.fromkeys(_missing(engine, [text, *by], trace))
    if not found.traces:
        output.note("no trace matches" if text.strip() else "the capture has no traces")
        for line in beside:
            output.note(line)
        return 1
    output.write(FORMATS[form](found, text, bool(pairs)))
    if found.left_out:
        output.note(found.left_out)
    for line in beside:
        output.note(line)
    return 0


def _missing(engine: Engine, texts: Sequence[str], selected: int) -> Iterator[str]:
    """What the filter and the groups ask for that no trace here has. A field alone is asked whether it is."""
    for text in texts:
        found = engine.check(text, selected)
        if found.state == "ok" and found.reason:
            yield found.reason


def _table(found: Stats, _text: str, _pairs: bool) -> Iterator[str]:
    by = [safe_text(each, 80) for each in found.by]
    if not found.summaries:
        columns = [*map(output.Column, by), *_right("traces", "share", "prompts")]
        rows = [
            [
                *_group(each.group),
                f"{each.traces:,}",
                f"{each.traces / found.traces:.1%}",
                _count(each.prompts),
            ]
            for each in found.groups
        ]
        yield from output.table(columns, rows)
        return
    named = [f"{quantile * 100:g} %" for quantile in found.quantiles]
    numbers = _right("traces", "values", "mean", "std", "min", *named, "max")
    columns = [output.Column("expression"), *map(output.Column, by), *numbers]
    yield from output.table(columns, [_summary(line) for line in found.summaries])
    if found.contrasts:
        yield ""
        yield from _pairs_table(found)


def _summary(line: Summary) -> list[str]:
    values = [line.mean, line.std, line.min, *line.quantiles, line.max]
    counts = [f"{line.traces:,}", f"{line.values:,}"]
    return [safe_text(line.expression, 80), *_group(line.group), *counts, *map(_number, values)]


def _pairs_table(found: Stats) -> Iterator[str]:
    titles = ("n", "difference", "d", "95 %", "AUROC", "95 %", "p", "p Holm", "shared")
    columns = [output.Column("expression"), output.Column("groups"), *_right(*titles)]
    yield from output.table(columns, [_pair(line) for line in found.contrasts])
    tests = f"{found.tests:,} comparison{'s' * (found.tests != 1)}"
    yield f"{tests}; p is Mann-Whitney's, p Holm is adjusted for all of them"
    if any(line.auroc_method == "Newcombe" for line in found.contrasts):
        yield "* Newcombe's interval: DeLong's has no width here"
    if any(min(line.n_a, line.n_b) < ROUGH for line in found.contrasts):
        yield f"intervals of groups with fewer than {ROUGH} values are rough"
    if any(line.shared_prompts for line in found.contrasts):
        yield "traces of one prompt are not independent: where groups share prompts, p is off"


def _pair(line: Contrast) -> list[str]:
    star = "*" if line.auroc_method == "Newcombe" else ""
    return [
        safe_text(line.expression, 80),
        f"{_name(line.a)} – {_name(line.b)}",
        f"{line.n_a:,} {line.n_b:,}",
        _number(line.difference),
        _fixed(line.d),
        _interval(line.d_interval),
        _fixed(line.auroc, 3),
        _interval(line.auroc_interval, 3) + star,
        _p(line.p),
        _p(line.p_holm),
        _count(line.shared_prompts),
    ]


def _csv(found: Stats, _text: str, pairs: bool) -> Iterator[str]:
    if pairs:
        sides = [f"{side}: {each}" for side in "ab" for each in found.by]
        yield csv_line(
            ["expression", *sides, "n_a", "n_b", "difference", "d", "d_low", "d_high", "auroc", "auroc_low",
             "auroc_high", "auroc_method", "p", "p_method", "p_holm", "shared_prompts"]
        )  # fmt: skip
        for line in found.contrasts:
            d, area = line.d_interval or (None, None), line.auroc_interval or (None, None)
            cells = [line.difference, line.d, *d, line.auroc, *area, line.auroc_method, line.p, line.p_method]
            ends = [line.p_holm, line.shared_prompts]
            counts = [line.n_a, line.n_b]
            yield csv_line(map(_exact, [line.expression, *line.a, *line.b, *counts, *cells, *ends]))
        return
    if not found.summaries:
        yield csv_line([*found.by, "traces", "prompts"])
        for group in found.groups:
            yield csv_line(map(_exact, [*group.group, group.traces, group.prompts]))
        return
    named = [f"q{quantile:g}" for quantile in found.quantiles]
    yield csv_line(["expression", *found.by, "traces", "values", "mean", "std", "min", *named, "max"])
    for each in found.summaries:
        values = [each.traces, each.values, each.mean, each.std, each.min, *each.quantiles, each.max]
        yield csv_line(map(_exact, [each.expression, *each.group, *values]))


def _json(found: Stats, text: str, _pairs: bool) -> Iterator[str]:
    import msgspec

    data = msgspec.to_builtins(found)
    yield json.dumps(_plain({"format": FORMAT, "filter": text, **data}), allow_nan=False)


def _jsonl(found: Stats, _text: str, _pairs: bool) -> Iterator[str]:
    import msgspec

    for kind, lines in (("group", found.groups), ("summary", found.summaries), ("contrast", found.contrasts)):
        for line in lines:
            yield json.dumps(_plain({"kind": kind, **msgspec.to_builtins(line)}), allow_nan=False)


FORMATS: dict[str, Callable[[Stats, str, bool], Iterator[str]]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}


def _right(*titles: str) -> list[output.Column]:
    return [output.Column(title, right=True) for title in titles]


def _group(group: Sequence[Key]) -> list[str]:
    return [_key(key) for key in group]


def _name(group: Sequence[Key]) -> str:
    return ", ".join(_group(group))


def _key(key: Key) -> str:
    if key is None:
        return "(none)"
    if isinstance(key, bool):
        return str(key).lower()
    return safe_text(f"{key:,.6g}" if isinstance(key, float) else str(key), 60)


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4g}"


def _fixed(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero


def _interval(ends: Interval | None, digits: int = 2) -> str:
    return ABSENT if ends is None else " to ".join(_fixed(end, digits) for end in ends)


def _p(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _exact(value: Any) -> Any:
    """For CSV: every digit, safe text, empty where there is no value."""
    value = _plain(value)
    if value is None or isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else value
    return safe_text(value, WHOLE)


def _plain(value: Any) -> Any:
    """JSON's own types: infinity is a word."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
