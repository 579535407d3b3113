"""The real workbench as an SVG picture, without a terminal.

    python -m tensorshark.tui.picture CAPTURE -o out.svg --size 160x46 --theme dark --keys "j j 3 ]"

Keys are Textual's names, separated by spaces; `'text:seq_len > 5'` types a text. The picture is taken when
the capture was read and nothing on the screen changes any more.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tensorshark.traces.errors import TensorsharkError, UsageError
from tensorshark.tui.app import Workbench
from tensorshark.tui.palette import PALETTES

WAIT = 20.0
"""Seconds for the capture to be opened and for each key to be answered; longer than any should take."""
STILL = 1.0
"""Seconds without a change after which a screen counts as finished."""


async def take(path: Path, size: tuple[int, int], theme: str, keys: Sequence[str]) -> str:
    """Open the workbench on a capture, press keys, wait until it is still, and return the screen as SVG."""
    app = Workbench(path, theme)
    async with app.run_test(size=size) as pilot:
        await settled(app)
        for key in keys:
            typed = key.removeprefix("text:")
            await pilot.press(*(typed if key.startswith("text:") else [key]))
            await settled(app)
        return await still(app)


async def settled(app: Workbench) -> None:
    """Wait until the workbench has nothing under way: the list is filled and the trace was read."""
    for _ in range(int(WAIT / 0.05)):
        await asyncio.sleep(0.05)
        if app.settled or app.return_code:
            return
    raise TensorsharkError(f"the workbench did not settle in {WAIT:.0f} s")


async def still(app: Workbench) -> str:
    """The screen as SVG, once it has not changed for STILL seconds: panes that compute have finished."""
    before = ""
    for _ in range(int(WAIT / STILL)):
        await asyncio.sleep(STILL)
        after = app.export_screenshot(title=f"tensorshark {app.state.name}")
        if after == before:
            break
        before = after
    return before


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tensorshark.tui.picture", description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="where the SVG goes")
    parser.add_argument("--size", default="120x40", help="columns and rows, e.g. 160x46")
    parser.add_argument("--theme", choices=list(PALETTES), default="dark")
    parser.add_argument("--keys", default="", help="keys to press, e.g. 'j j 3 ]'")
    given = parser.parse_args(argv)
    try:
        svg = asyncio.run(take(given.capture, _size(given.size), given.theme, shlex.split(given.keys)))
    except TensorsharkError as error:
        print(f"tensorshark: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    given.output.write_text(svg, encoding="utf-8")
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size {text!r} is not COLUMNSxROWS, e.g. 160x46")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
