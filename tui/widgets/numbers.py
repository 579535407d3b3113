"""How numbers are written: in a sentence with four digits, in a cell with as many as fit."""

from __future__ import annotations

import math

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def figure(value: float) -> str:
    """A number in a sentence: `24,827`, `148.0`, `3.142`, `0.0713`, `4.20e-05`, `0`, `nan`, `inf`."""
    if not math.isfinite(value):
        return str(float(value))
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e7:
        return f"{value:.3e}"
    if size >= 999.95:
        return f"{value:,.0f}"
    return f"{value:#.4g}" if size >= 0.99995 else f"{value:#.3g}"


def short(value: float, width: int) -> str:
    """`value` in `width` cells, as precisely as fits: `.071`, `24.8k`, `4e-5`; `#` when nothing does.

    A value that is not zero is never written as zero where `4e-5` fits.
    """
    if math.isnan(value):
        return "nan"[:width]
    if math.isinf(value):
        return ("inf" if value > 0 else "-inf")[:width]
    if value == 0:
        return "0"
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if abs(value) >= 0.9995 * scale), (1.0, ""))
    for digits in (3, 2, 1, 0):
        text = _trim(f"{value / scale:.{digits}f}") + unit
        if len(text) <= width and text.strip("-0.k") != "":
            return text
    tiny = f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if len(tiny) <= width:
        return tiny
    return next((text for text in (_trim(f"{value:.{d}f}") for d in (2, 1, 0)) if len(text) <= width), "#")


def share(value: float) -> str:
    """A probability: `.412`, `1.00`, `<.001`."""
    if math.isnan(value):
        return "nan"
    if 0 < value < 0.0005:
        return "<.001"
    return "1.00" if value >= 0.9995 else f"{value:.3f}"[1:]


def _trim(text: str) -> str:
    """`0.5` -> `.5`, `-0.5` -> `-.5`."""
    if text.startswith("0."):
        return text[1:]
    return "-" + text[2:] if text.startswith("-0.") else text
