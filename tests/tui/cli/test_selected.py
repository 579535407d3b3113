"""`--selected`: the trace that `$` speaks of, in every command that takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorshark.forensics.engine import Engine
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

Output = pytest.CaptureFixture[str]
LONGER = "seq_len > $seq_len"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight traces of several lengths."""
    return write_synthetic(tmp_path_factory.mktemp("selected") / "x.tshark").path


@pytest.fixture(scope="module")
def longer(capture: Path) -> list[int]:
    """Numbers of the traces that are longer than trace 2."""
    with Engine(capture) as engine:
        lengths = engine.values("seq_len", range(1, 9))
    found = [number for number, length in enumerate(lengths, 1) if length > lengths[1]]
    assert 0 < len(found) < 7
    return found


def test_read_compares_with_it_in_filters_columns_and_reasons(
    capture: Path, longer: list[int], capsys: Output
) -> None:
    columns = ["-e", "number", "-e", "$seq_len"]
    words = ["read", str(capture), "--selected", "#2", "-Y", LONGER, "-T", "json", *columns]
    assert main(words) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [each["number"] for each in found] == longer
    for each in found:
        (cell,) = each["why"][0]["cells"]
        assert cell["other"] == each["$seq_len"] < cell["value"]
    assert err == "", "nothing says that no trace is selected"


def test_the_plan_and_the_check_know_it(capture: Path, longer: list[int], capsys: Output) -> None:
    assert main(["filter", "explain", str(capture), LONGER, "--count", "--json", "--selected", "#2"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"][0]["count"] == len(longer)
    assert main(["filter", "check", LONGER, str(capture), "--selected", "#2"]) == 0
    assert "no trace is selected" not in capsys.readouterr().out
    assert main(["filter", "check", LONGER, "--selected", "#2"]) == 2
    assert "filter check FILTER CAPTURE" in capsys.readouterr().err


def test_groups_marks_and_likeness_know_it(capture: Path, longer: list[int], capsys: Output) -> None:
    assert main(["stats", str(capture), "--by", LONGER, "-T", "csv", "--selected", "#2"]) == 0
    assert f"true,{len(longer)}," in capsys.readouterr().out
    assert main(["note", str(capture), "-Y", LONGER, "--tag", "long", "--selected", "#2"]) == 0
    assert f"{len(longer)} trace" in capsys.readouterr().err
    assert main(["similar", str(capture), "#2", "-Y", LONGER, "-T", "json"]) == 0
    assert {hit["number"] for hit in json.loads(capsys.readouterr().out)["hits"]} == set(longer)


@pytest.mark.parametrize(
    "words",
    [
        ["read", "X", "-Y", LONGER],
        ["read", "X", "-e", "$seq_len"],
        ["filter", "explain", "X", LONGER, "--count"],
        ["stats", "X", "-e", "$seq_len"],
        ["note", "X", "-Y", LONGER, "--mark"],
    ],
)
def test_without_it_the_message_says_how(words: list[str], capture: Path, capsys: Output) -> None:
    assert main([str(capture) if word == "X" else word for word in words]) == 2
    err = capsys.readouterr().err
    assert "no trace is selected" in err and "name it with --selected '#NUMBER'" in err


def test_a_trace_that_is_not_there(capture: Path, capsys: Output) -> None:
    assert main(["read", str(capture), "-Y", LONGER, "--selected", "#99"]) == 3
    assert "no trace #99; the capture has #1 to #8" in capsys.readouterr().err
