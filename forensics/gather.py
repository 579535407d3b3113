"""Rows into tables, and problems of many traces into one line for each reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from tensorshark.forensics.results import (
    Cell,
    Column,
    Failed,
    NotApplicable,
    NotCaptured,
    Result,
    Row,
    Table,
)

Problem = Failed | NotCaptured | NotApplicable
Kind = Literal["str", "int", "float", "bool"]

MAX_ROWS = 1_000_000
"""Rows kept in memory for one run."""
_KINDS: dict[type, Kind] = {str: "str", int: "int", float: "float", bool: "bool"}


def gather(results: Iterable[Result], title: str, units: Mapping[str, str]) -> Iterator[Result]:
    """Tables made of the rows (one for each title and set of columns), then all other results in order.

    Stops with a Failed after MAX_ROWS rows; the rows until then are kept.
    """
    tables: dict[tuple[str, ...], list[Row]] = {}
    others: list[Result] = []
    count = 0
    for result in results:
        if not isinstance(result, Row):
            others.append(result)
            continue
        if count == MAX_ROWS:
            reason = f"it was stopped after {MAX_ROWS:,} rows; select fewer traces, or use -T jsonl"
            others.append(Failed(title=title, reason=reason))
            break
        tables.setdefault((result.title or title, *result.cells), []).append(result)
        count += 1
    for (name, *columns), rows in tables.items():
        yield _table(name, columns, rows, units)
    yield from others


def _table(title: str, names: list[str], rows: list[Row], units: Mapping[str, str]) -> Table:
    """One table; rows about a trace begin with its number and id."""
    about = any(row.trace for row in rows)
    lead = [Column("number", "int"), Column("trace", "str")] if about else []
    kinds = [_kind({type(row.cells[name]) for row in rows}) for name in names]
    columns = [Column(name, kind, units.get(name, "")) for name, kind in zip(names, kinds, strict=True)]
    cells: list[list[Cell]] = [
        [*((row.number or None, row.trace) if about else ()), *_fitting(row, names, kinds)] for row in rows
    ]
    absent = "no value" if any(None in row for row in cells) else ""
    return Table(title=title, columns=[*lead, *columns], rows=cells, absent=absent)


def _kind(types: set[type]) -> Kind:
    """The narrowest column type that holds all the cells."""
    types = types - {type(None)}
    if len(types) == 1:
        return _KINDS[types.pop()]
    return "float" if types and types <= {int, float} else "str"


def _fitting(row: Row, names: list[str], kinds: list[Kind]) -> Iterator[Cell]:
    for name, kind in zip(names, kinds, strict=True):
        value = row.cells[name]
        if value is None:
            yield None
        elif kind == "str":
            yield str(value)
        else:
            yield float(value) if kind == "float" else value


def merge(problems: Iterable[Problem], total: int, title: str) -> Iterator[Problem]:
    """One problem for each kind and reason (apart from the id); a shared one counts its traces."""
    groups: dict[tuple[type, str, str], list[Problem]] = {}
    for problem in problems:
        remedy = problem.remedy if isinstance(problem, NotCaptured) else ""
        reason = problem.reason.replace(problem.trace, "") if problem.trace else problem.reason
        groups.setdefault((type(problem), reason, remedy), []).append(problem)
    for group in groups.values():
        first = group[0]
        if len(group) == 1:
            yield msgspec.structs.replace(first, title=title)
        else:
            counted = f"{first.reason} (in {len(group):,} of {total:,} traces, the first is {first.trace})"
            yield msgspec.structs.replace(first, title=title, trace="", reason=counted)
