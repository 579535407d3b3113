"""Which analyzers are installed, and what they say about themselves. Imports no plugin, and no numpy."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from msgspec.structs import replace

from tensorshark.forensics import outline
from tensorshark.forensics.outline import Outline
from tensorshark.traces.errors import UsageError
from tensorshark.traces.text import safe_text

GROUP = "tensorshark.analyzers"
OURS = "tensorshark"
"""The package whose analyzers come first, and run in this process."""


def names() -> list[str]:
    """Names of all installed analyzers, ours first; nothing is imported."""
    return list(_by_name())


def outlines() -> list[Outline]:
    """What each installed analyzer says about itself, read without importing it.

    An entry point whose name is already taken is in the list too, with its `problem`.
    """
    taken: set[str] = set()
    found = []
    for entry in entries():
        each = outline.read(entry.name, entry.value, origin(entry))
        found.append(replace(each, problem="its name is taken") if entry.name in taken else each)
        taken.add(entry.name)
    return found


def entries() -> list[EntryPoint]:
    """All entry points, ours first, then by package and name, so that nobody can take a name of ours."""
    found = entry_points(group=GROUP)
    return sorted(
        found, key=lambda entry: (_package(entry) != OURS, _package(entry), entry.name, entry.value)
    )


def entry(name: str) -> EntryPoint:
    """The entry point of that name. Raises UsageError, with the nearest name, where there is none."""
    installed = _by_name()
    if name not in installed:
        near = get_close_matches(name, installed, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(installed) or 'none'}"
        raise UsageError(f"no analyzer {safe_text(name, 80)}{hint}")
    return installed[name]


def origin(entry: EntryPoint) -> str:
    """The package that it comes from, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def ours(entry: EntryPoint) -> bool:
    """True when it comes with this program."""
    return _package(entry) == OURS


def _by_name() -> dict[str, EntryPoint]:
    """Entry points by name; where two packages use one name, the first of `entries` has it."""
    found: dict[str, EntryPoint] = {}
    for each in entries():
        found.setdefault(each.name, each)
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else ""
