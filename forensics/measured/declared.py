"""Fields that installed analyzers declare, read from their source; no analyzer is imported for it.

A field's first word is the analyzer's name or one of its families, and nobody can take a word of ours.
What is declared otherwise is left out, and `problems` says why.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

import msgspec

from tensorshark.forensics import installed, outline
from tensorshark.forensics.filter.fields import AXES, FIELDS, POS, SELECTORS, FieldInfo, Type
from tensorshark.forensics.outline import FieldOutline, NeedsOutline, Outline
from tensorshark.traces.sites import stat_site
from tensorshark.traces.text import safe_text

MAX_FIELDS = 64
"""Of one analyzer."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
"""As the grammar has it."""
_TYPES: dict[str, Type] = {"str": "text", "int": "number", "float": "number", "bool": "truth"}
_WORDS = frozenset(("and", "or", "xor", "not", "in", "any", "all", "true", "false", "contains", "matches"))
_SHORT = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "t", "r"))
_CASE = frozenset(("mark", "tag", "note"))
"""First words that are the language's own."""


class Declared(msgspec.Struct, frozen=True):
    """One field of one analyzer."""

    info: FieldInfo
    analyzer: str
    module: str
    """`package.module:Class`."""
    origin: str
    """The installed package, with its version."""
    ours: bool
    """True when it comes with this program, and runs in this process."""
    whole: bool
    """True for whole numbers."""
    needs: NeedsOutline
    """What must have been captured."""
    measures: bool
    """False when the analyzer only prints it: it has no `measure`."""

    @property
    def digest(self) -> str:
        """What its values depend on besides the trace. Raises AnalyzerError or OSError."""
        return _digest(self.module, self.origin)

    @property
    def sites(self) -> list[str]:
        """That have to be captured for it."""
        return list(dict.fromkeys([*self.needs.sites, *map(stat_site, self.needs.stats)]))

    @property
    def needed(self) -> str:
        """What to capture for it, in words: `--sites resid_post`; empty when nothing special."""
        parts = [f"--sites {','.join(self.sites)}"] if self.sites else []
        return " ".join([*parts, *(["--lens-file embed"] if self.needs.lens else [])])


def fields() -> list[FieldInfo]:
    """Those that filters can ask for: what `filter.fields` lists beside its own."""
    return [each.info for each in _all()[0].values() if each.measures]


def ours() -> list[FieldInfo]:
    """Those of our own analyzers."""
    return [each.info for each in _all()[0].values() if each.measures and each.ours]


def find(name: str) -> Declared | None:
    """The field of that name, also one that is only printed."""
    return _all()[0].get(name)


def problems() -> list[str]:
    """What is declared and cannot be used, in words that are safe to print."""
    return _all()[1]


def family(word: str) -> str:
    """Name of the analyzer whose fields begin with this word; empty when there is none."""
    return next((each.analyzer for name, each in _all()[0].items() if name.partition(".")[0] == word), "")


def undeclared(name: str) -> str:
    """Why a name that looks like a field of an analyzer is none that filters can use; else empty."""
    if (only := find(name)) is not None and not only.measures:
        run = f"`tensorshark run {only.analyzer}`"
        return f"{only.analyzer} prints {name} and does not measure it for filters: {run}"
    word = name.partition(".")[0]
    if analyzer := family(word):
        known = ", ".join(info.name for info in fields() if info.key == analyzer)
        return f"analyzer {analyzer} has no field {safe_text(name, 80)}; it has {known}" if known else ""
    if word == "probe":
        return "no installed analyzer declares probe.*; `tensorshark run --list` names those that are there"
    return ""


def _all() -> tuple[dict[str, Declared], list[str]]:
    return _read(tuple(sys.path))


@lru_cache(4)
def _read(path: tuple[str, ...]) -> tuple[dict[str, Declared], list[str]]:
    """Name -> field, and what is wrong, for the packages on this path."""
    ours = {entry.name for entry in installed.entries() if installed.ours(entry)}
    taken = {info.name.partition(".")[0]: "" for info in FIELDS} | dict.fromkeys(_WORDS | _SHORT | _CASE, "")
    found: dict[str, Declared] = {}
    wrong: list[str] = []
    for each in installed.outlines():
        if each.problem:
            continue  # `run --list` says what
        mine = {
            word for word in (each.name, *each.families) if taken.setdefault(word, each.name) == each.name
        }
        for field in each.fields[:MAX_FIELDS]:
            reason = _reason(field, mine, found)
            if reason:
                wrong.append(f"{safe_text(each.name, 40)}: field {safe_text(field.name, 80)} {reason}")
            else:
                found[field.name] = _declared(field, each, each.name in ours)
        if len(each.fields) > MAX_FIELDS:
            wrong.append(f"{safe_text(each.name, 40)}: more than {MAX_FIELDS} fields; the rest is left out")
    return found, wrong


def _reason(field: FieldOutline, families: set[str], found: dict[str, Declared]) -> str:
    """Why a field cannot be used; empty when it can."""
    if not _NAME.fullmatch(field.name) or len(field.name) > 80:
        return "is not words with dots between them"
    if field.name in found:
        return "is declared twice"
    if field.name.partition(".")[0] not in families:
        return "begins with a word that is not the analyzer's own"
    if field.axes != [axis for axis in AXES if axis in field.axes]:
        return f"has other axes than some of {', '.join(AXES)}, in this order"
    if "head" in field.axes and "." not in field.name:
        return "has heads and no dot in its name"
    return "" if field.type in _TYPES else "is of no known type"


def _declared(field: FieldOutline, each: Outline, ours: bool) -> Declared:
    """The field as the filter has it. Texts are a stranger's."""
    written = "".join(SELECTORS[axis] + {POS: "-1]"}.get(axis, "0") for axis in field.axes)
    relation = {"text": ' != ""', "number": " > 0", "truth": ""}[_TYPES[field.type]]
    noun = field.noun or f"{field.name}{' after' if 'layer' in field.axes else ''}"
    info = FieldInfo(
        name=field.name,
        type=_TYPES[field.type],
        axes=tuple(field.axes),
        unit=safe_text(field.unit, 20),
        help=safe_text(field.help, 200),
        source=f"analyzer {safe_text(each.name, 40)}",
        example=field.example or f"{field.name}{written}{relation}",
        noun=safe_text(noun, 80),
        kind="analyzer",
        key=each.name,
        always=False,
        tokens=bool(field.ids) and field.type == "str",
        ids=field.ids,
    )
    whole = field.type == "int"
    return Declared(info, each.name, each.module, each.origin, ours, whole, each.needs, each.measures)


@lru_cache(64)
def _digest(module: str, origin: str) -> str:
    return outline.digest(module, origin)
