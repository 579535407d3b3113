"""The variables of `any(l, p: …)`: one axis each, one for each axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tensorshark.forensics.filter.checks.complaint import Complaint
from tensorshark.forensics.filter.syntax import tree
from tensorshark.forensics.filter.values.selection import noun


@dataclass
class Variable:
    """One variable while its body is checked."""

    name: str
    place: tree.Place
    """Where it is introduced."""
    all: Mapping[str, Variable]
    """It and the others of the same any(…) or all(…), by name."""
    axis: str | None = None
    """Along which it runs; None until it is used."""

    def along(self, axis: str, selection: tree.Selection, complaint: Complaint) -> str:
        """Its name, where it stands as the selection along an axis. Raises FilterError where it cannot."""
        if selection.parts != (tree.Named(self.name, None),):
            raise complaint.error(f"{self.name} is a variable and stands alone", selection.place)
        if self.axis not in (None, axis):
            reason = (
                f"{self.name} runs over {noun(self.axis or '')}s already, and this selects a {noun(axis)}"
            )
            raise complaint.error(reason, selection.place)
        other = next((one for one in self.all.values() if one is not self and one.axis == axis), None)
        if other is not None:
            reason = f"{other.name} runs over {noun(axis)}s already; there is one variable for each axis"
            raise complaint.error(reason, selection.place)
        self.axis = axis
        return self.name
