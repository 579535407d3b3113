"""The host: plugins from really installed packages, good and bad, over a real capture."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics import host
from tensorshark.forensics.analyzer import Option
from tensorshark.forensics.results import Failed, NotApplicable, NotCaptured, Result, Row, Table, Text
from tensorshark.forensics.view import View
from tensorshark.traces.errors import AnalyzerError, UsageError
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

Install = Callable[..., None]

NINE_LINES = '''
from tensorshark.forensics import Analyzer, Field, Needs, Option, Table

class Reach(Analyzer):
    """Residual-stream growth at one token."""
    name = "reach"
    needs = Needs(sites=["resid_post"])
    options = [Option("position", "prompt[-1]", "which token", kind="position")]
    fields = [Field("reach.norm", float, axes=("layer",), unit="units", help="L2 norm of resid_post")]

    def run(self, view, options):
        for trace in view.progress():
            for layer, norms in enumerate(trace.stats["norm.resid_post"]):
                yield trace.row(layer=layer, norm=norms[trace.positions(options["position"])[0]])
'''

BAD = '''
import sys
from tensorshark.forensics import Analyzer, Heatmap, Option, Text

class Base(Analyzer):
    """A plugin that goes wrong."""

class OneTrace(Base):
    name = "one-trace"
    def __init__(self):
        self.seen = 0
    def run(self, view, options):
        for trace in view.progress():
            yield trace.row(tokens=len(trace.tokens))
            if trace.number == 2:
                raise ValueError("bad \\x1b[31m trace")
            self.seen += 1
    def finish(self, options):
        yield Text(text=f"{self.seen} went well")

class Exits(Base):
    name = "exits"
    def run(self, view, options):
        sys.exit(3)

class Wrong(Base):
    name = "wrong"
    def run(self, view, options):
        yield 5

class Array(Base):
    name = "array"
    def run(self, view, options):
        for trace in view.progress():
            yield trace.row(norms=trace.stats["norm.resid_post"])

class Forgot(Base):
    name = "forgot"
    def run(self, view, options):
        pass

class Starts(Base):
    name = "starts"
    def __init__(self):
        raise RuntimeError("no licence")

class Corpus(Base):
    name = "corpus"
    scope = "corpus"
    def run(self, view, options):
        for trace in view.progress():
            yield trace.row(id=trace.id)
        raise KeyError("at the end")

class Old(Base):
    name = "old"
    api = 0

class OddOption(Base):
    name = "odd-option"
    options = [Option("x", [1], "a list")]

class Endless(Base):
    name = "endless"
    def run(self, view, options):
        for trace in view.progress():
            while True:
                yield trace.row(x=1)

class Abstract(Base):
    name = "abstract"

not_a_class = 5
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with entry points where `pip install` would, on a folder of sys.path."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(package: str, source: str, **analyzers: str) -> None:
        (site / f"{package}_mod.py").write_text(source)
        info = site / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        points = "".join(f"{name} = {package}_mod:{cls}\n" for name, cls in analyzers.items())
        (info / "entry_points.txt").write_text(f"[tensorshark.analyzers]\n{points}")
        importlib.invalidate_caches()

    yield install
    for name in [name for name in sys.modules if name.endswith("_mod")]:
        del sys.modules[name]


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "x.tshark", traces=4, layers=3)


def run(name: str, capture: Capture, **options: str) -> list[Result]:
    return list(host.run(name, View(capture, capture.ids()), options))


def bad(install: Install, **analyzers: str) -> None:
    install("bad", BAD, **analyzers)


def test_ours_come_through_the_same_door() -> None:
    assert {"norms", "entropy", "logit-lens", "diff"} <= set(host.names())
    assert all(each.origin.startswith("tensorshark ") for each in host.outlines() if each.name == "norms")


def test_nine_lines_installed_are_an_analyzer(install: Install, capture: Capture) -> None:
    install("nine", NINE_LINES, reach="Reach")
    assert "reach" in host.names()
    found = host.describe("reach")
    assert (found.summary, found.origin) == ("Residual-stream growth at one token.", "nine 1.2")
    assert "nine_mod" not in sys.modules  # listed and described, never imported
    (table,) = run("reach", capture)
    assert isinstance(table, Table) and [column.name for column in table.columns] == [
        "number",
        "trace",
        "layer",
        "norm",
    ]
    assert table.columns[3].unit == "units"
    trace = capture.trace(capture.ids()[3])
    expected = np.linalg.norm(trace.load("blocks.1.hook_resid_post")[-1].astype(np.float64))
    assert table.rows[3 * 3 + 1][:3] == [4, trace.id, 1]
    assert table.rows[3 * 3 + 1][3] == pytest.approx(expected, rel=1e-6)
    (shorter,) = run("reach", capture, position="0")
    assert isinstance(shorter, Table) and shorter.rows != table.rows


def test_one_bad_trace_is_seen_and_the_others_go_on(install: Install, capture: Capture) -> None:
    bad(install, **{"one-trace": "OneTrace"})
    table, text, failed = run("one-trace", capture)
    assert isinstance(table, Table) and len(table.rows) == 4  # also what it said before it failed
    assert isinstance(text, Text) and text.text == "3 went well"
    assert isinstance(failed, Failed) and failed.trace == capture.ids()[1]
    assert failed.reason.startswith("ValueError: bad \\x1b[31m trace (bad_mod.py:")


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        ("Exits", r"SystemExit: 3 .*in 4 of 4 traces"),
        ("Wrong", r"TypeError: it yielded a int; expected a row or a result"),
        ("Array", r"norms is a ndarray; a cell is one str, int"),
        ("Forgot", r"run\(\) returned None; it should yield"),
        ("Starts", r"cannot be started: RuntimeError: no licence"),
        ("Old", r"written for plugin API 0; this is API 1"),
        ("OddOption", r"the default of option x is a list"),
        ("Abstract", r"NotImplementedError"),
        ("not_a_class", r"bad_mod:not_a_class is not an Analyzer class"),
        ("Gone", r"cannot be loaded: AttributeError"),
    ],
)
def test_whatever_goes_wrong_is_a_visible_value(
    install: Install, capture: Capture, cls: str, reason: str
) -> None:
    import re

    bad(install, it=cls)
    (failed,) = run("it", capture)
    assert isinstance(failed, Failed) and failed.title == "it" and re.search(reason, failed.reason)


def test_a_module_that_fails_to_import_is_a_visible_value(install: Install, capture: Capture) -> None:
    install("burning", "raise SystemExit('no')", burning="X")
    (failed,) = run("burning", capture)
    assert isinstance(failed, Failed) and "cannot be loaded: SystemExit: no" in failed.reason
    with pytest.raises(AnalyzerError, match="burning cannot be loaded"):
        host.load("burning")
    assert len(run("norms", capture)) == 3


def test_a_corpus_that_fails_late_keeps_its_rows(install: Install, capture: Capture) -> None:
    bad(install, corpus="Corpus")
    table, failed = run("corpus", capture)
    assert isinstance(table, Table) and len(table.rows) == 4
    assert isinstance(failed, Failed) and "KeyError: 'at the end'" in failed.reason


def test_endless_rows_end(install: Install, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorshark.forensics.gather.MAX_ROWS", 50)
    bad(install, endless="Endless")
    table, failed = run("endless", capture)
    assert isinstance(table, Table) and len(table.rows) == 50 and isinstance(failed, Failed)


def test_nobody_can_take_a_name_of_ours(install: Install, capture: Capture) -> None:
    install("aaa", NINE_LINES, norms="Reach")
    ours, theirs = [each for each in host.outlines() if each.name == "norms"]
    assert ours.origin.startswith("tensorshark ") and not ours.problem
    assert theirs.origin == "aaa 1.2" and theirs.problem == "its name is taken"
    assert host.load("norms").__module__ == "tensorshark.plugins.norms"


def test_unknown_names_are_refused_with_a_hint(capture: Capture) -> None:
    with pytest.raises(UsageError, match="did you mean norms"):
        host.run("norm", View(capture, []))
    with pytest.raises(UsageError, match=r"there are: .*logit-lens"):
        host.load("\x1b[2J")


def test_damage_of_a_trace_is_named_and_never_shown_as_a_value(capture: Capture) -> None:
    trace = capture.trace(capture.ids()[2])
    stats = trace.folder / "stats.safetensors"
    data = bytearray(stats.read_bytes())
    data[-3] ^= 1
    stats.write_bytes(data)
    found = run("norms", Capture.open(capture.path))
    table, failed = found[0], found[-1]
    assert isinstance(table, Table) and {row[0] for row in table.rows} == {1, 2, 4}
    assert isinstance(failed, Failed) and failed.trace == trace.id and trace.id in failed.reason


def test_what_a_trace_has_not_is_not_a_failure(install: Install, capture: Capture) -> None:
    (absent,) = run("norms", capture, position="response[0]")
    assert (
        isinstance(absent, NotApplicable)
        and "no span response" in absent.reason
        and "4 of 4" in absent.reason
    )
    install("nine", NINE_LINES.replace('"resid_post"', '"pattern"'), reach="Reach")
    (missing,) = run("reach", capture)
    assert isinstance(missing, NotCaptured) and "--patterns" in missing.remedy
    install(
        "needy",
        NINE_LINES.replace('trace.stats["norm.resid_post"]', 'trace.load("blocks.77.hook_mlp_out")'),
        far="Reach",
    )
    (far,) = run("far", capture)
    assert isinstance(far, NotCaptured) and "blocks.77.hook_mlp_out" in far.reason


def test_streams_are_rows_as_they_come(capture: Capture) -> None:
    reports: list[tuple[int, int]] = []
    view = View(capture, capture.ids(), lambda done, total: reports.append((done, total)))
    results = host.stream("norms", view)
    assert isinstance(next(results), Row) and reports == [(0, 4)]
    list(results)
    assert reports[-1] == (4, 4)


OPTIONS = [
    Option("flag", False, ""),
    Option("count", 3, ""),
    Option("size", 0.5, ""),
    Option("word", "a", "", choices=("a", "b")),
    Option("at", "-1", "", kind="position"),
]


def test_options_are_complete_and_typed() -> None:
    assert host.parse_options(OPTIONS, {}) == {
        "flag": False,
        "count": 3,
        "size": 0.5,
        "word": "a",
        "at": "-1",
    }
    given = {"flag": "Yes", "count": "-7", "size": "1e-3", "word": "b", "at": "prompt[0]"}
    assert host.parse_options(OPTIONS, given) == {
        "flag": True,
        "count": -7,
        "size": 0.001,
        "word": "b",
        "at": "prompt[0]",
    }


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("flag", "maybe", "expected true or false"),
        ("count", "3.5", "expected a whole number"),
        ("size", "big", "expected a number"),
        ("word", "c", "a, b"),
        ("at", "prompt[", "cannot be read"),
        ("siz", "1", "did you mean size"),
        ("zzz", "1", "there are: flag, count, size, word, at"),
        ("count", "\x1b]0;x\x07", r"\\x1b\]0;x"),
    ],
)
def test_options_that_cannot_be_used_say_what_can(name: str, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        host.parse_options(OPTIONS, {name: value})
