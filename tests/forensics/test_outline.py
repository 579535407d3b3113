"""Outlines: what source code says, read without running it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tensorshark.forensics import Analyzer, host, outline
from tensorshark.forensics.outline import FieldOutline, OptionOutline

SOURCE = '''
"""A module that must not run."""
from pathlib import Path
import tensorshark.forensics as ts
from tensorshark.forensics import Analyzer, Field, Option

Path(__file__).with_name("ran").touch()

class Good(Analyzer):
    """One line of summary.

    And a paragraph.
    """

    name = "good"
    scope: str = "pair"
    options = (ts.Option("depth", 3, "how deep", choices=(1, 2, 3)), Option("at", "", "x", kind="position"))
    fields = [Field("good.x", float, axes=("layer",), unit="nats", help="x")]

class Bare(Analyzer):
    name = "bare"

class Computed(Analyzer):
    """Computed."""
    name = "computed"
    options = [Option(str(i), i, "") for i in range(3)]

class Other(Analyzer):
    name = "other"
    options = [print("run me")]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "outlined_pkg" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "mod.py").write_text(SOURCE)
    (tmp_path / "outlined_flat.py").write_text(SOURCE)
    (tmp_path / "outlined_broken.py").write_text("class Good(:")
    (tmp_path / "outlined_binary.py").write_bytes(b"\xff\xfe\x00")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("module", ["outlined_pkg.inner.mod", "outlined_flat"])
def test_declarations_are_read_and_nothing_runs(folder: Path, module: str) -> None:
    found = outline.read("good", f"{module}:Good", "dist 1.0")
    assert (found.summary, found.scope, found.origin, found.problem) == (
        "One line of summary.",
        "pair",
        "dist 1.0",
        "",
    )
    assert [option.name for option in found.options] == ["a", "b", "depth", "at"]
    assert found.options[2] == OptionOutline("depth", "int", 3, "how deep", [1, 2, 3], "")
    assert found.options[3].kind == "position"
    assert found.fields == [FieldOutline("good.x", "float", ["layer"], "nats", "x")]
    assert not list(folder.rglob("ran"))
    assert not [name for name in sys.modules if name.startswith("outlined_")]


def test_a_class_that_declares_nothing(folder: Path) -> None:
    found = outline.read("bare", "outlined_flat:Bare", "")
    assert (found.summary, found.scope, found.options, found.fields, found.problem) == (
        "",
        "trace",
        [],
        [],
        "",
    )


@pytest.mark.parametrize(
    "module",
    [
        "outlined_flat:Computed",
        "outlined_flat:Other",
        "outlined_flat:Missing",
        "outlined_broken:Good",
        "outlined_binary:Good",
        "outlined_pkg.nowhere:Good",
        "outlined_nothing:Good",
        "sys:Good",
        "",
    ],
)
def test_what_cannot_be_read_is_said_not_raised(folder: Path, module: str) -> None:
    found = outline.read("x", module, "")
    assert found.problem.startswith("not known without loading it") and found.options == []
    assert not list(folder.rglob("ran"))


@pytest.mark.parametrize("name", ["norms", "entropy", "logit-lens", "diff"])
def test_ours_say_in_source_what_their_classes_say(name: str) -> None:
    found, cls = host.describe(name), host.load(name)
    assert (found.summary, found.scope) == (cls.summary(), cls.scope)
    assert found.options == [OptionOutline.of(option) for option in cls.all_options()]
    assert found.fields == [FieldOutline.of(field) for field in cls.fields]
    assert found.needs == outline.NeedsOutline.of(cls.needs) and found.families == list(cls.families)
    assert found.measures == (cls.measure is not Analyzer.measure)
    assert found.summary and found.problem == ""


MEASURING = '''
from tensorshark.forensics import Analyzer, Field, Needs
from tensorshark.forensics.norms import l2
import outlined_helper.inner

class Measures(Analyzer):
    """Measures."""
    name = "measures"
    needs = Needs(["resid_post"], lens=True)
    families = ["loud"]
    fields = [Field("loud.x", float, noun="loudness", example="loud.x > 1")]
    def measure(self, trace, field, cells):
        return 1

class Odd(Analyzer):
    """Its needs are computed."""
    name = "odd"
    needs = Needs(sites=list("ab"))
'''


def test_what_filters_need_to_know_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outlined_measuring.py").write_text(MEASURING)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = outline.read("measures", "outlined_measuring:Measures", "")
    assert (found.problem, found.measures, found.families) == ("", True, ["loud"])
    assert found.needs == outline.NeedsOutline(["resid_post"], [], True)
    assert (found.fields[0].noun, found.fields[0].example) == ("loudness", "loud.x > 1")
    odd = outline.read("odd", "outlined_measuring:Odd", "")
    assert (odd.problem, odd.measures, odd.needs) == ("", False, outline.NeedsOutline())


def test_the_digest_changes_with_the_source_and_with_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "outlined_digest"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "plugin.py").write_text("from outlined_digest.maths import f\nimport os\n")
    (package / "maths.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = {outline.digest("outlined_digest.plugin:X", "pkg 1")}
    seen.add(outline.digest("outlined_digest.plugin:X", "pkg 2"))
    (package / "maths.py").write_text("def f(): return 2\n")
    seen.add(outline.digest("outlined_digest.plugin:X", "pkg 1"))
    (package / "plugin.py").write_text("from outlined_digest.maths import f\nimport os  # other\n")
    seen.add(outline.digest("outlined_digest.plugin:X", "pkg 1"))
    assert len(seen) == 4
    assert outline.digest("outlined_digest.plugin:X", "pkg 1") in seen
