"""One line of words: what must go goes in order, and nothing is half a word unless it has to be."""

from __future__ import annotations

from rich.style import Style

from tensorshark.tui.widgets.line import Part, clip, fit, spread, width_of

PLAIN = Style()


def row(left: list[tuple[str, int]], right: list[tuple[str, int]], width: int) -> str:
    """The text that `spread` makes of parts given as (text, rank)."""
    parts = [[Part(text, PLAIN, rank) for text, rank in side] for side in (left, right)]
    segments = spread(*parts, width)
    return "".join(segment.text for segment in segments)


def test_both_sides_stand_at_their_edges() -> None:
    """The line is exactly as wide as asked."""
    assert row([("traces 16", 0)], [("layer 3", 0)], 24) == "traces 16        layer 3"


def test_the_highest_rank_goes_first() -> None:
    """Narrower and narrower: first (50 %), then the token, never the counts."""
    left = [("traces 16", 0), (" (50 %)", 2)]
    right = [("layer 3", 0), (" · token 4", 1)]
    assert row(left, right, 40) == "traces 16 (50 %)       layer 3 · token 4"
    assert row(left, right, 33) == "traces 16       layer 3 · token 4"
    assert row(left, right, 20) == "traces 16    layer 3"


def test_what_must_stay_is_clipped_on_the_left() -> None:
    """Nothing is left to drop: the left side is cut, with a sign."""
    assert row([("a long message of many words", 0)], [("layer 3", 0)], 20) == "a long mes…  layer 3"


def test_cells_not_characters() -> None:
    """A wide character takes two cells, also where it is cut."""
    assert width_of("日本") == 4
    assert clip("日本語", 5) == "日本…"
    assert clip("日本語", 4) == "日…"
    assert fit("日本", 6) == "日本  "
    assert fit("7", 3, right=True) == "  7"
    assert clip("abc", 0) == ""
