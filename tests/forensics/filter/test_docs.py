"""docs/filter.md is made from the tables, and every filter on it runs."""

import pytest

from tensorshark.forensics.filter import docs, parse
from tensorshark.forensics.filter.context import Context
from tensorshark.forensics.filter.fields import FIELDS
from tensorshark.forensics.filter.functions import FUNCTIONS
from tensorshark.traces.index import Index


def test_the_page_is_not_stale() -> None:
    remedy = "python -m tensorshark.forensics.filter.docs"
    assert docs.PAGE.read_text("utf-8") == docs.page(), f"stale: run {remedy}"


def test_every_field_and_function_is_on_the_page() -> None:
    page = docs.page()
    assert all(f"`{info.name}`" in page for info in FIELDS)
    assert all(f"`{each.signature or f'{name}(…)'}`" in page for name, each in FUNCTIONS.items())
    assert "@" not in page


@pytest.mark.parametrize("text", docs.examples())
def test_every_example_runs(text: str, odd_index: Index) -> None:
    found = parse(text).select(odd_index, context=Context(selected=2))
    assert ((found >= 1) & (found <= 30)).all()


def test_examples_use_the_field_or_function_that_they_stand_beside() -> None:
    for info in FIELDS:
        assert info.name.removesuffix("*") in info.example
    for function in FUNCTIONS.values():
        assert f"{function.name}(" in function.example
