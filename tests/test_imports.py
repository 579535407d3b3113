"""What each part of the program imports, asked of fresh interpreters: start-up is an import problem.

The contracts in pyproject.toml see the static graph; they cannot tell an import inside a function, which
costs nothing until it is needed, from one at the top of a file. These tests can.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tensorshark.traces.synthetic import write_synthetic

ROOT = Path(__file__).parent.parent
MODEL = ("torch", "transformers", "transformer_lens")
"""Seconds each; only for capturing."""
PARSER = ("lark", "re2")
"""Only once a filter is parsed."""
ALWAYS = (*MODEL, "sklearn", "scipy", "pandas", "matplotlib", "plotext")
"""Never at start-up."""


def modules(*folders: str) -> list[str]:
    """Importable names of the modules below these folders, what captures left out."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            if not name.startswith("forensics.capture"):
                found.append("tensorshark." + name.removesuffix(".__init__"))
    return [name for name in found if not name.endswith("__main__")]


def fresh(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run code in a new interpreter; what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORT = """
import importlib, json, sys
names, heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for name in names:
    importlib.import_module(name)
    loaded = [each for each in heavy if each in sys.modules]
    assert not loaded, f"importing {name} imports {loaded}"
"""

COMMAND = """
import contextlib, io, json, sys
from tensorshark.tui.cli import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("folders", "heavy"),
    [
        (("traces",), (*ALWAYS, *PARSER, "textual", "rich", "click", "yaml")),
        (("forensics",), (*ALWAYS, *PARSER, "textual", "rich", "click")),
        (("plugins",), (*ALWAYS, *PARSER, "textual", "rich", "click")),
        (("tui/cli",), (*ALWAYS, *PARSER, "textual", "rich")),
        (("tui",), (*ALWAYS, *PARSER)),
    ],
    ids=lambda value: value[0] if len(value) == 1 else "",
)
def test_importing_a_folder_imports_nothing_heavy(folders: tuple[str, ...], heavy: tuple[str, ...]) -> None:
    fresh(IMPORT, json.dumps(modules(*folders)), json.dumps(heavy))


@pytest.mark.parametrize(
    "name",
    ["tensorshark.tui.cli", "tensorshark.traces", "tensorshark.traces.errors", "tensorshark.traces.text"],
)
def test_the_first_modules_need_no_numpy(name: str) -> None:
    """`--help`, completion and usage errors are answered before numpy could be imported."""
    fresh(IMPORT, json.dumps([name]), json.dumps(["numpy", "msgspec", "sqlite3"]))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small capture whose index exists."""
    path = tmp_path_factory.mktemp("imports") / "small.tshark"
    write_synthetic(path, traces=3)
    fresh(COMMAND, "info", str(path))
    return str(path)


HEADLESS = ("textual", *ALWAYS)
LISTING = ("ml_dtypes", "tomllib", "socket", "subprocess", "logging", "concurrent", "importlib.metadata")
"""What a list of traces does without: tensors, settings, writers, workers and plugins."""
FORENSICS = "tensorshark.forensics"
APART = tuple(
    f"{FORENSICS}.{name}"
    for name in ("analyzer", "results", "host", "jobs", "worker", "outline", "stats", "similar", "measured")
)
FAR = tuple(
    f"{FORENSICS}.filter.{name}"
    for name in ("answers.plan", "answers.why", "completion", "added", "values.similar", "values.vectors")
)
"""Parts of the filter that a comparison of one column has no need of."""


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], (*HEADLESS, *PARSER, "rich", "numpy", "msgspec", "sqlite3")),
        (["completion", "bash"], (*HEADLESS, *PARSER, "rich", "numpy")),
        (["info", "CAP"], (*HEADLESS, *PARSER, *LISTING, FORENSICS, "rich")),
        (["info", "CAP", "--full", "--json"], (*HEADLESS, *PARSER, "rich")),
        (["read", "CAP"], (*HEADLESS, *PARSER, *LISTING, *APART, f"{FORENSICS}.filter")),
        (["read", "CAP", "-Y", 'label.category == "fact"'], (*HEADLESS, *PARSER, *LISTING, *APART, *FAR)),
        (["read", "CAP", "-Y", "resid_post.norm#1[-1] > 0"], (*HEADLESS, *PARSER, *LISTING, *APART, *FAR)),
        (["read", "CAP", "-Y", 'label.category == "fact" and prompt matches "a"'], HEADLESS),
        (["read", "CAP", "-T", "jsonl", "--sort", "resid_post.norm#1[-1]"], HEADLESS),
        (["fields"], (*HEADLESS, *PARSER, "rich")),
        (["fields", "CAP", "--json"], (*HEADLESS, *PARSER, "rich")),
        (["run", "--list"], HEADLESS),
        (["run", "norms", "CAP"], HEADLESS),
        (["run", "logit-lens", "CAP", "--limit", "1"], HEADLESS),
        (["serve", "--schema"], (*HEADLESS, *PARSER, "rich")),
        (["capture", "--help"], (*HEADLESS, *PARSER)),
        (["models", "list"], HEADLESS),
        (["demo", "--help"], (*HEADLESS, *PARSER)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_needs(words: list[str], heavy: tuple[str, ...], capture: str) -> None:
    code, loaded = json.loads(fresh(COMMAND, *(capture if word == "CAP" else word for word in words)))
    assert code in (0, 1)
    assert not set(heavy) & set(loaded)


WORKBENCH = """
import asyncio, json, sys
from tensorshark.tui.app import Workbench

async def look():
    app = Workbench(sys.argv[1])
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        for key in ["j", "1", "2", "3", "4", "5", "]", "l", "s", "question_mark", "escape"]:
            await pilot.press(key)
            await pilot.pause(0.1)
        await pilot.pause(0.5)

asyncio.run(look())
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_workbench_never_imports_torch(capture: str) -> None:
    """Through every pane: the lens and the analyzers run in another process."""
    assert not set(MODEL) & set(json.loads(fresh(WORKBENCH, capture)))


def test_analyzers_are_named_without_importing_them() -> None:
    """A plugin that is installed and broken must not break listing; one that is slow must not slow it."""
    code = (
        "import json, sys; from tensorshark.forensics import host; host.names();"
        "print(json.dumps([n for n in sys.modules if n.startswith('tensorshark.plugins')]))"
    )
    assert json.loads(fresh(code)) == []


def test_built_in_analyzers_come_in_through_the_public_door() -> None:
    """Entry points, as a stranger's would."""
    names = {point.name for point in importlib.metadata.entry_points(group="tensorshark.analyzers")}
    assert {"norms", "entropy", "logit-lens", "diff"} <= names


def folders_of(kind: str) -> Iterator[Path]:
    """Python files of one of the four folders."""
    return (ROOT / kind).rglob("*.py")


def test_each_module_says_what_it_is() -> None:
    """A docstring opens every file; four folders, no fifth."""
    for kind in ("traces", "forensics", "plugins", "tui"):
        for path in folders_of(kind):
            first = path.read_text(encoding="utf-8").lstrip()
            assert not first or first.startswith(('"""', 'r"""')), path
