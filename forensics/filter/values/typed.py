"""A field with its selections as it is typed: `attn.entropy#l:3[prompt[-1]]`."""

from __future__ import annotations

from tensorshark.forensics.filter.fields import HEAD, LAYER, POS
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.cells import HeadMeans
from tensorshark.forensics.filter.values.operands import Selected, Value
from tensorshark.forensics.filter.values.reference import Reference
from tensorshark.forensics.filter.values.selection import Pick

_BEFORE = {LAYER: "#", HEAD: ":", POS: ""}


def typed(value: Value) -> str:
    """Of a field with axes, of its mean over heads, or of `$` before it. The filter reads it back."""
    if isinstance(value, Reference):
        return f"${typed(value.inner)}"
    assert isinstance(value, Selected), "nothing else has a text of its own"
    field = value.field.name + "".join(map(_pick, value.picks))
    return f"mean({field})" if isinstance(value, HeadMeans) else field


def _pick(pick: Pick) -> str:
    said = pick.variable or _parts(pick.parts)
    if not said:
        return ""
    bare = pick.axis != POS and (
        pick.variable or (len(pick.parts) == 1 and isinstance(pick.parts[0], tree.At))
    )
    return _BEFORE[pick.axis] + (said if bare else f"[{said}]")


def _parts(parts: tree.Parts) -> str:
    return ",".join(map(_part, parts))


def _part(part: tree.Part) -> str:
    match part:
        case tree.At():
            return str(part.index)
        case tree.Through():
            return f"{part.first}-{part.last}"
        case tree.Slice():
            ends = ":".join("" if end is None else str(end) for end in (part.start, part.stop))
            return ends if part.step is None else f"{ends}:{part.step}"
        case tree.Named():
            return part.name if part.parts is None else f"{part.name}[{_parts(part.parts)}]"
