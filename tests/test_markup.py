"""No str of ours or anyone's is ever taken for markup: a rule kept by reading the source.

Textual and Rich parse `[...]` in a str as styles, links and actions; `[INST]` vanishes and `[@click=…]` runs.
Widgets are given `Content` or `Text`, or a literal without brackets.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARSING = {
    "Button", "Checkbox", "Collapsible", "Label", "Link", "ListItem", "Markdown", "MarkdownViewer", "Option",
    "OptionList", "Panel", "Placeholder", "RadioButton", "Select", "Static", "Tab", "TabPane", "Tree",
}  # fmt: skip
"""Constructors that parse a str as markup."""
METHODS = {
    "add_column",
    "add_columns",
    "add_leaf",
    "add_option",
    "add_options",
    "add_row",
    "add_rows",
    "set_label",
}
"""Methods that do."""
ATTRIBUTES = {"border_subtitle", "border_title", "tooltip"}
"""Attributes that do."""
FORBIDDEN = {"from_markup", "from_ansi", "render_markup"}
"""There is no way to use these on text that nobody has vouched for."""


def offences(source: str) -> list[str]:
    """What breaks the rule, as `line: why`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                plain = any(key.arg == "markup" and _is(key.value, False) for key in node.keywords)
                if name in FORBIDDEN:
                    found.append(f"{node.lineno}: {name}")
                if any(key.arg == "markup" and not _is(key.value, False) for key in node.keywords):
                    found.append(f"{node.lineno}: markup is not False")
                attribute = isinstance(node.func, ast.Attribute)
                if (name in METHODS if attribute else name in PARSING) and not plain:
                    found += [
                        f"{node.lineno}: {name}({ast.unparse(arg)})" for arg in node.args if _may_parse(arg)
                    ]
            case ast.Assign(targets=targets, value=value):
                names = {target.attr for target in targets if isinstance(target, ast.Attribute)}
                if names & ATTRIBUTES and _may_parse(value):
                    found.append(f"{node.lineno}: {', '.join(names)} = {ast.unparse(value)}")
    return found


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _may_parse(node: ast.expr) -> bool:
    """True for all but literals without brackets, and calls that make something else than a str."""
    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return True
        case ast.Constant(value=str(text)):
            return "[" in text
        case ast.JoinedStr() | ast.BinOp():
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in {"str", "format", "join", "safe_text", "token_text", "repr"}
    return False


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tui").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_markup(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "Static(f'{prompt}')",
        "Static(prompt)",
        "Label(safe_text(prompt))",
        "Static('[b]x[/b]')",
        "table.add_row(str(x))",
        "self.notify(x, markup=True)",
        "Text.from_markup(x)",
        "self.border_title = f'{name}'",
        "tree.root.add_leaf('a' + b)",
    ],
)
def test_the_rule_sees(source: str) -> None:
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "Static(Content(safe_text(x)))",
        "Static('READY')",
        "Static(f'{x}', markup=False)",
        "self.border_title = 'Norms'",
    ],
)
def test_the_rule_lets_be(source: str) -> None:
    assert not offences(source)
