"""A case against a model of it: two writers, torn tails, undo and redo, in any order."""

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tensorshark.traces.case import Case, Spot
from tensorshark.traces.case.state import State
from tensorshark.traces.store import Capture

TRACES = [f"{index:016x}" for index in range(4)]
texts = st.text(min_size=1).map(lambda text: f".{text}")
traces = st.lists(st.sampled_from(TRACES), min_size=1, max_size=3)
names = st.sampled_from(["mark", "suspect"])
spots = st.sampled_from([Spot(), Spot(0), Spot(0, 3), Spot(7)])
writers = st.integers(0, 1)

Held = dict[tuple[str, str, Spot], bool]


class TwoWriters(RuleBasedStateMachine):
    """Each writer refreshes before it says anything, so the model is what was said in order."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.capture = Capture.create(self.folder / "a.tshark")
        self.cases = [self._opened(), self._opened()]
        self.marks: set[tuple[str, str, Spot]] = set()
        self.notes: dict[str, list[str]] = defaultdict(list)
        self.macros: dict[str, str] = {}

    def _opened(self) -> Case:
        case = Case.open(self.capture, write=True, sync=False)
        case.by = f"writer {len(getattr(self, 'cases', []))}"
        return case

    @rule(writer=writers, traces=traces, name=names, spot=spots)
    def mark(self, writer: int, traces: list[str], name: str, spot: Spot) -> None:
        new = {(name, trace, spot) for trace in traces} - self.marks
        assert self.cases[writer].mark(traces, name, token=spot.token, layer=spot.layer) == len(new)
        self.marks |= new

    @rule(writer=writers, traces=traces, name=names, spot=spots)
    def unmark(self, writer: int, traces: list[str], name: str, spot: Spot) -> None:
        gone = {(name, trace, spot) for trace in traces} & self.marks
        assert self.cases[writer].unmark(traces, name, token=spot.token, layer=spot.layer) == len(gone)
        self.marks -= gone

    @rule(
        writer=writers, trace=st.sampled_from(TRACES), text=st.text(min_size=1).map(lambda text: f".{text}")
    )
    def note(self, writer: int, trace: str, text: str) -> None:
        self.cases[writer].note([trace], text)
        self.notes[trace].append(text)

    @rule(writer=writers, trace=st.sampled_from(TRACES), which=st.integers(0, 9))
    def strike(self, writer: int, trace: str, which: int) -> None:
        self.cases[writer].refresh()
        notes = self.cases[writer].notes(trace)
        if notes:
            place = which % len(notes)
            self.cases[writer].strike(notes[place].id)
            del self.notes[trace][place]

    @rule(writer=writers, name=names, text=st.sampled_from(["bos", "not bos"]))
    def define(self, writer: int, name: str, text: str) -> None:
        self.cases[writer].define_macro(name, text)
        self.macros[name] = text

    @precondition(lambda self: self.macros)
    @rule(writer=writers)
    def remove(self, writer: int) -> None:
        self.cases[writer].remove_macro(min(self.macros))
        del self.macros[min(self.macros)]

    @rule(writer=writers)
    def undo_and_redo(self, writer: int) -> None:
        """What undo takes back, redo brings again."""
        case = self.cases[writer]
        if case.undo():
            case.redo()

    @rule(writer=writers)
    def start_again(self, writer: int) -> None:
        by = self.cases[writer].by
        self.cases[writer].close()
        self.cases[writer] = self._opened()
        self.cases[writer].by = by

    @rule(writer=writers, rest=st.binary(min_size=1, max_size=40).filter(lambda rest: b"\n" not in rest))
    def killed_while_writing(self, writer: int, rest: bytes) -> None:
        """Half a line stays behind in its file."""
        self.start_again(writer)
        files = sorted((self.folder / "a.case").glob("*.jsonl")) if (self.folder / "a.case").exists() else []
        held = {case._log.writer for case in self.cases if case._log._file is not None}
        free = [path for path in files if path.stem not in held]
        if free and free[0].read_bytes().endswith(b"\n"):
            with free[0].open("ab") as file:
                file.write(rest)

    @invariant()
    def everybody_sees_what_was_said(self) -> None:
        for case in (*self.cases, Case.open(self.capture)):
            case.refresh()
            found = {(mark.name, trace, mark.spot) for trace in TRACES for mark in case.marks(trace)}
            assert found == self.marks
            assert case.marked() == {trace for _, trace, _ in self.marks}
            assert {name: macro.text for name, macro in case.macros.items()} == self.macros
            for trace in TRACES:
                assert [note.text for note in case.notes(trace)] == self.notes[trace]
            assert case.problems() == []

    @invariant()
    def folding_bit_by_bit_is_folding_at_once(self) -> None:
        case = self.cases[0]
        again = State(case.events())
        assert {trace: list(again.marks.of(trace)) for trace in TRACES} == {
            trace: case.marks(trace) for trace in TRACES
        }

    def teardown(self) -> None:
        for case in self.cases:
            case.close()
        shutil.rmtree(self.folder)


TwoWriters.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestTwoWriters = TwoWriters.TestCase
