"""The picture command: the real workbench, headless, as a file."""

from __future__ import annotations

import html
import re
from pathlib import Path

from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.picture import main


def test_a_picture_after_keys(tmp_path: Path) -> None:
    """Size, theme and keys take effect; what stands in the SVG is what stood on the screen."""
    write_synthetic(tmp_path / "a.tshark", traces=3)
    out = tmp_path / "a.svg"
    keys = "j slash 'text:seq_len > 0' enter"
    assert main([str(tmp_path / "a.tshark"), "-o", str(out), "--size", "100x30", "--theme", "light",
                 "--keys", keys]) == 0  # fmt: skip
    svg = out.read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", " ", svg)).replace("\xa0", " ")
    assert svg.startswith("<svg") and "a.tshark" in text
    assert "seq_len" in text and "3 of 3" in text and "▸" in text


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    """A size that is none ends in one line and exit code 2."""
    assert main([str(tmp_path), "-o", str(tmp_path / "x.svg"), "--size", "wide"]) == 2
