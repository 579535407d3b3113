"""The workbench on real captures: what stands on the screen, and what keys do."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.geometry import Region
from textual.pilot import Pilot

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic
from tensorshark.tui.app import Workbench, choose_theme
from tensorshark.tui.picture import settled

CATEGORIES = ("credential", "injection", "fact", "code")
SIZES = [(80, 24), (120, 40), (160, 50)]
HOSTILE = "\x1b]52;c;aGk=\x07 \x9b2J [INST] [@click=app.quit]x[/] \u202e \x00 end"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve traces in four categories, six layers, two heads."""
    path = tmp_path_factory.mktemp("app") / "twelve.tshark"
    labels = [{"category": CATEGORIES[n % 4]} for n in range(12)]
    write_synthetic(path, traces=12, layers=6, heads=2, labels=labels, patterns=True)
    return path


@asynccontextmanager
async def opened(path: Path, size: tuple[int, int] = (120, 40), theme: str = "dark") -> AsyncIterator[
    tuple[Workbench, Pilot[None]]
]:  # fmt: skip
    """The workbench on a capture, ready for keys."""
    app = Workbench(path, theme)
    async with app.run_test(size=size) as pilot:
        await settled(app)
        await pilot.pause()
        yield app, pilot


async def until(app: Workbench, holds: Callable[[], bool]) -> None:
    """Wait for something that a thread brings about."""
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in 8 s:\n" + screen(app))


async def press(app: Workbench, pilot: Pilot[None], *keys: str) -> None:
    """Press keys and wait for what they set off."""
    await pilot.press(*keys)
    await settled(app)
    await pilot.pause()


def screen(app: Workbench) -> str:
    """The screen as text, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    assert len(strips) == height
    return "\n".join(strip.text[:width].rstrip() for strip in strips)


def line(app: Workbench, number: int) -> str:
    """One line of the screen; negative from below."""
    return screen(app).split("\n")[number]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
async def test_the_first_screen(capture: Path, size: tuple[int, int], theme: str) -> None:
    """Every part is there at every size, nothing is wider than the screen, no word of the frame is cut."""
    async with opened(capture, size, theme) as (app, _):
        text = screen(app)
        lines = text.split("\n")
        assert lines[0].split()[:2] == ["tensorshark", "twelve.tshark"]
        assert "synthetic · 6 layers · d 16" in lines[0]
        assert lines[1].split()[0] == "Filter" and lines[1].endswith("empty")
        assert lines[3].split()[0] == "No↑" and "prompt" in lines[3]
        assert lines[4].startswith("▸   1") and "credential" in lines[4]
        assert lines[-2].startswith(" traces 12 · displayed 12") and "layer 3 · token" in lines[-2]
        assert lines[-1].startswith(" / filter") and "? help" in lines[-1] and lines[-1].endswith("q quit")
        tabs = next(one for one in lines if "Entropy" in one)
        assert [name for name in tabs.split() if name != "Details"] == [
            "Norms",
            "Entropy",
            "Lens",
            "Diff",
            "Values",
        ]
        assert ("layer 3" in text) == True  # noqa: E712


async def test_narrow_has_details_as_a_tab(capture: Path) -> None:
    """At 80 columns the tree takes the place of a pane; at 120 both stand side by side."""
    async with opened(capture, (80, 24)) as (app, pilot):
        assert not app.details.region.area
        await press(app, pilot, "0")
        assert app.details.region.width == 80 and "hash ok" in screen(app)
        await press(app, pilot, "1")
        assert not app.details.region.area and app.panes["Norms"].region.width == 80
    async with opened(capture, (120, 40)) as (app, _):
        assert app.details.region.width == 40 and app.panes["Norms"].region.area


async def test_moving_in_the_list_moves_everything(capture: Path) -> None:
    """Row, details, pane and status line are about the same trace; the last token stays the last."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "j", "down", "j", "k")
        row = app.rows.row(3)
        assert row is not None and app.cursor.trace == row.id
        assert app.subject is not None and app.subject.trace is not None
        assert app.subject.trace.id == row.id and app.cursor.token == row.seq_len - 1
        assert "▾ trace 3" in screen(app)
        assert app.panes["Norms"].subject is app.subject
        assert f"token {row.seq_len - 1} “" in line(app, -2)
        await press(app, pilot, "G")
        assert app.rows.number == 12
        await press(app, pilot, "g")
        assert app.rows.number == 1


async def test_one_cursor_for_all(capture: Path) -> None:
    """Layer, token, site and head by key, from a pane and from the tree; it stops at the ends."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "right_square_bracket", "h", "s", "H")
        last = len(app.panes["Norms"].trace.token_ids) - 1
        assert (app.cursor.layer, app.cursor.token) == (4, last - 1)
        assert (app.cursor.site, app.cursor.head) == ("resid_pre", 1)
        assert app.panes["Norms"].cursor == app.details.cursor == app.cursor
        assert f"layer 4 · token {last - 1}" in line(app, -2) and "resid_pre · head 1" in line(app, -2)
        await press(app, pilot, *["left_square_bracket"] * 9)
        assert app.cursor.layer == 0
        app.panes["Norms"].move(layer=2, token=0)
        await pilot.pause()
        assert (app.cursor.layer, app.cursor.token) == (2, 0)
        assert "▾ layer 2" in screen(app)
        app.details.focus()
        await pilot.press("down")
        await pilot.pause()
        assert app.cursor.site == "attn_out"


async def test_a_filter_from_typing_to_clearing(capture: Path) -> None:
    """While typing the state, the words and the way on are shown; Enter applies; X clears."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "slash", *"label.")
        await until(app, lambda: bool(app.completions.items))
        assert "label.category" in screen(app)
        await pilot.press("tab")
        assert app.filter.value == "label.category"
        await pilot.press(*' == "inj')
        await until(app, lambda: app.filter_state.state == "incomplete")
        assert line(app, 1).endswith("incomplete")
        assert "^" in line(app, 2) and line(app, 2).index("^") == line(app, 1).index('"inj')
        await pilot.press(*'ection"')
        await until(app, lambda: app.filter_state.state == "ok")
        assert "injection" in line(app, 2) and line(app, 1).endswith("ok · ⏎ applies")
        assert app.state.shown == 12, "typing filters nothing"
        await press(app, pilot, "enter")
        assert app.rows.has_focus and line(app, 1).endswith("ok · 3 of 12")
        assert all("injection" in row for row in app.rows.to_text())
        assert "displayed 3 (25 %)" in line(app, -2)
        await press(app, pilot, "X")
        assert app.state.shown == 12 and app.filter.value == ""
        await press(app, pilot, "slash", "up")
        assert app.filter.value == 'label.category == "injection"', "the history remembers it"


async def test_a_long_filter_is_read_from_its_beginning(capture: Path) -> None:
    """While typing its end is seen, afterwards its beginning; going back goes to the end."""
    text = 'label.category in {"injection", "credential", "fact"} and resid_post.norm#2[-1] > 0'
    async with opened(capture, (80, 24)) as (app, pilot):
        await press(app, pilot, "slash", *text)
        assert "> 0" in line(app, 1)
        await press(app, pilot, "escape", "escape")
        assert line(app, 1).startswith(" Filter label.category")
        await press(app, pilot, "slash", "space")
        assert app.filter.value == f"{text} "


async def test_the_selected_trace_in_a_filter(capture: Path) -> None:
    async with opened(capture) as (app, pilot):
        await pilot.press("j", "j")
        number = app.rows.number
        assert number > 1
        await press(app, pilot, "slash", *"number == $number")
        await until(app, lambda: app.filter_state.state == "ok")
        assert "no trace is selected" not in screen(app)
        await pilot.press("enter")
        await until(app, lambda: app.rows.numbers.tolist() == [number])


async def test_a_bad_filter_changes_nothing(capture: Path) -> None:
    """A caret under the trouble, a reason beside it; Enter says that the list is unchanged."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "slash", *"seq_lem > 3")
        await until(app, lambda: app.filter_state.state == "bad")
        assert line(app, 1).endswith("bad")
        words = line(app, 2)
        assert words.index("^") == line(app, 1).index("seq_lem") and "seq_len" in words
        await pilot.press("escape")
        await pilot.press("enter")
        assert app.state.shown == 12
        await pilot.press("slash", "enter")
        await pilot.pause()
        assert "unchanged" in line(app, -2)
        assert app.filter.has_focus


async def test_nothing_passes(capture: Path) -> None:
    """An empty list says why and how to get out."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "slash", *"seq_len > 4000", "enter")
        assert "none of 12 traces passes" in app.rows.to_text()[1]
        assert "No trace selected." in screen(app) and "layer" not in line(app, -2)
        await press(app, pilot, "X")
        assert app.rows.number == 1 and "▾ trace 1" in screen(app)


async def test_ordering_by_key_and_by_heading(capture: Path) -> None:
    """`o` goes through the columns, `O` turns the order, a heading is clicked; the arrow shows which."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "o", "o")
        assert "tok↑" in line(app, 3) and "by tok ↑" in line(app, -2)
        lengths = [app.rows.row(int(number)).seq_len for number in app.rows.numbers]  # type: ignore[union-attr]
        assert lengths == sorted(lengths)
        await press(app, pilot, "O")
        lengths = [app.rows.row(int(number)).seq_len for number in app.rows.numbers]  # type: ignore[union-attr]
        assert lengths == sorted(lengths, reverse=True)
        await pilot.click(app.header, offset=(2, 0))
        await settled(app)
        await pilot.pause()
        assert "No↑" in line(app, 3) and list(app.rows.numbers) == list(range(1, 13))


async def test_every_column_can_be_ordered_by(capture: Path) -> None:
    """The field expressions behind the columns are ones that the filter language knows."""
    async with opened(capture, (160, 50)) as (app, pilot):
        for _ in app.rows.columns():
            await press(app, pilot, "o")
            assert app.state.shown == 12 and not app.state.say, app.state.say


async def test_marks_and_the_diff_partner(capture: Path) -> None:
    """m and d leave signs in the list and words in the status line; the panes get both traces."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "m", "j", "j", "m", "d")
        assert "marked 2" not in line(app, -2), "the answer to d comes first"
        await press(app, pilot, "j")
        assert "marked 2" in line(app, -2)
        assert "●  " in line(app, 4) and "●≠" in line(app, 6)
        assert app.subject is not None and app.subject.other is not None
        partner = app.rows.row(3)
        assert partner is not None and app.subject.other.id == partner.id
        await press(app, pilot, "n")
        assert app.rows.number == 1, "round to the first"
        await press(app, pilot, "n", "d")
        assert app.partner == "" and app.subject.other is None


async def test_commands(capture: Path) -> None:
    """The line after a colon: it moves, filters, sorts, and says what it did not understand."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "colon", *"goto 7", "enter")
        assert app.rows.number == 7 and app.rows.has_focus
        identifier = app.cursor.trace
        await press(app, pilot, "g", "colon", *f"goto {identifier}", "enter")
        assert app.rows.number == 7
        await press(app, pilot, "colon", *"sort tok desc", "enter")
        assert "tok↓" in line(app, 3)
        await press(app, pilot, "colon", *"sort resid_post.norm#0[-1]", "enter")
        assert "by resid_post.norm#0[-1] ↑" in line(app, -2)
        await press(app, pilot, "colon", *'filter label.category == "code"', "enter")
        assert app.state.shown == 3
        await press(app, pilot, "colon", *"token 0", "enter")
        assert app.cursor.token == 0
        await press(app, pilot, "colon", *"pane values", "enter")
        assert app.pane_name == "Values"
        await press(app, pilot, "colon", *"goto 1", "enter")
        assert "does not pass the filter" in line(app, -2)
        await press(app, pilot, "colon", *"lay", "tab")
        assert app.command_bar.line.value == "layer "
        await press(app, pilot, *"x", "enter")
        assert "needs a whole number" in line(app, -2)
        await press(app, pilot, "j")
        assert "whole number" not in line(app, -2), "an answer stays until the next key"


async def test_panes_come_by_number_and_in_turn(capture: Path) -> None:
    """Each pane is there, shows the same trace, and says or draws something."""
    async with opened(capture) as (app, pilot):
        for key, name in zip("12345", ("Norms", "Entropy", "Lens", "Diff", "Values"), strict=True):
            await press(app, pilot, key)
            pane = app.panes[name]
            assert app.pane_name == name and pane.region.area and pane.subject is app.subject
            assert pane.to_text().strip()
        await press(app, pilot, "p")
        assert app.pane_name == "Norms"
        await press(app, pilot, "tab", "tab")
        assert app.panes["Norms"].has_focus


async def test_help_and_palette(capture: Path) -> None:
    """Both come from the table of actions, and go with escape."""
    async with opened(capture) as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        text = screen(app)
        assert "type a display filter" in text and "the layer above" in text
        await pilot.press("escape", "ctrl+p")
        await pilot.pause()
        await until(app, lambda: "Clear the filter" in screen(app))
        await pilot.press("escape")
        await pilot.pause()
        assert "Clear the filter" not in screen(app)


async def test_zoom(capture: Path) -> None:
    """Panes alone, the list alone, both."""
    async with opened(capture) as (app, pilot):
        await press(app, pilot, "backslash")
        assert not app.rows.region.area and app.panes["Norms"].region.height > 30
        await press(app, pilot, "backslash")
        assert app.rows.region.height > 30 and not app.panes["Norms"].region.area
        await press(app, pilot, "backslash")
        assert app.rows.region.area and app.panes["Norms"].region.area


async def test_too_small_says_so(capture: Path) -> None:
    """Below 60x16 only the size needed; back when there is room."""
    async with opened(capture, (59, 20)) as (app, pilot):
        assert screen(app).strip() == "59x20; tensorshark needs 60x16"
        await pilot.resize_terminal(60, 16)
        await pilot.pause()
        assert "traces 12" in screen(app) and "▸   1" in screen(app)


async def test_a_capture_that_grows(tmp_path: Path) -> None:
    """No traces yet; then some, live; then more, and with `f` the cursor stays on the newest."""
    capture = write_synthetic(tmp_path / "live.tshark", traces=0)
    async with opened(capture.path) as (app, pilot):
        assert "no traces yet" in screen(app) and "traces 0" in line(app, -2)
        append_synthetic(capture, traces=2)
        await until(app, lambda: app.state.shown == 2 and app.subject is not None)
        await pilot.pause()
        assert "● live" in line(app, 0) and "▸   1" in screen(app)
        await press(app, pilot, "f")
        assert line(app, 0).endswith("tail") and app.rows.number == 2
        append_synthetic(capture, traces=3, seed=2)
        await until(app, lambda: app.rows.number == 5)
        await press(app, pilot, "f", "slash", *"seq_len > 4000", "enter")
        append_synthetic(capture, traces=1, seed=3)
        await until(app, lambda: app.state.total == 6)
        assert app.state.shown == 0, "new traces pass through the filter"


async def test_damage_is_said_and_never_shown(capture: Path, tmp_path: Path) -> None:
    """One byte of a trace's statistics: its id and what is wrong, in panes and tree; others are fine."""
    path = tmp_path / "hurt.tshark"
    shutil.copytree(capture, path, ignore=shutil.ignore_patterns(".index"))
    victim = Capture.open(path).ids()[1]
    async with opened(path) as (app, pilot):
        file = path / "traces" / victim[:2] / victim / "stats.safetensors"
        data = bytearray(file.read_bytes())
        data[-3] ^= 0x40
        file.write_bytes(data)
        await press(app, pilot, "j")
        assert app.subject is not None and victim in app.subject.problem
        text = screen(app)
        assert "damaged" in text and not re.search(r"‖[\d.]+‖", text)
        assert victim in app.panes["Norms"].missing()
        await press(app, pilot, "j")
        assert app.subject.problem == "" and "hash ok" in screen(app)


async def test_a_capture_that_is_removed(capture: Path, tmp_path: Path) -> None:
    """The title says it; the list stays; nothing crashes."""
    path = tmp_path / "gone.tshark"
    shutil.copytree(capture, path)
    async with opened(path) as (app, pilot):
        shutil.rmtree(path)
        await until(app, lambda: bool(app.state.problem))
        await pilot.pause()
        assert "✗" in line(app, 0)
        await press(app, pilot, "j", "j")
        assert app.subject is not None and app.subject.trace is None and app.subject.problem


async def test_not_a_capture(tmp_path: Path) -> None:
    """The reason stands where the list would."""
    async with opened(tmp_path / "none.tshark") as (app, _):
        assert "none.tshark" in app.rows.to_text()[1] and "✗ not open" in line(app, 0)


async def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Prompts, labels and names full of escapes: visible, inert, on every part of the screen."""
    path = tmp_path / "bad\x1b]0;x\x07.tshark"
    write_synthetic(path, traces=3, prompts=[HOSTILE] * 3, labels=[{"category": HOSTILE, HOSTILE: "x"}] * 3)
    async with opened(path, (160, 50)) as (app, pilot):
        await press(app, pilot, "j", "slash", *"label.", "escape", "escape", "2", "5", "d", "4", "3")
        text = screen(app)
        assert r"\x1b]52;c;aGk=\x07" in text and "[INST]" in text and "[@click=app.quit]" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        await pilot.click(offset=(100, 5))
        assert app.is_running


async def test_an_idle_screen_is_still(capture: Path) -> None:
    """With nothing going on, nothing is repainted: no clock, no blinking, no poll that shows."""
    async with opened(capture) as (app, pilot):
        await asyncio.sleep(0.6)
        painted: list[object] = []
        show = app._display
        app._display = lambda screen, renderable: (painted.append(renderable), show(screen, renderable))[1]  # type: ignore[method-assign]
        await asyncio.sleep(1.5)
        assert painted == []
        await pilot.press("j")
        await until(app, lambda: bool(painted))


async def test_a_move_repaints_two_lines(capture: Path) -> None:
    """The key is answered with two rows of the list; the trace's own parts follow when it was read."""
    async with opened(capture, (80, 24)) as (app, pilot):
        regions: list[Region] = []
        refresh = app.rows.refresh
        app.rows.refresh = lambda *given, **more: (regions.extend(given), refresh(*given, **more))[1]  # type: ignore[method-assign,assignment]
        await pilot.press("j")
        assert [region.height for region in regions] == [1, 1]


async def test_the_mouse_is_enough(capture: Path) -> None:
    """Rows, tabs and the footer answer to clicks."""
    async with opened(capture) as (app, pilot):
        await pilot.click(app.rows, offset=(30, 4))
        await settled(app)
        assert app.rows.number == 5
        x = line(app, app.tabs.region.y).index("Values")
        await pilot.click(offset=(x + 2, app.tabs.region.y))
        await pilot.pause()
        assert app.pane_name == "Values"
        await pilot.click(offset=(line(app, -1).index("mark"), 39))
        await pilot.pause()
        assert app.rows.marks == {5}


def test_the_first_screen_waits_for_no_import() -> None:
    """What is imported before the first paint: the screen, and nothing that reads or computes."""
    code = "import sys, tensorshark.tui.app; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "msgspec", "sqlite3", "lark", "re2", "plotext", "torch", "tensorshark.forensics.engine"}
    assert not heavy & set(run.stdout.split())


def test_the_theme_goes_by_the_environment() -> None:
    """What terminals say about themselves, and what a person asks for."""
    assert choose_theme({"TERM": "xterm-256color"}) == "dark"
    assert choose_theme({"TERM": "xterm-256color", "COLORFGBG": "0;15"}) == "light"
    assert choose_theme({"TERM": "xterm-256color", "NO_COLOR": "1"}) == "ansi"
    assert choose_theme({"TERM": "linux"}) == "ansi"
    assert choose_theme({"TERM": "xterm", "COLORTERM": "truecolor"}) == "dark"
    assert choose_theme({"TERM": "linux", "TENSORSHARK_THEME": "light"}) == "light"
