"""tables.json is what lark makes of grammar.lark."""

import subprocess
import sys

from tensorshark.forensics.filter.syntax import tables


def test_the_tables_are_those_of_the_grammar() -> None:
    remedy = "python -m tensorshark.forensics.filter.syntax.tables"
    assert tables.TABLES.read_text("utf-8") == tables.dump(), f"stale: run {remedy}"


def test_reading_a_filter_takes_neither_lark_nor_re2() -> None:
    code = """
import sys
from tensorshark.forensics.filter import parse
parse('label.category == "x" and all(resid_post.norm#[1-2][-1]) > 3 or time > 2026-01-01')
print(sorted({"lark", "re2", "torch", "textual", "rich"} & set(sys.modules)))
parse('prompt matches "x"')
print("re2" in sys.modules)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split("\n")[:2] == ["[]", "True"]
