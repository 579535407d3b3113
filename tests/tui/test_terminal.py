"""SafeApp's filter, toasts, exit messages and clipboard; tests/pty shows the bytes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.color import Color
from textual.widgets import DataTable, Static

from tensorshark.traces.text import safe_text
from tensorshark.tui.terminal import MAX_CLIPBOARD, SafeApp, Sanitise, printable

BLACK = Color(0, 0, 0)


@given(st.text(st.characters()))
def test_printable_leaves_nothing_to_obey_and_keeps_the_width(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert cell_len(shown) == sum(map(cell_len, text)) or cell_len(shown) == cell_len(text)


@given(st.text(st.characters()))
def test_safe_text_passes_unchanged(text: str) -> None:
    assert printable(safe_text(text)) == safe_text(text)


def test_links_and_actions_are_taken_off_and_the_rest_stays() -> None:
    style = Style(color="red", bold=True, link="http://x\x1b]0;t\x07", meta={"@click": "quit", "row": 3})
    (found,) = Sanitise().apply([Segment("\x1b[2Jx", style)], BLACK)
    assert found.text == "[2Jx"
    assert found.style is not None
    assert found.style.link is None
    assert found.style.meta == {"row": 3}
    assert found.style.bold
    assert found.style.color == style.color


def test_harmless_lines_are_not_copied() -> None:
    line = [Segment("plain · ▁▂█ 漢", Style(meta={"row": 1})), Segment("", None)]
    assert Sanitise().apply(line, BLACK) is line


class Small(SafeApp):
    """Two widgets with markup in them, as a careless author would write it."""

    quits = 0

    def compose(self) -> ComposeResult:
        """One of each kind of markup."""
        yield Static("[@click=app.count]S[/]", id="static")
        yield DataTable()

    def on_mount(self) -> None:
        """Fill the table."""
        table = self.query_one(DataTable)
        table.add_column("c")
        table.add_row("[@click=app.count]C[/]")

    def action_count(self) -> None:
        """What must never run."""
        self.quits += 1


async def test_a_click_runs_no_action_out_of_text() -> None:
    app = Small()
    async with app.run_test() as pilot:
        await pilot.click("#static", offset=(0, 0))
        await pilot.click(DataTable, offset=(1, 1))
        await pilot.pause()
    assert app.quits == 0


async def test_toasts_show_markup_as_text() -> None:
    app = Small()
    async with app.run_test(notifications=True) as pilot:
        app.notify("[INST] [@click=app.count]x[/]", title="[b]t", markup=True)
        await pilot.pause()
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
    assert "[INST] [@click=app.count]x[/]" in shown
    assert "[b]t" in shown


async def test_an_exit_message_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    app = Small()
    async with app.run_test():
        app.exit(message="[b]a\x1b]0;t\x07\nb")
    assert "[b]a]0;t\nb" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x" * (MAX_CLIPBOARD + 1), "漢" * (MAX_CLIPBOARD // 2)])
async def test_too_much_for_the_clipboard_is_refused_aloud(text: str) -> None:
    app = Small()
    async with app.run_test() as pilot:
        app.copy_to_clipboard(text)
        await pilot.pause()
        assert app.clipboard == ""
        assert any("not copied" in note.message for note in app._notifications)


async def test_the_clipboard_gets_no_control_characters() -> None:
    app = Small()
    async with app.run_test():
        app.copy_to_clipboard("a\x1b[2J\nb\ud800")
        assert app.clipboard == "a[2J\nb�"


async def test_the_first_of_several_failures_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Small()
    with pytest.raises(KeyError, match="first"):
        async with app.run_test():
            app._handle_exception(KeyError("first"))
            app._handle_exception(ValueError("second"))
            assert "KeyError" in app._farewell
            assert app.return_code == 70
            monkeypatch.setattr(app, "_farewell", "")
