"""Finding analyzers and running them so that one that fails is seen and stops nothing else.

Three grains: `names()` and `outlines()` import no plugin, `load()` imports one, `run()` runs it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from tensorshark.forensics import outline
from tensorshark.forensics.analyzer import API_VERSION, Analyzer, Option, OptionValue
from tensorshark.forensics.gather import Problem, gather, merge
from tensorshark.forensics.installed import entry, names, origin, outlines
from tensorshark.forensics.outline import Outline
from tensorshark.forensics.positions import NoSuchPositionError
from tensorshark.forensics.positions import check as check_position
from tensorshark.forensics.results import Failed, NotApplicable, NotCaptured, Result, checked
from tensorshark.forensics.view import View
from tensorshark.traces.errors import AnalyzerError, NotFoundError, TensorsharkError, UsageError
from tensorshark.traces.text import safe_text

__all__ = ["declared", "describe", "load", "names", "outlines", "parse_options", "run", "said", "stream"]

REMEDY = "capture again with what is missing"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def describe(name: str) -> Outline:
    """One analyzer's outline; it is imported only where its source alone does not tell."""
    point = entry(name)
    found = outline.read(name, point.value, origin(point))
    if not found.problem:
        return found
    cls = load(name)
    return Outline(
        name,
        cls.summary(),
        cls.scope,
        [outline.OptionOutline.of(option) for option in cls.all_options()],
        [outline.FieldOutline.of(field) for field in cls.fields],
        origin(point),
        point.value,
        needs=outline.NeedsOutline.of(cls.needs),
        families=list(cls.families),
    )


def load(name: str) -> type[Analyzer]:
    """Import one analyzer. Raises UsageError for an unknown name, AnalyzerError if it cannot be used."""
    point = entry(name)
    try:
        cls = point.load()
    except (Exception, SystemExit) as error:
        raise AnalyzerError(f"{name} cannot be loaded: {said(error)}") from error
    if not (isinstance(cls, type) and issubclass(cls, Analyzer)):
        raise AnalyzerError(f"{name} cannot be used: {point.value} is not an Analyzer class")
    if cls.api != API_VERSION:
        raise AnalyzerError(f"{name} is written for plugin API {cls.api}; this is API {API_VERSION}")
    for option in cls.all_options():
        if type(option.default) not in (str, int, float, bool):
            kind = type(option.default).__name__
            raise AnalyzerError(f"{name} cannot be used: the default of option {option.name} is a {kind}")
    return cls


def declared(name: str) -> tuple[Option, ...] | None:
    """The options of an analyzer; None where it cannot be loaded, which `run` then says."""
    try:
        return load(name).all_options()
    except AnalyzerError:
        return None


def parse_options(options: Iterable[Option], raw: Mapping[str, str]) -> dict[str, OptionValue]:
    """Typed values for all options, defaults filled in. Raises UsageError, saying what is allowed."""
    known = {option.name: option for option in options}
    for name in raw:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known) or 'none'}"
            raise UsageError(f"no option {safe_text(name, 80)}{hint}")
    return {
        name: _typed(option, raw[name]) if name in raw else option.default for name, option in known.items()
    }


def run(name: str, view: View, options: Mapping[str, str] | None = None) -> Iterator[Result]:
    """Run an analyzer over the traces of a view: rows gathered into Tables, then everything else in order.

    What goes wrong comes last, as Failed, NotCaptured and NotApplicable, one for each reason. Raises
    UsageError at once (not at the first `next`) for an unknown analyzer or an option that cannot be used.
    """
    return gather(stream(name, view, options), name, _units(name))


def _units(name: str) -> dict[str, str]:
    """Column -> unit, of the fields that the analyzer declares as `NAME.COLUMN` or `FAMILY.COLUMN`."""
    try:
        fields = load(name).fields
    except AnalyzerError:
        return {}  # `stream` says so
    return {field.name.partition(".")[2]: field.unit for field in fields if field.unit}


def stream(name: str, view: View, options: Mapping[str, str] | None = None) -> Iterator[Result]:
    """As `run`, but every row when it comes: constant memory over any number of traces."""
    try:
        cls = load(name)
    except AnalyzerError as error:
        return iter([Failed(title=name, reason=str(error))])
    typed = parse_options(cls.all_options(), options or {})
    if cls.scope == "pair":
        view = view.pair(str(typed["a"]), str(typed["b"]))
        if view.ids[0] == view.ids[1]:
            return iter([NotApplicable(title=name, trace=view.ids[0], reason="both are the same trace")])
    return _results(name, cls, View(view.capture, view.ids, view.report, cls.needs), typed)


def _results(name: str, cls: type[Analyzer], view: View, options: dict[str, OptionValue]) -> Iterator[Result]:
    problems: list[Problem] = []
    try:
        analyzer = cls()
    except (Exception, SystemExit) as error:
        yield Failed(title=name, reason=f"it cannot be started: {said(error)}")
        return
    if cls.scope == "trace":
        for trace in view.progress():
            yield from _guarded(analyzer.run, (view.only(trace), options), trace.id, problems)
    else:
        yield from _guarded(analyzer.run, (view, options), "", problems)
    yield from _guarded(analyzer.finish, (options,), "", problems)
    yield from merge([*view.problems, *problems], len(view), name)


def _guarded(
    step: Callable[..., Iterable[Result]], args: tuple[object, ...], trace: str, problems: list[Problem]
) -> Iterator[Result]:
    """What a step of an analyzer yields, checked; what it raises is added to `problems`."""
    try:
        results = step(*args)
        if results is None:
            raise TypeError(f"{step.__name__}() returned None; it should yield rows or results")
        for result in results:
            yield checked(result)
    except NoSuchPositionError as error:
        problems.append(NotApplicable(trace=trace, reason=str(error)))
    except NotFoundError as error:
        problems.append(NotCaptured(trace=trace, reason=str(error), remedy=REMEDY))
    except (Exception, SystemExit) as error:
        problems.append(Failed(trace=trace, reason=said(error)))


def said(error: BaseException) -> str:
    """The error in one safe line; the place in the plugin's code where we did not raise it on purpose."""
    if isinstance(error, TensorsharkError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return safe_text(f"{type(error).__name__}: {error}", 400) + place


def _typed(option: Option, text: str) -> OptionValue:
    kind = type(option.default)
    value: OptionValue | None = text
    if kind is bool:
        value = True if text.lower() in _TRUE else False if text.lower() in _FALSE else None
    elif kind is not str:
        try:
            value = kind(text)
        except ValueError:
            value = None
    if value is None or (option.choices and value not in option.choices):
        allowed = ", ".join(str(choice) for choice in option.choices) or f"expected {_WANTED[kind]}"
        raise UsageError(f"option {option.name} cannot be {safe_text(text, 80)!r}; {allowed}")
    if option.kind == "position":
        check_position(text)
    return value


_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
