"""The plugin API: what a class declares, and that importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import tensorshark.forensics as forensics
from tensorshark.forensics import Analyzer, Option


class Plain(Analyzer):
    """First line.

    More lines.
    """

    name = "plain"


class Two(Analyzer):
    name = "two"
    scope = "pair"
    options = [Option("depth", 1, "how deep")]


def test_the_summary_is_the_first_line_of_the_docstring() -> None:
    assert Plain.summary() == "First line."
    assert [option.name for option in Plain.all_options()] == []


def test_pairs_have_a_and_b_without_declaring_them() -> None:
    assert [option.name for option in Two.all_options()] == ["a", "b", "depth"]


def test_finish_yields_nothing_by_default() -> None:
    assert list(Plain().finish({})) == []


def test_the_api_is_cheap_to_import() -> None:
    script = (
        "import sys\n"
        "from tensorshark.forensics import Analyzer, Field, Needs, Option, Table\n"
        "heavy = {'numpy', 'torch', 'textual', 'rich', 'click', 'lark'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_everything_promised_is_there() -> None:
    assert all(hasattr(forensics, name) for name in forensics.__all__)
