"""What a plugin says about itself, read from its source without running it.

Listing analyzers, completing their names and showing their options must not import a stranger's code,
nor pay for it. Declarations are literals (`Option("top_k", 5, "…")`), so they can be read from the syntax
tree. What is computed instead of written down is reported as not known, never guessed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tensorshark.forensics.analyzer import PAIR, Field, Needs, Option, OptionValue
from tensorshark.traces.errors import AnalyzerError

MAX_BYTES = 1 << 20
MEASURES = ("measure", "measure_all")
_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


class OptionOutline(msgspec.Struct, frozen=True):
    """An `Option`, as JSON."""

    name: str
    type: str
    """`str`, `int`, `float` or `bool`."""
    default: OptionValue
    help: str
    choices: list[OptionValue]
    kind: str
    """`position` for text that names tokens, else empty."""

    @classmethod
    def of(cls, option: Option) -> OptionOutline:
        """The outline of a declared option."""
        kind = type(option.default).__name__
        return cls(option.name, kind, option.default, option.help, list(option.choices), option.kind)


class FieldOutline(msgspec.Struct, frozen=True):
    """A `Field`, as JSON."""

    name: str
    type: str
    axes: list[str]
    unit: str
    help: str
    noun: str = ""
    example: str = ""
    ids: str = ""

    @classmethod
    def of(cls, field: Field) -> FieldOutline:
        """The outline of a declared field."""
        kind = field.type.__name__
        more = (field.unit, field.help, field.noun, field.example, field.ids)
        return cls(field.name, kind, list(field.axes), *more)


class NeedsOutline(msgspec.Struct, frozen=True):
    """`Needs`, as JSON."""

    sites: list[str] = []
    stats: list[str] = []
    lens: bool = False

    @classmethod
    def of(cls, needs: Needs) -> NeedsOutline:
        """The outline of declared needs."""
        return cls(list(needs.sites), list(needs.stats), needs.lens)


class Outline(msgspec.Struct, frozen=True):
    """An analyzer as `tensorshark run --list --json` prints it."""

    name: str
    """What is typed after `tensorshark run`."""
    summary: str
    """First line of the class docstring."""
    scope: str
    """`trace`, `pair` or `corpus`."""
    options: list[OptionOutline]
    fields: list[FieldOutline]
    origin: str
    """The installed package it comes from, with its version."""
    module: str
    """`package.module:Class`."""
    problem: str = ""
    """Why something above is not known, or why it cannot be run; empty when all is well."""
    needs: NeedsOutline = NeedsOutline()
    """What must have been captured."""
    families: list[str] = []
    """First words of its fields besides its name."""
    measures: bool = False
    """True when filters can ask for its fields: the class itself defines `measure` or `measure_all`."""


def read(name: str, module: str, origin: str) -> Outline:
    """Outline the class at `package.module:Class`; nothing is imported, and problems are said, not raised."""
    path, _, attribute = module.partition(":")
    try:
        source = _source(path)
        declaration = _class(ast.parse(source), attribute)
        doc = ast.get_docstring(declaration) or ""
        values = dict(_assignments(declaration))
        scope = ast.literal_eval(values["scope"]) if "scope" in values else "trace"
        options = [OptionOutline.of(Option(*args, **kw)) for args, kw in _calls(values, "options", "Option")]
        fields = [FieldOutline.of(Field(*args, **kw)) for args, kw in _calls(values, "fields", "Field")]
        needs = _needs(values)
        families = [str(word) for word in ast.literal_eval(values.get("families", ast.List([])))]
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        RecursionError,
        AnalyzerError,
    ) as error:
        problem = f"not known without loading it: {type(error).__name__}: {error}"
        return Outline(name, "", "trace", [], [], origin, module, problem)
    pair = [OptionOutline.of(option) for option in PAIR] if scope == "pair" else []
    summary = doc.strip().splitlines()[0] if doc.strip() else ""
    return Outline(
        name,
        summary,
        str(scope),
        [*pair, *options],
        fields,
        origin,
        module,
        needs=needs,
        families=families,
        measures=_defines(declaration, MEASURES),
    )


def digest(module: str, origin: str) -> str:
    """What the values of an analyzer depend on: its package, its source, and what that imports of its own
    package, one step far. Nothing is imported. Raises AnalyzerError or OSError where there is no source.
    """
    path = module.partition(":")[0]
    source = _source(path)
    sources, own = [origin, path, source], path.partition(".")[0]
    for node in ast.walk(ast.parse(source)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            if name.partition(".")[0] == own:
                with suppress(OSError, UnicodeDecodeError, AnalyzerError):
                    sources += [name, _source(name)]
    return hashlib.sha256("\0".join(sources).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _source(module: str) -> str:
    """Source of a module. Only the first name is looked up: finding a submodule imports its parents."""
    first, *rest = module.split(".")
    spec = importlib.util.find_spec(first)
    if spec is None:
        raise AnalyzerError(f"no module {first}")
    if not rest:
        candidates = [Path(spec.origin or "")]
    else:
        folders = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations or ()]
        candidates = [
            path for folder in folders for path in (folder.with_suffix(".py"), folder / "__init__.py")
        ]
    for path in candidates:
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise AnalyzerError(f"{path.name} is larger than {MAX_BYTES:,} bytes")
            return path.read_text(encoding="utf-8")
    raise AnalyzerError(f"no Python source for {module}")


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise AnalyzerError(f"no class {name} at the top of the module")


def _assignments(declaration: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for node in declaration.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def _defines(declaration: ast.ClassDef, names: tuple[str, ...]) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name in names for node in declaration.body)


def _needs(values: dict[str, ast.expr]) -> NeedsOutline:
    """Arguments of `Needs(...)` under `needs`; nothing where there is none, or where they are computed."""
    if "needs" not in values:
        return NeedsOutline()
    one: dict[str, ast.expr] = {"needs": ast.List([values["needs"]])}
    try:
        ((args, keywords),) = _calls(one, "needs", "Needs")
        return NeedsOutline.of(Needs(*args, **keywords))
    except (ValueError, TypeError, AnalyzerError):
        return NeedsOutline()  # it is checked before a run; here it only makes hints


def _calls(values: dict[str, ast.expr], key: str, name: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Arguments of each `name(...)` in the list under `key`."""
    listed = values.get(key)
    if listed is None:
        return
    if not isinstance(listed, ast.List | ast.Tuple):
        raise AnalyzerError(f"`{key}` is not a plain list")
    for item in listed.elts:
        if not isinstance(item, ast.Call) or ast.unparse(item.func).rpartition(".")[2] != name:
            raise AnalyzerError(f"`{key}` holds something else than {name}(...)")
        yield [_literal(arg) for arg in item.args], {str(kw.arg): _literal(kw.value) for kw in item.keywords}


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Name) and node.id in _TYPES:
        return _TYPES[node.id]
    return ast.literal_eval(node)
