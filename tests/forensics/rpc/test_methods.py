"""What the methods answer is what the Python surface and the commands say, number for number."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.engine import Engine
from tensorshark.forensics.rpc.methods import METHODS, NOTIFICATIONS, TABLE
from tensorshark.traces.case import Case
from tensorshark.traces.sites import SITES, STAT_FIELDS, stat_key
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cli import main

from .conftest import Client, Start


def same(answer: Any, wanted: Any) -> bool:
    """Equal, where NaN and what is not finite are null in the answer."""
    return bool(answer == json.loads(msgspec.json.encode(wanted)))


def ways(completions: Any) -> Any:
    """Without what is said about each: how many traces have a field is counted little by little."""
    plain = msgspec.to_builtins(completions)
    return [{name: value for name, value in each.items() if name != "detail"} for each in plain]


def test_the_table_is_whole() -> None:
    assert len(METHODS) == len(TABLE)
    for method in TABLE:
        assert method.help.endswith("."), method.name
        msgspec.convert(method.example, method.takes)
        assert method.takes.__struct_config__.forbid_unknown_fields
    assert {note.name for note in NOTIFICATIONS} == {"progress", "found", "traces"}


@pytest.mark.parametrize("text", ["", "seq_len > 3", "seq_len >> 3", "seq_len >", "label.nobody == 'x'"])
def test_check_and_complete(client: Client, example: Capture, text: str) -> None:
    with Engine(example.path) as engine:
        assert same(client.ask("check", {"filter": text}), engine.check(text))
        for position in range(len(text) + 1):
            params = {"filter": text, "position": position}
            assert ways(client.ask("complete", params)["items"]) == ways(engine.complete(text, position))
        assert ways(client.ask("complete", {"filter": text})["items"]) == ways(
            engine.complete(text, len(text))
        )


def test_fields(client: Client, capsys: pytest.CaptureFixture[str], example: Capture) -> None:
    assert main(["fields", str(example.path), "--json"]) == 0
    printed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    found = {each["name"]: each for each in client.ask("fields")["fields"]}
    own = {name for name in found.keys() ^ printed.keys() if not name.startswith(("mark.", "${"))}
    assert not own and "label.category" in found, "the command also lists the marks and macros of a case"
    for name in ("resid_post.norm", "label.category", "cos"):
        one, other = (each.get(name, {}) for each in (found, printed))
        assert one.get("help") == other.get("help") and one.get("axes") == other.get("axes")


@pytest.mark.parametrize("text", ["", 'label.category == "injection"', "resid_post.norm#2[-1] > 4", "bos"])
@pytest.mark.parametrize(("sort", "descending"), [("", False), ("", True), ("resid_post.norm#-1[-1]", True)])
def test_rows(client: Client, example: Capture, text: str, sort: str, descending: bool) -> None:
    params = {"filter": text, "sort": sort, "descending": descending, "offset": 1, "limit": 3}
    answer = client.ask("rows", params)
    with Engine(example.path) as engine:
        numbers = engine.select(text, sort, descending)
        assert answer["total"] == len(numbers) and answer["offset"] == 1
        assert same(answer["rows"], engine.rows(numbers[1:4]))
    assert "cells" not in answer


def test_the_selected_trace(client: Client, example: Capture) -> None:
    """`$` speaks of it: in filters, columns and sort keys, and without one it is an error."""
    text, column = "resid_post.norm#2[-1] > $resid_post.norm#2[-1]", "resid_post.norm#2[-1] - $seq_len"
    for number in (1, 2, 1):
        with Engine(example.path) as engine:
            wanted = engine.select(text, selected=number).tolist()
            cells = engine.values(column, wanted, selected=number)
        name = example.ids()[number - 1] if number == 1 else f"#{number}"
        answer = client.ask("rows", {"filter": text, "columns": [column], "selected": name})
        assert [row["number"] for row in answer["rows"]] == wanted
        assert [cell for (cell,) in answer["cells"]] == cells
    assert client.refuse("rows", {"filter": text})["code"] == -32002
    assert client.refuse("rows", {"filter": text, "selected": "#9"})["code"] == -32003
    assert "selected" in client.ask("check", {"filter": text})["reason"]
    assert client.ask("check", {"filter": text, "selected": "#1"})["reason"] == ""


def test_columns_of_rows_are_those_of_read(
    client: Client, example: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["number", "label.category", "resid_post.norm#1", "max(attn.entropy)", "next.p", "label.none"]
    words = [word for column in columns for word in ("-e", column)]
    assert main(["read", str(example.path), "-T", "jsonl", *words]) == 0
    printed = [list(json.loads(line).values()) for line in capsys.readouterr().out.splitlines()]
    assert client.ask("rows", {"columns": columns})["cells"] == printed


def test_trace(client: Client, example: Capture) -> None:
    ids = example.ids()
    trace = example.trace(ids[4])
    for name in (ids[4], ids[4][:12], "#5"):
        answer = client.ask("trace", {"id": name})
        assert (answer["id"], answer["number"]) == (ids[4], 5)
    for key in ("prompt", "token_ids", "tokens", "labels", "sites", "next_tokens", "experts", "provenance"):
        assert same(answer[key], getattr(trace.manifest, key)), key
    assert [(each["name"], each["start"], each["stop"]) for each in answer["spans"]] == [
        ("prompt", 0, len(trace.tokens))
    ]
    assert {stat_key(name) for name in answer["statistics"]} == set(trace.stats)


@pytest.mark.parametrize("encoding", ["numbers", "base64"])
@pytest.mark.parametrize("layer", [None, 2, -1, [3, 0]])
@pytest.mark.parametrize("pos", ["all[:]", "-1", "prompt[0:2],-1"])
def test_slices_are_what_load_gives(
    client: Client, example: Capture, encoding: str, layer: Any, pos: str
) -> None:
    trace = example.trace(example.ids()[2])
    layers = {None: [0, 1, 2, 3], 2: [2], -1: [3]}.get(layer) if not isinstance(layer, list) else layer
    assert layers is not None
    count = len(trace.tokens)
    tokens = {"all[:]": list(range(count)), "-1": [count - 1], "prompt[0:2],-1": [0, 1, count - 1]}[pos]
    for what in ("resid_post", "attn_out", "resid_post.norm", "attn.entropy"):
        params = {"id": trace.id, "site": what, "layer": layer, "pos": pos, "encoding": encoding}
        answer = client.ask("slice", params)
        if what in STAT_FIELDS:
            wanted = trace.stats[stat_key(what) or ""][layers][..., tokens]
        else:
            wanted = np.stack([trace.load(SITES[what].at(layer))[tokens] for layer in layers])
        assert (answer["layers"], answer["positions"]) == (layers, tokens)
        assert (answer["shape"], answer["dtype"]) == (list(wanted.shape), "float32")
        assert len(answer["axes"]) == wanted.ndim
        if encoding == "base64":
            got = np.frombuffer(base64.b64decode(answer["values"]), "<f4").reshape(answer["shape"])
        else:
            got = np.array(answer["values"], dtype=np.float32)
        assert np.array_equal(got, wanted)


def test_the_lens(client: Client, example: Capture) -> None:
    from tensorshark.forensics.lens import read

    trace = example.trace(example.ids()[1])
    wanted = read(trace, [0, 3], [1, 2], 3)
    answer = client.ask("lens", {"id": "#2", "pos": "all[1:3]", "layer": [0, -1], "top_k": 3})
    assert (answer["layers"], answer["positions"]) == ([0, 3], [1, 2])
    assert answer["token_ids"] == wanted.token_ids.tolist()
    assert np.allclose(answer["probs"], wanted.probs) and np.allclose(answer["kl"], wanted.kl)
    assert answer["rank"] == wanted.rank.tolist()
    vocab = example.vocab("synthetic")
    assert answer["tokens"][0][0] == [vocab[token] for token in answer["token_ids"][0][0]]


def test_run_is_what_run_prints(client: Client, example: Capture, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'label.category in {"fact", "code"}'
    words = ["run", "norms", str(example.path), "-Y", text, "-T", "json", "-o", "position=all[:]"]
    assert main(words) == 0
    params = {"analyzer": "norms", "filter": text, "options": {"position": "all[:]"}}
    assert client.ask("run", params) == json.loads(capsys.readouterr().out)
    assert client.ask("run", {"analyzer": "norms", "filter": "seq_len > 999"})["traces"] == 0


def test_explain_and_why(client: Client, example: Capture) -> None:
    text = 'label.category in {"fact", "code"} and any(resid_post.norm#[1-3][-1] > 3)'
    with Engine(example.path) as engine:
        plan = json.loads(msgspec.json.encode(engine.explain(text)))
        counts = json.loads(msgspec.json.encode(engine.clause_counts(text)))
        why = json.loads(msgspec.json.encode(engine.why(text, [3, 5])))
    answer = client.ask("explain", {"filter": text})
    assert (answer["words"], answer["total"], "counts" in answer) == (plan["words"], 8, False)
    assert [each["clause"] for each in answer["tree"]["parts"]] == [
        each["clause"] for each in plan["tree"]["parts"]
    ]
    assert client.ask("explain", {"filter": text, "counts": True})["counts"] == counts
    assert client.ask("why", {"filter": text, "ids": ["#5", "#1", "#3"]})["why"] == [why[1], [], why[0]]
    assert client.refuse("explain", {"filter": "seq_len >"})["data"]["incomplete"] is True


def test_notes_go_into_the_case(serve: Start, tmp_path: Path) -> None:
    """And what they say is filtered by at once: pages that are kept are not kept too long."""
    capture = write_synthetic(tmp_path / "noted.tshark", traces=4)
    client = serve(capture.path, "--stdio")
    rows = {"filter": "mark.suspect"}
    assert client.ask("rows", rows)["total"] == 0
    say = {"action": "mark", "ids": ["#2", capture.ids()[3]], "text": "suspect"}
    assert client.ask("note", say) == {"changed": 2}
    assert client.ask("note", say) == {"changed": 0}
    assert [row["number"] for row in client.ask("rows", rows)["rows"]] == [2, 4]
    client.ask("note", {"action": "note", "ids": ["#2"], "text": "odd", "token": 1, "layer": 2})
    client.ask("note", {"action": "tag", "ids": ["#2"], "text": "loud one"})
    facts = client.ask("trace", {"id": "#2"})
    [mark], [tag], [note] = facts["marks"], facts["tags"], facts["notes"]
    assert (mark["text"], mark["token"], tag["text"]) == ("suspect", None, "loud one")
    assert (note["text"], note["token"], note["layer"]) == ("odd", 1, 2) and note["by"] and note["at"]
    assert client.ask("note", {"action": "strike", "text": note["id"]}) == {"changed": 1}
    assert client.ask("note", {"action": "undo"})["changed"] == 1
    assert len(client.ask("trace", {"id": "#2"})["notes"]) == 1
    with Case.open(capture) as case:
        assert case.marked("suspect") == {capture.ids()[1], capture.ids()[3]}
    assert client.refuse("note", {"action": "mark", "ids": ["#9"]})["code"] == -32003
    assert client.refuse("note", {"action": "mark", "ids": ["#1"], "text": "no spaces"})["code"] == -32002
    assert client.refuse("note", {"action": "mark", "ids": ["#1"], "layer": 1})["code"] == -32002
    assert client.refuse("note", {"action": "burn"})["code"] == -32602
    line = {
        "jsonrpc": "2.0",
        "method": "note",
        "params": {"action": "unmark", "ids": ["#2"], "text": "suspect"},
    }
    client.write(json.dumps(line).encode())
    assert [row["number"] for row in client.ask("rows", rows)["rows"]] == [4], "a notification has its effect"


def test_a_long_scan_shows_what_it_finds(serve: Start, tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "many.tshark", traces=600, d_model=64, layers=6)
    client = serve(capture.path, "--stdio")
    client.ask("rows", {"limit": 0})
    text = "sum(resid_post.norm#1[0:3]) - min(attn_out.norm#2[1:4]) > 0"
    id = client.send("rows", {"filter": text, "limit": 20, "found": True})
    answer = client.answer(id)["result"]
    notes = [note["params"] for note in client.notifications if note["method"] == "found"]
    assert notes, "it should take longer than a tenth of a second"
    for note in notes:
        assert note["request"] == id and note["done"] <= note["total"]
        if "rows" in note:
            assert answer["rows"][: len(note["rows"])] == note["rows"], "in capture order a page only grows"
    assert [note["found"] for note in notes] == sorted(note["found"] for note in notes)
    assert notes[-1]["found"] <= answer["total"]


def test_stats_are_what_stats_prints(
    client: Client, example: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--by", "label.category", "-e", "resid_post.norm#2[-1]", "-e", "seq_len", "--pairs"]
    assert main(["stats", str(example.path), *words, "-T", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    params = {"by": ["label.category"], "expressions": ["resid_post.norm#2[-1]", "seq_len"], "pairs": True}
    answer = client.ask("stats", params)
    assert answer["summaries"] == printed["summaries"] and answer["contrasts"] == printed["contrasts"]
    assert client.refuse("stats", {"quantiles": [2]})["code"] == -32002


def test_similar_is_what_similar_prints(
    client: Client, example: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    for metric in ("cos", "l2"):
        words = ["-k", "3", "--layer", "2", "--metric", metric, "-Y", "seq_len > 7", "-T", "json"]
        assert main(["similar", str(example.path), "#4", *words]) == 0
        printed = json.loads(capsys.readouterr().out)
        params = {"id": "#4", "k": 3, "layer": 2, "metric": metric, "filter": "seq_len > 7"}
        answer = client.ask("similar", params)
        assert [(hit["score"], hit["row"]["id"]) for hit in answer["hits"]] == [
            (hit["score"], hit["id"]) for hit in printed["hits"]
        ]
        assert answer["id"] == example.ids()[3]


def test_status(client: Client, example: Capture) -> None:
    answer = client.ask("status")
    assert (answer["uuid"], answer["traces"], answer["behind"]) == (example.uuid, 8, False)
    assert answer["capture"] == str(example.path) and answer["running"] == []


@pytest.mark.parametrize(
    ("method", "params", "code", "part"),
    [
        ("rows", {"filter": "seq_len >> 3"}, -32002, ""),
        ("rows", {"sort": "resid_post.norm"}, -32002, "several"),
        ("rows", {"columns": ["nonsense("]}, -32002, ""),
        ("rows", {"limit": 1001}, -32602, "$.limit"),
        ("rows", {"offset": -1}, -32602, "$.offset"),
        ("rows", {"filter": "x" * 70_000}, -32602, "$.filter"),
        ("rows", {"filter": "x" * 60_000}, -32002, ""),
        ("rows", {"limits": 1}, -32602, "limits"),
        ("rows", ["", "", False, 0, 1, [], False, "", 3], -32602, "at most"),
        ("row", {}, -32601, "did you mean rows"),
        ("rpc.discover", {}, -32601, "no method"),
        ("trace", {"id": "ffff"}, -32003, "no trace"),
        ("trace", {"id": "#9"}, -32003, "no trace number 9"),
        ("trace", {"id": "#0"}, -32003, "no trace"),
        ("trace", {}, -32602, "id"),
        ("slice", {"id": "#1", "site": "pattern"}, -32003, "captured were"),
        ("slice", {"id": "#1", "site": "../../etc/passwd"}, -32003, "captured were"),
        ("slice", {"id": "#1", "site": "resid_post", "layer": 4}, -32003, "layer 4"),
        ("slice", {"id": "#1", "site": "resid_post", "pos": "response[-1]"}, -32003, "no span"),
        ("slice", {"id": "#1", "site": "resid_post", "pos": "(("}, -32002, "cannot be read"),
        ("slice", {"id": "#1", "site": "resid_post", "encoding": "pickle"}, -32602, "$.encoding"),
        ("lens", {"id": "#1", "layer": 9}, -32003, "layer 9"),
        ("lens", {"id": "#1", "top_k": 1000}, -32602, "$.top_k"),
        ("run", {"analyzer": "nothing"}, -32002, "no analyzer"),
        ("run", {"analyzer": "norms", "options": {"x": "1"}}, -32002, "no option"),
        ("run", {"analyzer": "norms", "options": {"x": None}}, -32602, "$.options"),
        ("cancel", {"request": 1.5}, -32602, "$.request"),
    ],
)
def test_what_cannot_be_used_is_refused(
    client: Client, method: str, params: Any, code: int, part: str
) -> None:
    error = client.refuse(method, params)
    assert error["code"] == code, error
    assert part in error["message"] and "\n" not in error["message"]
    if -32010 < code <= -32000:
        assert error["data"]["exit_code"] == -32000 - code


def test_parameters_go_by_position_too(client: Client) -> None:
    assert client.ask("rows", ["seq_len > 0", "", False, 2, 1])["rows"][0]["number"] == 3


def test_numbers_are_exact(client: Client, example: Capture) -> None:
    trace = example.trace(example.ids()[0])
    answer = client.ask("slice", {"id": "#1", "site": "resid_post", "layer": 1})
    flat = np.array(answer["values"])
    assert flat.dtype == np.float64
    assert np.array_equal(flat[0], trace.load("blocks.1.hook_resid_post").astype(np.float64))
    assert all(math.isfinite(each) for each in flat.ravel())
