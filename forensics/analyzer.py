"""The plugin API: one class answers one question about traces.

    class Norms(Analyzer):
        \"\"\"Residual-stream growth: the L2 norm of each site per layer.\"\"\"
        name = "norms"
        needs = Needs(sites=["resid_post"])
        options = [Option("position", "prompt[-1]", "which token")]

        def run(self, view, options):
            for trace in view.progress():
                yield trace.row(norm=...)

What it declares as fields can be asked for in filters, columns and sort keys, once it can measure them:

    class Repeats(Analyzer):
        \"\"\"How often each token has come before.\"\"\"
        name = "repeats"
        fields = [Field("repeats.before", int, axes=("pos",), help="earlier places of the same token")]

        def measure(self, trace, field, cells):
            ids = trace.token_ids
            return [ids[:position].count(ids[position]) for position in cells.positions]

`repeats.before[-1] > 3` works then, is offered while typing, and is computed once for each trace.
Registered under the entry-point group `tensorshark.analyzers`; built-ins come through the same door.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tensorshark.forensics.results import Result

if TYPE_CHECKING:
    from tensorshark.forensics.view import View, ViewTrace

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
    """Words with dots between them; the first is the analyzer's name, or one of its `families`."""
    type: type
    """str, int, float or bool."""
    axes: tuple[str, ...] = ()
    """Among layer, head, pos, in this order; empty for one value per trace."""
    help: str = ""
    """One line, without a full stop."""
    unit: str = ""
    noun: str = ""
    """The field in a sentence, before its layer and token: `lens entropy of`; its name when empty."""
    example: str = ""
    """A filter that uses it."""
    ids: str = ""
    """Of texts that are tokens: the field with their ids, so that `t"Ġthe"` and `t:262` can be compared."""


@dataclass(frozen=True)
class Cells:
    """Which cells of a field are asked for, of one trace: those where the three lists cross."""

    layers: Sequence[int] = ()
    """Layers of the model, ascending, whether captured or not."""
    heads: Sequence[int] = ()
    positions: Sequence[int] = ()
    """0-based, ascending."""

    def shape(self, axes: Sequence[str]) -> tuple[int, ...]:
        """How many along each of a field's axes."""
        sizes = {"layer": len(self.layers), "head": len(self.heads), "pos": len(self.positions)}
        return tuple(sizes[axis] for axis in axes)


class Analyzer:
    """Subclass this; the class docstring's first line is the summary people see."""

    name: ClassVar[str]
    """What is typed after `tensorshark run`."""
    scope: ClassVar[Scope] = "trace"
    needs: ClassVar[Needs] = Needs()
    options: ClassVar[Sequence[Option]] = ()
    fields: ClassVar[Sequence[Field]] = ()
    """Filters can use them where the class defines `measure`; written down as literals, like the options."""
    families: ClassVar[Sequence[str]] = ()
    """First words of its fields besides its name: `lens` of logit-lens."""
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

    def measure(self, trace: ViewTrace, field: str, cells: Cells) -> Any:
        """The cells of one field of one trace, and no others.

        Returns an array, or nested lists, with the field's axes in their order, `cells.shape(axes)`; one
        value for a field without axes. NaN or None is an absent value. What is raised, NotFoundError for
        what was not captured among it, makes all of them absent and is said beside the answer.
        """
        raise NotImplementedError

    def measure_all(self, asked: Iterable[tuple[ViewTrace, Cells]], field: str) -> Iterator[Any]:
        """`measure` of several traces: for each, in order, its value or the error that there is none.

        Override it where many traces together are cheaper than one by one, and take them one at a time: they
        are opened as they are asked for. Where other fields come for free, yield {field: value} of all.
        """
        for trace, cells in asked:
            try:
                yield self.measure(trace, field, cells)
            except Exception as error:
                yield error

    @classmethod
    def summary(cls) -> str:
        """First line of the class docstring."""
        return (cls.__doc__ or cls.name).strip().splitlines()[0]

    @classmethod
    def all_options(cls) -> tuple[Option, ...]:
        """The declared options, and `a` and `b` where the scope is `pair`."""
        return (*(PAIR if cls.scope == "pair" else ()), *cls.options)
