"""Colours, by what they mean. One palette per theme; every widget and pane draws with these styles.

Nothing is told by colour alone: a style here always comes with a word, a number or a glyph. The `ansi`
palette uses the terminal's own sixteen colours and text attributes, and still reads with all colour
removed (NO_COLOR), so what is selected is reversed there and what matters is bold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

from rich.color import Color, blend_rgb
from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

HEAT_LEVELS = 16


@dataclass(frozen=True)
class Palette:
    """Named colours of one theme."""

    name: str
    """The theme's name, as in `--theme`."""
    dark: bool
    """Whether light text stands on dark."""
    ansi: bool
    """True for the terminal's own colours; then empty colours mean the terminal's default."""
    background: str
    """Below everything."""
    band: str
    """Bars: title, status, the headings of list and panes."""
    text: str
    """What is read."""
    dim: str
    """Secondary words: units, headings, explanations; still readable."""
    faint: str
    """Rules and decoration; never words that matter."""
    accent: str
    """Where you are, and what you can press."""
    on_accent: str
    """Text on a ground of `accent`."""
    select: str
    """Ground of the row the cursor is on."""
    rest: str
    """The same, quieter, where the keys go elsewhere."""
    amber: str
    """What you touched: marks, the cell under the cursor; also slow."""
    good: str
    """Whole, applied, live."""
    bad: str
    """Damaged, refused."""
    blue: str
    """Norms."""
    violet: str
    """Divergences."""
    heat_low: str
    """Ground of the lowest heat level."""
    heat_high: str
    """Ground of the highest heat level."""

    def style(
        self, color: str = "text", background: str = "", *, bold: bool = False, reverse: bool = False
    ) -> Style:
        """A style from two colour names of this palette, e.g. `style("dim", "band")`."""
        return _style(self.name, color, background, bold, reverse)

    @cached_property
    def selected(self) -> Style:
        """Laid over the row the cursor is on."""
        return Style(reverse=True) if self.ansi else Style(bgcolor=self.select)

    @cached_property
    def resting(self) -> Style:
        """Laid over the row the cursor is on where the keys go elsewhere."""
        return Style(bold=True) if self.ansi else Style(bgcolor=self.rest)

    @cached_property
    def heat(self) -> tuple[Style, ...]:
        """Sixteen cell styles, low to high; text on them is legible. In `ansi` only weight differs."""
        if self.ansi:
            quiet, loud = Style(dim=True), Style(bold=True)
            return (*[quiet] * 4, *[Style()] * 4, *[loud] * 4, *[Style(bold=True, reverse=True)] * 4)
        low, high = Color.parse(self.heat_low).triplet, Color.parse(self.heat_high).triplet
        assert low is not None and high is not None  # hex colours have triplets
        steps = (blend_rgb(low, high, level / (HEAT_LEVELS - 1)) for level in range(HEAT_LEVELS))
        return tuple(Style(color=self.text, bgcolor=step.hex) for step in steps)

    def label(self, text: str) -> Style:
        """A steady colour for a label's value: the demo's categories have their own, others take turns."""
        known = _LABELS.get(text)
        if known is None:
            turn = ("blue", "violet", "good", "amber", "dim")
            known = turn[sum(text.encode("utf-8", "replace")) % len(turn)]
        return self.style(known, bold=known == "bad")

    def theme(self) -> Theme:
        """The same colours for Textual's own widgets and the style sheet."""
        colors = {
            field.name: self._css(getattr(self, field.name))
            for field in fields(self)
            if field.type == "str" and field.name != "name"
        }
        variables = {f"shark-{name.replace('_', '-')}": color for name, color in colors.items()}
        if self.ansi:  # Textual's own widgets ask an ANSI theme for more
            variables = BUILTIN_THEMES["ansi-dark"].variables | variables
        return Theme(
            name=self.name,
            primary=colors["accent"],
            secondary=colors["blue"],
            accent=colors["accent"],
            warning=colors["amber"],
            error=colors["bad"],
            success=colors["good"],
            foreground=colors["text"],
            background=colors["background"],
            surface=colors["background"],
            panel=colors["band"],
            boost=colors["band"],
            dark=self.dark,
            ansi=self.ansi,
            variables=variables,
        )

    def _css(self, color: str) -> str:
        """A colour as style sheets write it."""
        return f"ansi_{color or 'default'}" if self.ansi else color


@lru_cache(512)
def _style(name: str, color: str, background: str, bold: bool, reverse: bool) -> Style:
    palette = PALETTES[name]
    dim = palette.ansi and color in ("dim", "faint")
    return Style(
        color=None if dim else getattr(palette, color) or None,
        bgcolor=(getattr(palette, background) or None) if background else None,
        bold=bold or None,
        dim=dim or None,
        reverse=reverse or None,
    )


_LABELS = {
    "injection": "bad",
    "credential": "amber",
    "refusal": "good",
    "fact": "blue",
    "code": "violet",
    "prose": "dim",
}
"""Colour names of the demo corpus' categories."""

DARK = Palette(
    name="dark",
    dark=True,
    ansi=False,
    background="#10141b",
    band="#161b23",
    text="#d5dae1",
    dim="#868e99",
    faint="#4a525d",
    accent="#3cc2b4",
    on_accent="#08211f",
    select="#2a5a5d",
    rest="#1c3439",
    amber="#e3ae4b",
    good="#7cc37c",
    bad="#ee6d66",
    blue="#62a6e6",
    violet="#b897dc",
    heat_low="#0f1f22",
    heat_high="#0b6b62",
)
LIGHT = Palette(
    name="light",
    dark=False,
    ansi=False,
    background="#fcfbf7",
    band="#f0efe9",
    text="#22262b",
    dim="#696d73",
    faint="#b4b5b2",
    accent="#08756e",
    on_accent="#ffffff",
    select="#b8e0da",
    rest="#dcefeb",
    amber="#8f5c00",
    good="#2d7434",
    bad="#b5302a",
    blue="#1f64a8",
    violet="#744a9e",
    heat_low="#f1f6f3",
    heat_high="#7fd0c4",
)
ANSI = Palette(
    name="ansi",
    dark=True,
    ansi=True,
    background="",
    band="",
    text="",
    dim="",
    faint="",
    accent="cyan",
    on_accent="",
    select="",
    rest="",
    amber="yellow",
    good="green",
    bad="red",
    blue="blue",
    violet="magenta",
    heat_low="",
    heat_high="",
)
PALETTES = {palette.name: palette for palette in (DARK, LIGHT, ANSI)}


def palette_of(theme: str) -> Palette:
    """The palette of a theme's name; a theme that is not ours draws with the dark one."""
    return PALETTES.get(theme, DARK)
