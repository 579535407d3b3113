"""Fewer bytes for the same picture: over SSH every cursor move is paid for in bytes.

Rich resets after each run of text and then says the whole style again. Here only what differs from the style
that the terminal already has is said, and no newline before a cursor movement; text passes unchanged.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "8": "28", "9": "29"}
"""What switches an attribute off again."""
_MOVES = re.compile(r"(?:\x1b\[\d+;\d+H|\n)*")
_NEWLINE = re.compile(r"\n(?=\x1b\[\d+;\d+H)")
"""Before a cursor movement to a place; it says nothing then."""


class Look(NamedTuple):
    """A terminal's style."""

    attributes: frozenset[str] = frozenset()
    """SGR codes such as `1` for bold."""
    text: str = ""
    """SGR code of the text's colour; empty for the terminal's own."""
    ground: str = ""
    """SGR code of the background; empty for the terminal's own."""


PLAIN = Look()


def thrifty(frame: str) -> str:
    """`frame` with the shortest style changes we know; it begins and ends in the terminal's own style.

    A style code that is not understood leaves the frame as it was.
    """
    parts = _SGR.split(frame)  # text, codes, text, codes, ..., text
    if len(parts) == 1:
        return frame
    out = []
    has = wants = PLAIN
    for index, part in enumerate(parts):
        if index % 2:
            look = _look(part)
            if look is None:
                return frame
            wants = look if part in ("", "0") else _over(wants, look)
        elif part:
            if wants != has and not _MOVES.fullmatch(part):
                out.append(_change(has, wants))
                has = wants
            out.append(_NEWLINE.sub("", part))
    if has != PLAIN:
        out.append("\x1b[m")
    return "".join(out)


@lru_cache(4096)
def _look(codes: str) -> Look | None:
    """What one style sequence sets; None when it has a code that we do not know."""
    attributes, text, ground = set(), "", ""
    rest = codes.split(";") if codes not in ("", "0") else []
    while rest:
        code = rest.pop(0)
        if code in ("38", "48"):
            count = {"2": 4, "5": 2}.get(rest[0] if rest else "", 0)
            if not count or len(rest) < count:
                return None
            color = ";".join([code, *rest[:count]])
            del rest[:count]
            text, ground = (color, ground) if code == "38" else (text, color)
        elif not code.isdecimal():
            return None
        elif 30 <= int(code) <= 37 or 90 <= int(code) <= 97 or code == "39":
            text = code
        elif 40 <= int(code) <= 47 or 100 <= int(code) <= 107 or code == "49":
            ground = code
        elif code in _OFF:
            attributes.add(code)
        else:
            return None
    return Look(frozenset(attributes), text, ground)


def _over(under: Look, look: Look) -> Look:
    """A style set on top of another."""
    if under == PLAIN:
        return look
    return Look(under.attributes | look.attributes, look.text or under.text, look.ground or under.ground)


@lru_cache(4096)
def _change(has: Look, wants: Look) -> str:
    """The shortest sequence from one style to another."""
    if wants == PLAIN:
        return "\x1b[m"
    off = {_OFF[code] for code in has.attributes - wants.attributes}
    # 22 switches both bold and faint off; say again which of them stays.
    kept = {code for code in wants.attributes & has.attributes if _OFF[code] in off}
    step = [*sorted(off), *sorted(wants.attributes - has.attributes | kept)]
    if wants.text != has.text:
        step.append(wants.text or "39")
    if wants.ground != has.ground:
        step.append(wants.ground or "49")
    fresh = [code for code in ("0", *sorted(wants.attributes), wants.text, wants.ground) if code]
    return f"\x1b[{min(';'.join(step), ';'.join(fresh), key=len)}m"
