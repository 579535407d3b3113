"""`tensorshark run`, as a user calls it: stdout is data, stderr narration, exit codes mean something."""

from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

LABELS = [{"category": "injection"}, {"category": "fact"}]
EVIL = "\x1b]52;c;aGk=\x07 [@click=app.quit]x[/] \u202egnp \x9b31m =cmd()"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = tmp_path_factory.mktemp("run") / "x.tshark"
    write_synthetic(where, traces=4, layers=3, labels=LABELS)
    return str(where)


def install(folder: Path, package: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one analyzer, `package:It`, as if it had been installed."""
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[tensorshark.analyzers]\n{package} = {package}:It\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()


ANALYZER = '''
from tensorshark.forensics import Analyzer
class It(Analyzer):
    """Made for a test."""
    name = "it"
    def run(self, view, options):
        for trace in view.progress():
            {body}
            yield trace.row(x=trace.number)
'''


def test_text_is_the_default(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "norms", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("norms\nnumber  trace") and "\n\ngrowth\n" in out and err == ""
    assert "injection (2)" in out and "fact (2)" in out


def test_the_filter_and_the_limit_choose_the_traces(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "norms", path, "-Y", 'label.category == "fact"', "-T", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {row[0] for row in data["runs"][0]["results"][0]["rows"]} == {2, 4} and data["traces"] == 2
    assert main(["run", "norms", path, "--limit", "3", "-T", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {row[0] for row in data["runs"][0]["results"][0]["rows"]} == {1, 2, 3}
    assert main(["run", "norms", path, "-Y", 'label.category == "none"']) == 1
    assert capsys.readouterr() == ("", "tensorshark: no trace matches the filter\n")
    assert main(["run", "norms", path, "-Y", "label.category =="]) == 2


def test_json_has_its_documented_shape(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "norms,entropy", path, "-o", "position=0", "-o", "by=category", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["format"], data["filter"], data["traces"]) == (1, "", 4)
    norms, entropy = data["runs"]
    assert norms["analyzer"] == "norms" and norms["options"] == {"position": "0", "by": "category"}
    assert entropy["analyzer"] == "entropy" and entropy["options"] == {"position": "0"}
    assert [result["kind"] for result in norms["results"]] == ["table", "table", "lines"]
    assert [result["kind"] for result in entropy["results"]] == ["table", "lines", "heatmap", "text"]


def test_jsonl_is_a_line_per_row(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "logit-lens", path, "-T", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["row"] * 12 + ["lines"]
    assert all(line["analyzer"] == "logit-lens" for line in lines)
    assert set(lines[0]["cells"]) >= {
        "layer",
        "position",
        "token",
        "entropy",
        "kl",
        "kl_reverse",
        "rank",
        "top1",
        "p1",
    }


def test_csv_and_one_result(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "norms", path, "-T", "csv", "--result", "growth"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 16 and err == "" and float(rows[0]["growth"]) > 0
    assert main(["run", "norms", path, "-T", "csv"]) == 0
    out, err = capsys.readouterr()
    assert len(out.split("\n\n")) == 3 and "--result prints one of: norms, growth" in err
    assert main(["run", "norms", path, "--result", "nope"]) == 1
    assert "there are: norms, growth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["norm"], 2, "did you mean norms"),
        (["norms", "-o", "positon=1"], 2, "did you mean position"),
        (["norms", "-o", "position=prompt["], 2, "cannot be read"),
        (["norms", "-o", "position"], 2, "expected NAME=VALUE"),
        (["norms,entropy", "-o", "zzz=1"], 2, "no option zzz"),
        (["norms", "--limit", "0"], 2, "--limit"),
        (["diff"], 2, "4 are selected"),
        (["diff", "-o", "a=#1", "-o", "b=#9"], 3, "no trace #9"),
        (["diff", "-o", "a=#1", "-o", "b=#1"], 1, "same trace"),
        (["norms", "-o", "position=response[0]"], 1, "no span response"),
    ],
)
def test_what_goes_wrong_has_a_code_and_a_word(
    path: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", words[0], path, *words[1:]]) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err


def test_a_capture_that_is_not_there_or_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "norms", str(tmp_path / "no.tshark")]) == 3
    Capture.create(tmp_path / "empty.tshark")
    assert main(["run", "norms", str(tmp_path / "empty.tshark")]) == 1
    assert "the capture has no traces" in capsys.readouterr().err
    assert main(["run"]) == 2


def test_a_failure_is_7_and_the_others_are_printed(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "runfails", ANALYZER.format(body="assert trace.number != 2, 'number two'"), monkeypatch)
    assert main(["run", "runfails,norms", path]) == 7
    out, err = capsys.readouterr()
    assert out.startswith("runfails\n") and "\n\nnorms\n" in out
    assert "failed: runfails: trace" in err and "AssertionError: number two" in err
    assert main(["run", "runfails", path, "-T", "json"]) == 7
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert [result["kind"] for result in results] == ["table", "failed"] and len(results[0]["rows"]) == 3


def test_an_import_error_is_7_and_the_others_are_printed(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "runburns", "import a_module_that_is_not_there", monkeypatch)
    assert main(["run", "runburns,norms", path, "-o", "position=0"]) == 7
    out, err = capsys.readouterr()
    assert out.startswith("norms\n") and "runburns cannot be loaded: ModuleNotFoundError" in err


def test_what_a_plugin_prints_is_not_data(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "runprints", ANALYZER.format(body="print('debugging')"), monkeypatch)
    assert main(["run", "runprints", path, "-T", "jsonl"]) == 0
    out, err = capsys.readouterr()
    assert len([json.loads(line) for line in out.splitlines()]) == 4 and "debugging" in err


def test_the_list_imports_no_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        tmp_path, "runlisted", "raise RuntimeError('imported')\n" + ANALYZER.format(body="pass"), monkeypatch
    )
    assert main(["run", "--list"]) == 0
    out = capsys.readouterr().out
    assert "norms" in out and "runlisted 0.1" in out and "Made for a test." in out
    assert main(["run", "--list", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert [option["name"] for option in listed["diff"]["options"]] == ["a", "b", "force", "tolerance"]
    assert listed["norms"]["fields"][0]["name"] == "norms.growth"
    assert listed["runlisted"]["origin"] == "runlisted 0.1"
    assert "runlisted" not in sys.modules
    assert main(["run", "--list", "-T", "csv"]) == 0
    assert "runlisted" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["norms", "--help"], ["--help", "norms"], ["norms", "x.tshark", "-h"]])
def test_help_of_one_analyzer_shows_its_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) == 0
    out = capsys.readouterr().out
    assert "-o position=STR" in out and "which tokens" in out and "norms.growth" in out and "Examples:" in out


def test_plain_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out and "norms.growth" not in out


@pytest.mark.parametrize("kind", ["text", "csv", "json", "jsonl"])
def test_hostile_tokens_reach_no_terminal(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "x.tshark"
    write_synthetic(where, traces=2, layers=2, prompts=[EVIL, EVIL + " more"], labels=[{"category": EVIL}])
    assert main(["run", "norms,logit-lens", str(where), "-T", kind, "-o", "position=all[:]"]) == 0
    assert main(["run", "diff", str(where), "-T", kind]) == 0
    out, err = capsys.readouterr()
    assert all(char == "\n" or char.isprintable() for char in out + err)
    assert "x1b" in out or "u001b" in out


def test_a_headless_run_imports_no_screen_and_no_torch(path: str) -> None:
    script = (
        "import sys\n"
        "from tensorshark.tui.cli import main\n"
        f"assert main(['run', 'logit-lens', {path!r}]) == 0\n"
        "heavy = {'torch', 'textual', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
