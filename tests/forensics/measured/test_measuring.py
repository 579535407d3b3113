"""Measuring for filters: once for each trace, cancelled and resumed, and no failure ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from tensorshark.forensics.filter import check, parse, values
from tensorshark.forensics.filter.values.reader import Cancelled
from tensorshark.forensics.filter.values.selection import Pick
from tensorshark.forensics.lens_cells import surprisals
from tensorshark.forensics.measured import declared
from tensorshark.forensics.measured.declared import Declared
from tensorshark.forensics.measured.measuring import Measures
from tensorshark.plugins.logit_lens import LogitLens
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

from .conftest import Install


def field(name: str) -> Declared:
    found = declared.find(name)
    assert found is not None
    return found


def nothing() -> None:
    pass


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the fields that the lens was asked to measure, once for each trace."""
    asked: list[str] = []
    original = LogitLens.measure_all

    def measure_all(self: LogitLens, turns: Iterator[object], name: str) -> Iterator[object]:
        for value in original(self, turns, name):  # type: ignore[arg-type]
            asked.append(name)
            yield value

    monkeypatch.setattr(LogitLens, "measure_all", measure_all)
    return asked


def test_once_for_each_trace_and_for_all_processes(index: Index, counted: list[str]) -> None:
    first = parse("lens.p#3[-1] > 0.1").select(index)
    assert len(counted) == 12
    assert np.array_equal(parse("not lens.p#3[-1] <= 0.1").select(index), first)
    assert len(parse("has(lens.entropy#3[-1]) and has(lens.top#3[-1])").select(index)) == 12
    assert counted.count("lens.p") == 12, "entropy came with it; the token needs the vocabulary"
    assert len(counted) == 24
    with Index.open(index.capture) as again:
        assert np.array_equal(parse("lens.p#3[-1] > 0.1").select(again), first)
    assert len(counted) == 24
    append_synthetic(index.capture, traces=2, seed=5)
    index.refresh()
    parse("lens.p#3[-1] > 0.1").select(index)
    assert len(counted) == 26, "only the new ones"


def test_only_traces_in_question_are_measured(index: Index, counted: list[str]) -> None:
    parse('label.category == "injection" and lens.p#3[-1] > 0.1').select(index)
    assert len(counted) == 2


def test_values_are_the_analyzers(index: Index) -> None:
    numbers = list(range(1, 13))
    traces = [index.trace(number) for number in numbers]
    expected = list(surprisals((trace, range(len(trace.tokens))) for trace in traces))
    shown = values("surprisal", index, numbers)
    for cells, found in zip(shown, expected, strict=True):
        assert isinstance(cells, list) and isinstance(found, np.ndarray)
        assert cells[0] is None and cells[1:] == found[1:].astype(float).tolist()
    ranks = values("lens.rank#3[-1]", index, numbers)
    assert ranks == [1] * 12 and all(isinstance(rank, int) for rank in ranks)
    tops = values("lens.top#-1[-1]", index, numbers)
    assert tops == [trace.manifest.next_tokens[0].token for trace in traces]
    ps = values("lens.p#-1[-1]", index, numbers)
    assert ps == pytest.approx([trace.manifest.next_tokens[0].p for trace in traces], abs=1e-6)
    grown = values("norms.growth[-1]", index, [1])[0]
    norms = traces[0].stats["norm.resid_post"]
    assert grown == pytest.approx(norms[-1, -1] / norms[0, -1], rel=1e-6)
    sinks = values("entropy.sink#2:1[0-2]", index, [2])[0]
    assert sinks == traces[1].stats["attn.sink"][2, 1, :3].astype(float).tolist()


def test_cancelled_and_resumed(index: Index, counted: list[str]) -> None:
    append_synthetic(index.capture, traces=28, seed=7)
    index.refresh()
    left = [30]

    def cancelled() -> bool:
        left[0] -= 1
        return left[0] <= 0

    with pytest.raises(Cancelled):
        parse("max(surprisal) > 3").select(index, cancelled)
    done = len(counted)
    assert 0 < done < 40
    assert Measures.of(index).left(field("surprisal"), (Pick("pos"),)) == 40 - done
    parse("max(surprisal) > 3").select(index)
    assert len(counted) == 40


def test_damage_and_what_was_not_captured_are_absent_and_said(capture: Capture) -> None:
    path = capture.trace(capture.ids()[2]).folder / "tensors.safetensors"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    with Index.open(capture) as index:
        assert parse("has(lens.p#3[-1])").select(index).tolist() == [1, 2, *range(4, 13)]
        (problem,) = Measures.of(index).problems(field("lens.p"), parse_picks("lens.p#3[-1]"))
        assert (problem.traces, problem.first) == (1, 3) and "damaged" in problem.words()
        assert parse("has(entropy.sink) and not has(lens.p#3[-1])").select(index).tolist() == [3]


def parse_picks(text: str) -> tuple[Pick, ...]:
    from tensorshark.forensics.filter.columns import expression

    picks: tuple[Pick, ...] = expression(text).picks  # type: ignore[attr-defined]
    return picks


def test_without_a_lens_file_it_says_what_to_type(tmp_path_factory: pytest.TempPathFactory) -> None:
    capture = write_synthetic(tmp_path_factory.mktemp("bare") / "x.tshark", traces=3)
    (capture.path / "models" / "synthetic" / "lens.safetensors").unlink()
    from tensorshark.forensics import lens

    lens._prepared.clear()
    with Index.open(Capture.open(capture.path)) as index:
        assert len(parse("lens.p#3[-1] > 0").select(index)) == 0
        (problem,) = Measures.of(index).problems(field("lens.p"), parse_picks("lens.p#3[-1]"))
        assert problem.traces == 3


OTHERS = '''
import os
from tensorshark.forensics import Analyzer, Field, Needs

class Repeats(Analyzer):
    """How often each token has come before."""
    name = "repeats"
    fields = [
        Field("repeats.before", int, axes=("pos",), help="earlier places of the same token"),
        Field("repeats.word", str, help="the first token"),
        Field("repeats.odd", bool),
        Field("repeats.bad", float, axes=("pos",)),
        Field("repeats.shape", float, axes=("pos",)),
        Field("repeats.dies", float),
        Field("repeats.hangs", float),
        Field("repeats.pid", int),
    ]

    def measure(self, trace, field, cells):
        ids = trace.token_ids
        if field == "repeats.before":
            return [ids[:position].count(ids[position]) for position in cells.positions]
        if field == "repeats.word":
            return trace.tokens[0]
        if field == "repeats.odd":
            return None if trace.number == 1 else trace.number % 2 == 1
        if field == "repeats.bad":
            if trace.number % 2:
                raise ValueError("esc \\x1b[31m")
            return [1.0] * len(cells.positions)
        if field == "repeats.shape":
            return [1.0]
        if field == "repeats.dies":
            if trace.number == 4:
                os._exit(3)
            return 1.0
        if field == "repeats.hangs":
            while True:
                pass
        return os.getpid()
'''


def test_others_run_in_a_process_of_their_own(install: Install, index: Index) -> None:
    import os
    import sys

    install("repeats", OTHERS, repeats="Repeats")
    pids = set(values("repeats.pid", index, [1, 2, 3]))
    assert len(pids) == 1 and os.getpid() not in pids
    assert "repeats_mod" not in sys.modules
    for number in (1, 5):
        ids = index.trace(number).token_ids
        assert values("repeats.before", index, [number]) == [
            [ids[:at].count(ids[at]) for at in range(len(ids))]
        ]
    assert values("repeats.word", index, [1]) == [index.trace(1).tokens[0]]
    assert parse("repeats.odd").select(index).tolist() == [3, 5, 7, 9, 11]
    assert check("repeats.before[-1] > 0", index).state == "ok"


def test_others_fail_trace_by_trace(install: Install, index: Index) -> None:
    install("repeats", OTHERS, repeats="Repeats")
    measures, picks = Measures.of(index), (Pick("pos"),)
    assert parse("has(repeats.bad)").select(index).tolist() == [2, 4, 6, 8, 10, 12]
    (problem,) = measures.problems(field("repeats.bad"), picks)
    assert problem.traces == 6 and "ValueError" in problem.reason and "\x1b" not in problem.reason
    assert len(parse("has(repeats.shape)").select(index)) == 0
    assert all(
        "has shape (1,); (" in each.reason for each in measures.problems(field("repeats.shape"), picks)
    )
    assert parse("repeats.dies > 0").select(index).tolist() == [1, 2, 3, *range(5, 13)]
    (problem,) = measures.problems(field("repeats.dies"), ())
    assert problem.first == 4 and "exit code 3" in problem.reason


def test_others_that_hang_are_stopped(
    install: Install, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorshark.forensics.jobs import Limits
    from tensorshark.forensics.measured import apart

    install("repeats", OTHERS, repeats="Repeats")
    monkeypatch.setattr(apart, "LIMITS", Limits(seconds=1.0))
    monkeypatch.setattr(apart, "CRASHES", 1)
    assert len(parse("repeats.hangs > 0").select(index)) == 0
    (problem,) = Measures.of(index).problems(field("repeats.hangs"), ())
    assert problem.traces == 12 and "longer than 1 s" in problem.reason
    monkeypatch.setattr(apart, "LIMITS", Limits())
    begun = time.monotonic()
    Measures.of(index).store.forget_memory()
    with pytest.raises(Cancelled):
        parse("repeats.hangs > 1").select(index, lambda: time.monotonic() - begun > 0.5)
    assert time.monotonic() - begun < 10


def test_first_matches_show_while_the_rest_is_measured(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorshark.forensics.filter.answers import answer

    append_synthetic(index.capture, traces=188, seed=7)
    index.refresh()
    monkeypatch.setattr(answer, "EVERY_S", 0.0)
    told: list[tuple[int, int, int]] = []
    found = parse("lens.p#3[-1] > 0.1").select(
        index, on_found=lambda numbers, done, total: told.append((len(numbers), done, total))
    )
    assert [done for _, done, _ in told] == [*range(8, 200, 8)] and {total for _, _, total in told} == {200}
    assert 0 < told[0][0] <= told[1][0] <= len(found)
