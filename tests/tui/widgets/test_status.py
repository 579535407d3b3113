"""Title, tabs, status and footer: they say less where there is less room, and never half a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult

from tensorshark.tui.actions import ACTIONS
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.palette import PALETTES
from tensorshark.tui.widgets.line import Line
from tensorshark.tui.widgets.status import Footer, ScreenState, StatusLine, Tabs, TitleLine

STATE = ScreenState(
    name="demo.tshark",
    models=("SmolLM2-135M-Instruct · 30 layers · d 576",),
    total=1_234,
    shown=37,
    marked=2,
    order="tok ↓",
    live=True,
    rate=3.0,
    catching_up=False,
    cursor=Cursor("id", layer=12, head=3, token=9),
    token=" and",
    heads=9,
)


class Harness(App[None]):
    """One line on an otherwise empty screen."""

    def __init__(self, make: Callable[[], Line]) -> None:
        super().__init__()
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = "dark"
        self.line = make()

    def compose(self) -> ComposeResult:
        """The line."""
        yield self.line


async def shown(make: Callable[[], Line], width: int) -> str:
    """The line at a width."""
    app = Harness(make)
    async with app.run_test(size=(width, 3)):
        text = app.line.to_text()
    assert len(text) <= width
    return text.strip()


async def test_the_status_line_gives_way_in_order() -> None:
    """First the head, then the token's text, the share, the order, the marks; counts and place stay."""
    assert await shown(lambda: StatusLine(STATE), 140) == (
        "traces 1,234 · displayed 37 (3 %) · marked 2 · by tok ↓".ljust(140 - 2 - 52)
        + "layer 12 · token 9 “·and” · resid_post · head 3".rjust(52)
    )
    assert (await shown(lambda: StatusLine(STATE), 80)).split("  ")[0] == (
        "traces 1,234 · displayed 37 · marked 2"
    )
    narrow = await shown(lambda: StatusLine(STATE), 62)
    assert narrow.startswith("traces 1,234 · displayed 37 ") and narrow.endswith("token 9 · resid_post")


async def test_an_answer_takes_the_left_side() -> None:
    """What was said to the last key is there, and where the cursor is stays."""
    state = ScreenState(total=3, say="nothing to compare with", cursor=STATE.cursor)
    text = await shown(lambda: StatusLine(state), 80)
    assert text.startswith("nothing to compare with ") and text.endswith("resid_post")


async def test_the_title() -> None:
    """Capture, model and liveness; a problem in words and with a sign."""
    wide = await shown(lambda: TitleLine(STATE), 120)
    assert wide.startswith("tensorshark demo.tshark  SmolLM2-135M-Instruct · 30 layers · d 576")
    assert wide.endswith("● live  +3/s")
    narrow = await shown(lambda: TitleLine(STATE), 60)
    assert narrow.split("   ")[0] == "tensorshark demo.tshark  SmolLM2-135M-Instruct" and narrow.endswith(
        "● live"
    )
    gone = ScreenState(name="a", problem="the capture is no longer there")
    assert (await shown(lambda: TitleLine(gone), 80)).endswith("✗ the capture is no longer there")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
async def test_the_footer_has_whole_entries(width: int) -> None:
    """Only whole entries; filter, mark, layer, token and help are always there."""
    text = await shown(Footer, width)
    words = {action.footer for action in ACTIONS if action.footer}
    entries = [entry.split()[-1] for entry in text.split("  ") if entry.strip()]
    assert set(entries) <= words and {"filter", "mark", "layer", "token", "help"} <= set(entries)


async def test_tabs_fit_at_sixty_columns() -> None:
    """All names, the chosen one too, whatever the width."""
    for width in (60, 80, 120):
        assert (await shown(Tabs, width)).split() == ["Norms", "Entropy", "Lens", "Diff", "Values"]
