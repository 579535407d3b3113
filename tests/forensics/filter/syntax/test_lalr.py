"""The runner of the tables: the same trees as lark's own parser, and what may come next."""

import functools

import lark
import pytest

from tensorshark.forensics.filter import docs
from tensorshark.forensics.filter.syntax import lalr, tables


@functools.cache
def larks() -> lark.Lark:
    grammar = tables.GRAMMAR.read_text("utf-8")
    return lark.Lark(grammar, parser="lalr", lexer="basic", start="filter", maybe_placeholders=False)


def read(text: str) -> lalr.Branch:
    parser = lalr.Parser()
    parser.read(text)
    return parser.finish(len(text))


def outline(node: object) -> object:
    """A tree of either kind, as nested lists."""
    if isinstance(node, lalr.Branch):
        return [node.rule, *map(outline, node.children)]
    if isinstance(node, lark.Tree):
        return [str(node.data), *map(outline, node.children)]
    return node.text if isinstance(node, lalr.Token) else str(node)


@pytest.mark.parametrize("text", docs.examples())
def test_trees_are_those_of_lark(text: str) -> None:
    assert outline(read(text)) == outline(larks().parse(text))


def test_branches_know_where_they_stand() -> None:
    text = ' a#12[-1] > 3 and ( "x" == b )'
    both = read(text).children[0]
    assert [text[child.start : child.stop] for child in both.children] == ["a#12[-1] > 3", "and", '"x" == b']
    field = both.children[0].children[0]
    assert [text[part.start : part.stop] for part in field.children] == ["a", "12", "[-1]"]


@pytest.mark.parametrize(
    ("text", "may", "may_not"),
    [
        ("", {"NAME", "NOT", "STRING", "_LPAR"}, {"AND", "_RPAR", "$END"}),
        ("a", {"AND", "CONTAINS", "_HASH", "_LSQB", "$END"}, {"NAME", "_RPAR"}),
        ("(a", {"_RPAR", "AND"}, {"$END"}),
        ("a == ", {"STRING", "NUMBER", "NAME"}, {"NOT", "$END"}),
        ("a[", {"NUMBER", "MINUS", "NAME", "_COLON"}, {"STRING", "_RSQB"}),
        ("a in ", {"_LBRACE"}, {"NUMBER"}),
    ],
)
def test_what_may_come_next(text: str, may: set[str], may_not: set[str]) -> None:
    parser = lalr.Parser()
    parser.read(text)
    assert may <= parser.accepts()
    assert not may_not & parser.accepts()


def test_a_terminal_may_come_next_exactly_when_it_can_be_read() -> None:
    samples = {
        "NAME": "b",
        "NUMBER": "3",
        "STRING": '"s"',
        "AND": "and",
        "_RPAR": ")",
        "_RSQB": "]",
        "IN": "in",
    }
    for text in ("", "a", "(a", "a ==", "a#", "a[1", "f(a", "a in {1", "a == 3", "not"):
        parser = lalr.Parser()
        parser.read(text)
        for terminal, sample in samples.items():
            other = lalr.Parser()
            other.read(text)
            try:
                other.read(f" {sample}")
                taken = True
            except lalr.Stuck:
                taken = False
            assert taken == (terminal in parser.accepts()), (text, terminal)


def test_depth_does_not_matter() -> None:
    deep = "(" * 4000 + "a" + ")" * 4000
    assert outline(read(deep)) == outline(read("a"))
