"""The plugin API: one class answers one question about traces.

    class Norms(Analyzer):
        \"\"\"Residual-stream growth: the L2 norm of each site per layer.\"\"\"
        name = "norms"
        needs = Needs(sites=["resid_post"])
        options = [Option("position", "prompt[-1]", "which token")]

        def run(self, view, options):
            for trace in view.progress():
                yield trace.row(norm=...)

Registered under the entry-point group `tensorshark.analyzers`; built-ins come through the same door.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tensorshark.forensics.results import Result

if TYPE_CHECKING:
    from tensorshark.forensics.view import View

API_VERSION = 1

OptionValue = str | int | float | bool
Scope = Literal["trace", "pair", "corpus"]
"""What one call of `run` sees: one trace at a time, exactly two traces, or all of them."""


@dataclass(frozen=True)
class Option:
    """One setting: a `-o name=value` flag, a form field and a line of documentation."""

    name: str
    default: OptionValue
    """Its type is the option's type."""
    help: str
    choices: tuple[OptionValue, ...] = ()
    """When not empty, the only values allowed."""
    kind: Literal["", "position"] = ""
    """`position`: text for `ViewTrace.positions`, checked before anything runs."""


PAIR = (
    Option("a", "", "first trace: an id, its unique beginning, or #NUMBER"),
    Option("b", "", "second trace, the same way"),
)
"""Options that every analyzer of scope `pair` has without declaring them."""


@dataclass(frozen=True)
class Needs:
    """What must have been captured; checked before `run`, and the reason shown when it is not."""

    sites: Sequence[str] = ()
    """Names from `traces.sites.SITES`."""
    stats: Sequence[str] = ()
    """Keys of a trace's statistics: `norm.resid_post`, `attn.entropy`."""
    lens: bool = False
    """True when the capture's lens file is read."""


@dataclass(frozen=True)
class Field:
    """A value that filters, columns and colours can use."""

    name: str
    type: type
    """str, int, float or bool."""
    axes: tuple[str, ...] = ()
    """Among layer, head, pos; empty for one value per trace."""
    help: str = ""
    unit: str = ""


class Analyzer:
    """Subclass this; the class docstring's first line is the summary people see."""

    name: ClassVar[str]
    """What is typed after `tensorshark run`."""
    scope: ClassVar[Scope] = "trace"
    needs: ClassVar[Needs] = Needs()
    options: ClassVar[Sequence[Option]] = ()
    fields: ClassVar[Sequence[Field]] = ()
    api: ClassVar[int] = API_VERSION

    def run(self, view: View, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """Yield rows (`trace.row(...)`) and results; whatever is raised becomes a Failed.

        Called once per trace in scope `trace`, so that one bad trace costs the others nothing, and once
        otherwise. Options arrive complete (defaults filled in), typed and within their choices.
        """
        raise NotImplementedError

    def finish(self, options: Mapping[str, OptionValue]) -> Iterator[Result]:
        """Yield what is about all traces together, from what `run` kept in `self`; nothing by default."""
        return iter(())

    @classmethod
    def summary(cls) -> str:
        """First line of the class docstring."""
        return (cls.__doc__ or cls.name).strip().splitlines()[0]

    @classmethod
    def all_options(cls) -> tuple[Option, ...]:
        """The declared options, and `a` and `b` where the scope is `pair`."""
        return (*(PAIR if cls.scope == "pair" else ()), *cls.options)
