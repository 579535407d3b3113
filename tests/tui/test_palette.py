"""Colours: legible on their grounds, and never the only thing that tells two things apart."""

from __future__ import annotations

import pytest
from textual.color import Color

from tensorshark.tui.palette import ANSI, DARK, HEAT_LEVELS, LIGHT, PALETTES, Palette, palette_of

WORDS = ("text", "dim", "accent", "amber", "good", "bad", "blue", "violet")


def _ratio(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colours."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    channels = (value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
                for value in Color.parse(color).normalized)  # fmt: skip
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=lambda palette: palette.name)
@pytest.mark.parametrize("name", WORDS)
def test_words_are_legible(palette: Palette, name: str) -> None:
    """At least 4.5:1 on the ground and on the bands (WCAG AA)."""
    for ground in (palette.background, palette.band):
        assert _ratio(getattr(palette, name), ground) >= 4.5, (name, ground)


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=lambda palette: palette.name)
def test_text_is_legible_on_every_ground(palette: Palette) -> None:
    """On the chosen row, the resting row and all sixteen levels of heat; the tab's own pair too."""
    grounds = [palette.select, palette.rest, *(style.bgcolor.name for style in palette.heat if style.bgcolor)]
    assert len(palette.heat) == HEAT_LEVELS
    for ground in grounds:
        assert _ratio(palette.text, ground) >= 4.5, ground
    assert _ratio(palette.on_accent, palette.accent) >= 4.5


def test_without_colour_attributes_tell() -> None:
    """The ansi palette has no grounds: what is chosen is reversed, what is loud is bold."""
    assert ANSI.selected.reverse and ANSI.resting.bold and ANSI.style("dim").dim
    assert ANSI.heat[0].dim and ANSI.heat[-1].reverse
    assert all(style.bgcolor is None for style in ANSI.heat)


def test_labels_keep_their_colour() -> None:
    """The demo's categories have one each; any other text has a steady one."""
    names = ("injection", "credential", "refusal", "fact", "code", "prose")
    assert len({str(DARK.label(name)) for name in names}) == len(names)
    assert DARK.label("anything") == DARK.label("anything")


def test_every_theme_has_a_palette() -> None:
    """A foreign theme draws with the dark one."""
    assert palette_of("light") is LIGHT and palette_of("textual-dark") is DARK
    assert {palette.theme().name for palette in PALETTES.values()} == set(PALETTES)
