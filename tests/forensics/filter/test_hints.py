"""Hints beside a filter that can be read, and the six states, each with its word."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.forensics.filter.context import Context
from tensorshark.traces.index import Index
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('label.category == "injection"', ""),
        ('label.category == "nothing like it"', "no trace here has this value of label.category"),
        ('label.nobody == "x"', "no trace here has label.nobody"),
        ("resid_post.norm#3[-1] > 1", ""),
        ("resid_post.norm#40[-1] > 1", "resid_post.norm has layers 0 to 3 here"),
        ("has(resid_post#40)", "the models here have layers 0 to 3"),
        ("lens.p#40[-1] > 1", "the models here have layers 0 to 3"),
        ("bos and max(resid_post.norm#40) > 1", "resid_post.norm has layers 0 to 3 here"),
    ],
)
def test_what_was_probably_not_meant(index: Index, text: str, hint: str) -> None:
    found = check(text, index)
    assert (found.state, found.reason) == ("ok", hint)


def test_what_was_not_captured_names_what_to_type(tmp_path: Path) -> None:
    source = write_synthetic(tmp_path / "source.tshark", traces=0)
    capture = Capture.create(tmp_path / "few.tshark")
    record = source.model("synthetic")
    bare = msgspec.structs.replace(record, lens=msgspec.structs.replace(record.lens, storage="none"))
    capture.add_model(bare, None, source.vocab("synthetic"))
    manifest, tensors, stats = synthetic_trace(source, "a prompt", {}, seed=1)
    sites = [site for site in manifest.sites if site.name in ("attn_out", "resid_post")]
    kept = {name: array for name, array in tensors.items() if "attn_out" in name or "resid_post" in name}
    stats = {key: array for key, array in stats.items() if "attn_out" in key or "resid_post" in key}
    with capture.writer(sync=False) as writer:
        writer.commit(msgspec.structs.replace(manifest, sites=sites, derived=[]), kept, stats)
    with Index.open(capture) as index:
        found = check("mlp_out.norm#1[-1] > 1", index)
        assert found.reason == "no trace here has mlp_out.norm; capture with --sites mlp_out"
        found = check("entropy.sink#1[-1] > 1", index)
        assert found.reason == "entropy.sink needs attn, which no trace here has; capture with --sites attn"
        found = check("lens.p#1[-1] > 0", index)
        assert found.reason.endswith(
            "needs the lens file, which this capture lacks; capture with --lens-file embed"
        )
        assert len(parse("lens.p#1[-1] > 0").select(index)) == 0
        assert len(parse("norms.growth[-1] > 0").select(index)) == 1


def test_values_that_could_not_be_measured_are_counted(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=3)
    path = capture.trace(capture.ids()[1]).folder / "tensors.safetensors"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    with Index.open(capture) as index:
        assert check("lens.p#3[-1] > 0", index).reason == ""
        parse("lens.p#3[-1] > 0").select(index)
        assert check("lens.p#3[-1] > 0", index).reason.startswith("lens.p is absent in 1 trace: trace ")


def test_states_each_with_its_word(index: Index) -> None:
    states = {
        "": "empty",
        "bos": "ok",
        "bos and": "incomplete",
        "bos and and": "bad",
        "tokens[0] == 'a'": "old",
    }
    assert {text: check(text, index).state for text in states} == states


def test_a_filter_that_has_to_measure_first_is_slow_until_it_has(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=150)
    with Index.open(capture) as index:
        found = check("lens.p#3[-1] > 0.5", index)
        assert found.state == "slow" and "measures 150 traces, once" in found.reason
        parse("lens.p#3[-1] > 0.5").select(index)
        assert check("lens.p#3[-1] > 0.5", index).state == "ok"
        assert check("lens.entropy#3[-1] > 0.5", index).state == "ok", "it came with it"


def test_marks_of_the_case(demo: Capture, index: Index) -> None:
    from tensorshark.traces.case import Case

    with Case.open(demo, write=True) as case:
        case.mark([index.id_of(1)], "odd_one")
        context = Context(case=case)
        assert check("mark.odd_one", index, context=context).reason == ""
        assert check("mark.nobody", index, context=context).reason == "no trace here has the mark nobody"


def test_what_is_missing_is_said_beside_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorshark.tui.cli import main

    capture = write_synthetic(tmp_path / "x.tshark", traces=3)
    path = capture.trace(capture.ids()[1]).folder / "tensors.safetensors"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    words = ["read", str(capture.path), "-T", "fields", "-e", "number", "-e", "lens.top#3[-1]"]
    assert main(words) == 0
    assert "lens.top is absent in 1 trace: trace " in capsys.readouterr().err
    assert main([*words, "-Y", 'label.nobody == "x"']) == 1
    assert "no trace here has label.nobody" in capsys.readouterr().err
    assert main(["read", str(capture.path), "-Y", "seq_len > 1", "-T", "fields", "-e", "id"]) == 0
    assert capsys.readouterr().err == ""
