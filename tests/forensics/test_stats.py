"""Groups of a real capture compared, beside the same sums by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tensorshark.forensics import stats as module
from tensorshark.forensics.engine import Engine
from tensorshark.forensics.filter import Cancelled, values
from tensorshark.forensics.stats import Asked
from tensorshark.traces.errors import FilterError, UsageError
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

LABELS = [{"kind": "a", "split": "x"}, {"kind": "b"}, {"split": "x"}]
NORM = "mean(resid_post.norm#2)"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path: Path = tmp_path_factory.mktemp("stats") / "x.tshark"
    capture = write_synthetic(path, traces=30, labels=LABELS)
    prompts = ["The same for all"]
    append_synthetic(capture, traces=1, seed=8, labels=[{"kind": "a"}], prompts=prompts)
    append_synthetic(capture, traces=1, seed=9, labels=[{"kind": "b"}], prompts=prompts)
    with Engine(path) as engine:
        yield engine


def test_groups_are_those_of_the_label_and_the_rest(engine: Engine) -> None:
    found = engine.stats(Asked(by=["label.kind"], expressions=[NORM, "seq_len"]))
    assert [group.group for group in found.groups] == [["a"], ["b"], [None]]
    assert [group.traces for group in found.groups] == [11, 11, 10]
    own = np.array(values(NORM, engine.index, engine.select('label.kind == "b"')))
    line = next(line for line in found.summaries if line.group == ["b"] and line.expression == NORM)
    assert line.mean == pytest.approx(own.mean()) and line.std == pytest.approx(own.std(ddof=1))
    assert len(found.contrasts) == found.tests == 6
    assert all(each.p_holm >= each.p for each in found.contrasts)


def test_prompts_that_groups_share_are_counted(engine: Engine) -> None:
    found = engine.stats(Asked(by=["label.kind"], expressions=["seq_len"]))
    shared = {(each.a[0], each.b[0]): each.shared_prompts for each in found.contrasts}
    assert shared == {("a", "b"): 1, ("a", None): 0, ("b", None): 0}
    one = engine.stats(Asked())
    assert (one.groups[0].traces, one.groups[0].prompts) == (32, 31)
    assert engine.stats(Asked(prompts=False)).groups[0].prompts is None


def test_a_cross_product_a_filter_and_a_condition_to_group_by(engine: Engine) -> None:
    found = engine.stats(Asked(by=["label.kind", "label.split"], filter="number <= 30"))
    assert [(group.group, group.traces) for group in found.groups] == [
        (["a", "x"], 10), (["b", None], 10), ([None, "x"], 10)
    ]  # fmt: skip
    halves = engine.stats(Asked(by=["number > 12"]))
    assert [(group.group, group.traces) for group in halves.groups] == [([False], 12), ([True], 20)]


def test_groups_are_remembered_until_a_trace_is_added(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=6, labels=LABELS)
    asked = Asked(by=["label.kind", "seq_len > 8"], expressions=["next.p"])
    with Engine(capture.path) as engine:
        assert engine.stats(asked) == engine.stats(asked)
        before = engine.stats(asked)
        append_synthetic(capture, traces=3, seed=4, labels=LABELS)
        engine.refresh()
        assert engine.stats(asked).traces == before.traces + 3
        module.forget(engine.index)
        assert sum(group.traces for group in engine.stats(asked).groups) == 9


def test_numbers_to_group_by_one_by_one_or_in_bins(engine: Engine) -> None:
    each = engine.stats(Asked(by=["number"], filter="number <= 3"))
    assert [group.group for group in each.groups] == [[1], [2], [3]]
    bins = engine.stats(Asked(by=["number"], bins=4))
    assert [group.traces for group in bins.groups] == [7, 8, 8, 9]


def test_without_groups_there_is_one(engine: Engine) -> None:
    found = engine.stats(Asked(expressions=["bos"]))
    assert found.groups[0].group == [] and found.contrasts == []
    assert found.summaries[0].mean == 0


def test_pairs_are_compared_when_few_or_asked_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(by=["number"], expressions=["seq_len"])
    few = engine.stats(asked)
    assert not few.contrasts and "--pairs" in few.left_out
    assert len(engine.stats(Asked(by=["number"], expressions=["seq_len"], pairs=True)).contrasts) == 496
    assert not engine.stats(Asked(by=["label.kind"], expressions=["seq_len"], pairs=False)).contrasts
    monkeypatch.setattr(module, "MAX_PAIRED", 20)
    with pytest.raises(UsageError, match="496 pairs"):
        engine.stats(Asked(by=["number"], expressions=["seq_len"], pairs=True))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Asked(expressions=["prompt"]), "not a number"),
        (Asked(expressions=["resid_post.norm"]), "several values per trace cannot be summed up"),
        (Asked(by=["resid_post.norm"]), "several values per trace cannot be grouped by"),
        (Asked(by=["label.kind =="]), "unfinished"),
        (Asked(by=[" "]), "missing"),
        (Asked(filter="nonsense"), "no field"),
    ],
)
def test_what_cannot_be_asked_says_so(engine: Engine, asked: Asked, reason: str) -> None:
    with pytest.raises(FilterError, match=reason):
        engine.stats(asked)


def test_quantiles_lie_between_none_and_all(engine: Engine) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        engine.stats(Asked(quantiles=[2]))


def test_it_can_be_cancelled(engine: Engine) -> None:
    with pytest.raises(Cancelled):
        engine.stats(Asked(by=["resid_post.norm#1[0] > 3"]), lambda: True)
