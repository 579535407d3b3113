"""Views: what analyzers get to see, and what is said about traces that they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics.analyzer import Needs
from tensorshark.forensics.attention import summary
from tensorshark.forensics.positions import NoSuchPositionError
from tensorshark.forensics.results import Failed, NotCaptured
from tensorshark.forensics.view import View, ViewTrace, lacking
from tensorshark.traces.errors import NotFoundError, UsageError
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return write_synthetic(tmp_path / "x.tshark", traces=4, layers=3, patterns=True)


def without(capture: Capture, *, sites: tuple[str, ...] = (), stats: bool = True) -> ViewTrace:
    """One more trace that was captured without some sites, or without statistics."""
    manifest, tensors, numbers = synthetic_trace(
        capture, "one that lacks something", {}, seed=99, patterns=True
    )
    import msgspec

    kept = [site for site in manifest.sites if site.name not in sites]
    manifest = msgspec.structs.replace(manifest, sites=kept)
    hooks = tuple(f".hook_{site}" for site in sites)
    tensors = {name: array for name, array in tensors.items() if not name.endswith(hooks)}
    with capture.writer(sync=False) as writer:
        committed = writer.commit(manifest, tensors, numbers if stats else {})
    assert committed
    return ViewTrace.of(capture.trace(committed.id))


def test_progress_opens_in_order_and_reports(capture: Capture) -> None:
    reports: list[tuple[int, int]] = []
    ids = list(reversed(capture.ids()))
    view = View(capture, ids, lambda done, total: reports.append((done, total)))
    assert [trace.id for trace in view.progress()] == ids
    assert [trace.number for trace in view] == [4, 3, 2, 1]
    assert reports[:5] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(view) == 4


def test_a_row_knows_its_trace_and_takes_numpy(capture: Capture) -> None:
    (trace,) = View(capture, capture.ids()[1:2])
    row = trace.row("other", norm=np.float32(0.5), title="a cell may be called title")
    assert (row.title, row.trace, row.number) == ("other", trace.id, 2)
    assert row.cells == {"norm": 0.5, "title": "a cell may be called title"}
    with pytest.raises(TypeError, match="norm is a ndarray"):
        trace.row(norm=np.zeros(3))


def test_positions_are_the_traces_own(capture: Capture) -> None:
    (trace,) = View(capture, capture.ids()[:1])
    assert trace.positions("prompt[-1]") == [len(trace.tokens) - 1]
    with pytest.raises(NoSuchPositionError):
        trace.positions("response[0]")


def test_damage_is_a_problem_and_the_others_go_on(capture: Capture) -> None:
    first, *others = capture.ids()
    manifest = capture.trace(first).folder / "trace.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed', b'"sEed', 1))
    view = View(Capture.open(capture.path), capture.ids())
    assert [trace.id for trace in view] == others
    (problem,) = view.problems
    assert isinstance(problem, Failed) and problem.trace == first and first in problem.reason


@pytest.mark.parametrize(
    ("needs", "sites", "remedy"),
    [
        (Needs(sites=["mlp_out", "resid_post"]), ("mlp_out",), "--sites mlp_out,resid_post"),
        (Needs(sites=["pattern"]), ("pattern",), "--patterns"),
        (Needs(stats=["attn.entropy"]), ("attn", "pattern"), "attn among --sites"),
        (Needs(stats=["norm.attn_out"]), ("attn_out",), "--sites attn_out"),
    ],
)
def test_what_was_not_captured_comes_with_a_remedy(
    capture: Capture, needs: Needs, sites: tuple[str, ...], remedy: str
) -> None:
    trace = without(capture, sites=sites, stats=False)
    missing = lacking(trace, needs)
    assert isinstance(missing, NotCaptured) and missing.trace == trace.id and remedy in missing.remedy
    view = View(capture, capture.ids(), needs=needs)
    assert len(list(view)) == 4 and view.problems == [missing]


def test_statistics_are_computed_where_only_tensors_were_captured(capture: Capture) -> None:
    trace = without(capture, sites=("attn",), stats=False)
    assert not trace.stats and lacking(trace, Needs(stats=["attn.sink", "norm.mlp_out"])) is None
    pattern = trace.load("blocks.1.attn.hook_pattern")
    assert np.array_equal(trace.stat("attn.entropy_rest")[1], summary(pattern).rest)
    assert trace.layers("attn") == [0, 1, 2]
    norms = trace.stat("norm.mlp_out")
    assert np.allclose(norms[2], np.linalg.norm(trace.load("blocks.2.hook_mlp_out"), axis=-1))
    with pytest.raises(NotFoundError, match="no statistic lens"):
        trace.stat("lens.entropy")


def test_stored_statistics_are_preferred_and_equal(capture: Capture) -> None:
    (trace,) = View(capture, capture.ids()[:1])
    assert trace.stat("norm.resid_post") is trace.stats["norm.resid_post"]
    assert np.allclose(trace._attention["attn.entropy"], trace.stats["attn.entropy"], atol=1e-6)


def test_pairs_are_named_by_id_beginning_or_number(capture: Capture) -> None:
    ids = capture.ids()
    view = View(capture, ids)
    assert view.pair("#4", ids[0]).ids == [ids[3], ids[0]]
    assert View(capture, ids[1:3]).pair("", "").ids == ids[1:3]
    with pytest.raises(UsageError, match="4 are selected"):
        view.pair("", "")
    with pytest.raises(UsageError, match="both"):
        view.pair("#1", "")
    for name in ("#0", "#5", "#x", "zz"):
        with pytest.raises(NotFoundError):
            view.pair(name, "#1")


def test_one_trace_is_not_opened_twice(capture: Capture) -> None:
    (trace,) = View(capture, capture.ids()[:1])
    (again,) = View(capture, []).only(trace)
    assert again is trace
