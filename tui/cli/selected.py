"""`--selected`: which trace `$field` speaks of in the filters and columns of a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from tensorshark.traces.errors import FilterError

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine

Command = Callable[..., int]


def with_selected(command: Command) -> Command:
    """Give a command `--selected`, and tell whoever writes `$` without it that there is one."""

    @click.option(
        "--selected",
        default="",
        metavar="TRACE",
        help="The trace that $ speaks of: #NUMBER, or how its id begins.",
    )
    @wraps(command)
    def remedied(*args: Any, selected: str, **options: Any) -> int:
        try:
            return command(*args, selected=selected, **options)
        except FilterError as error:
            from tensorshark.forensics.filter.values.reference import NOBODY

            if error.reason != NOBODY:
                raise
            reason = f"{NOBODY}; name it with --selected '#NUMBER'"
            raise FilterError(reason, error.text, error.column, error.length) from None

    return remedied


def number_of(engine: Engine, selected: str) -> int:
    """Of the selected trace, 0 for none. Raises NotFoundError."""
    return engine.number(selected) if selected else 0
