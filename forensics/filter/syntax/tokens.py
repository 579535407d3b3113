"""Tokens as vocabularies spell them: `t"Ġthe"` is the token that reads " the".

A byte-level vocabulary writes each of the 256 bytes as one character that can be printed: the printable ones
of Latin-1 as themselves, the others, in order, as those from U+0100 on. So a space is Ġ (U+0120), a newline
Ċ (U+010A). A vocabulary of pieces writes a space as ▁ (U+2581), and a byte that is no text as <0x0A>.
"""

from __future__ import annotations

import functools
import re

_PRINTABLE = (range(0x21, 0x7F), range(0xA1, 0xAD), range(0xAE, 0x100))
"""Bytes that stand for themselves."""
_FIRST = 0x100
"""What the first of the others is written as."""
_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@functools.cache
def alphabet() -> dict[str, int]:
    """Character -> the byte that it stands for."""
    plain = {byte for stretch in _PRINTABLE for byte in stretch}
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(byte): byte for byte in plain} | {chr(_FIRST + n): byte for n, byte in enumerate(others)}


def text_of(spelled: str) -> str | None:
    """What the token reads; None where its bytes are only part of a character, and no text by themselves."""
    if byte := _BYTE.fullmatch(spelled):
        data = bytes([int(byte[1], 16)])
    elif _SPACE in spelled:
        return spelled.replace(_SPACE, " ")
    else:
        known = alphabet()
        data = b"".join(bytes([known[sign]]) if sign in known else sign.encode() for sign in spelled)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
