"""One trace: what it says, what it loads, and what it will not believe."""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorshark.traces import manifest, trace
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError, UsageError
from tensorshark.traces.manifest import TraceManifest
from tensorshark.traces.sites import DEFAULT_SITES, SITES
from tensorshark.traces.store import Capture, Trace
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic
from tensorshark.traces.tensors import Array


def _commit(capture: Capture, tensors: dict[str, Array], stats: dict[str, Array] | None = None) -> Trace:
    """A trace with these tensors instead of its own."""
    made, _, _ = synthetic_trace(capture, "a b c", {}, seed=len(capture) + 100)
    with capture.writer(sync=False) as writer:
        full = writer.commit(made, tensors, stats or {})
    assert full is not None
    return capture.trace(full.id)


def test_a_trace_says_what_was_captured(capture: Capture) -> None:
    one = next(capture.select())
    assert one.prompt == one.text == "The password for the northern 0-0 server is"
    assert "".join(one.tokens) == one.prompt
    assert len(one.token_ids) == len(one.tokens) == 8
    assert one.labels == {"category": "credential", "split": "demo"}
    assert one.tokens[one.spans["prompt"]] == one.tokens
    assert list(one.sites) == [*DEFAULT_SITES, "attn"]
    assert one.sites["attn"].axes == ["head", "pos"]
    assert one.model.name == one.manifest.model == "synthetic"
    assert one.capture is capture


def test_names_are_in_the_order_in_which_things_happen(capture: Capture) -> None:
    one = next(capture.select())
    assert one.tensor_names == [SITES[site].at(layer) for layer in range(4) for site in DEFAULT_SITES]


def test_every_tensor_is_loaded_as_it_was_captured(capture: Capture) -> None:
    _, captured, stats = synthetic_trace(capture, "The password for the northern 0-0 server is", {}, seed=0)
    one = next(capture.select())
    for name in reversed(one.tensor_names):
        assert one.load(name).tobytes() == captured[name].tobytes(), name
        assert one.load(name).shape == (8, 16)
        assert not one.load(name).flags.writeable
    assert one.stats.keys() == stats.keys()
    for name, value in stats.items():
        assert one.stats[name].tobytes() == value.tobytes()
        assert one.stats[name].shape == value.shape
    assert one.stats["norm.resid_post"].shape == (4, 8)
    assert one.stats["attn.entropy"].shape == (4, 2, 8)


def test_only_what_cannot_be_rebuilt_is_stored(capture: Capture) -> None:
    one = next(capture.select())
    stored = {tensor.name for tensor in one.manifest.tensors}
    assert len(stored) == 9
    assert len(one.manifest.derived) == 7
    by_name = {tensor.name: tensor for tensor in one.manifest.derived}
    assert by_name["blocks.2.hook_resid_pre"].of == ["blocks.1.hook_resid_post"]
    assert by_name["blocks.2.hook_resid_post"].of == [
        "blocks.2.hook_resid_pre",
        "blocks.2.hook_attn_out",
        "blocks.2.hook_mlp_out",
    ]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_rebuilt_in_half_precision(capture: Capture, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    stream = rng.standard_normal((3, 16)).astype(dtype)
    captured: dict[str, Array] = {}
    for layer in range(4):
        attention, mlp = rng.standard_normal((2, 3, 16)).astype(dtype)
        captured[SITES["resid_pre"].at(layer)] = stream
        captured[SITES["attn_out"].at(layer)] = attention
        captured[SITES["mlp_out"].at(layer)] = mlp
        stream = (stream + attention) + mlp
        captured[SITES["resid_post"].at(layer)] = stream
    one = _commit(capture, captured)
    assert len(one.manifest.tensors) == 9
    for name, array in captured.items():
        assert one.load(name).dtype == dtype
        assert one.load(name).tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    changed=st.sets(st.tuples(st.integers(0, 3), st.sampled_from(DEFAULT_SITES)), max_size=4),
    asked=st.randoms(use_true_random=False),
)
def test_what_goes_in_comes_out_through_the_disk_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, dtype: Any, shape: tuple[int, int], changed: Any, asked: Any
) -> None:
    capture = write_synthetic(tmp_path_factory.mktemp("t") / "a", traces=0)
    rng = np.random.default_rng(1)
    stream = rng.standard_normal(shape).astype(dtype)
    captured: dict[str, Array] = {}
    for layer in range(4):
        attention, mlp = rng.standard_normal((2, *shape)).astype(dtype)
        after = (stream + attention) + mlp
        values = {"resid_pre": stream, "attn_out": attention, "mlp_out": mlp, "resid_post": after}
        for site, value in values.items():  # a changed one no longer adds up
            odd = (layer, site) in changed
            captured[SITES[site].at(layer)] = np.nextafter(value, value + dtype(1)) if odd else value
        stream = after
    one = _commit(capture, captured)
    for name in asked.sample(list(captured), len(captured)):
        assert one.load(name).dtype == captured[name].dtype
        assert one.load(name).tobytes() == captured[name].tobytes()


def test_a_long_chain_is_linear_and_keeps_to_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = write_synthetic(tmp_path / "a", traces=1, layers=60, d_model=8)
    sums = 0
    rebuild = trace.residuals.rebuild

    def counted(parts: Any) -> Array:
        nonlocal sums
        sums += 1
        return rebuild(parts)

    monkeypatch.setattr(trace.residuals, "rebuild", counted)
    one = next(capture.select())
    everything = {name: one.load(name).tobytes() for name in one.tensor_names}
    assert sums == len(one.manifest.derived) == 119

    sums = 0
    monkeypatch.setattr(trace, "CACHE_BYTES", 1)
    tight = next(capture.select())
    for name in tight.tensor_names:
        assert tight.load(name).tobytes() == everything[name]
        assert len(tight._cache) <= 4
    assert sums == 119
    assert tight.load(tight.tensor_names[-1]).tobytes() == everything[tight.tensor_names[-1]]
    assert tight.load("blocks.30.hook_resid_post").tobytes() == everything["blocks.30.hook_resid_post"]


def test_a_name_that_is_not_there_says_what_is(capture: Capture) -> None:
    one = next(capture.select())
    with pytest.raises(NotFoundError, match=r"resid_post of layers 0-3"):
        one.load("blocks.4.hook_resid_post")
    with pytest.raises(NotFoundError, match=r"\\x1b"):
        one.load("\x1b[2J")


def test_a_trace_without_statistics_has_none(capture: Capture) -> None:
    _, tensors, _ = synthetic_trace(capture, "a b c", {}, seed=1)
    one = _commit(capture, dict(tensors))
    assert one.stats == {}
    assert [file.name for file in one.manifest.files] == ["tensors.safetensors"]


def test_layers_of_a_statistic_are_the_models(capture: Capture) -> None:
    one = next(capture.select())
    assert one.stat_layers("norm.resid_post") == one.stat_layers("attn.sink") == [0, 1, 2, 3]
    assert one.stat_layers("norm.nothing") == []


@pytest.mark.parametrize("name", ["trace.json", "tensors.safetensors", "stats.safetensors"])
def test_damage_to_any_byte_is_found_and_no_value_is_shown(tmp_path: Path, name: str) -> None:
    write_synthetic(tmp_path / "a", traces=1, layers=1, d_model=2, vocab=4, prompts=["a b"])
    (path,) = (tmp_path / "a").glob(f"traces/*/*/{name}")
    good = path.read_bytes()
    one = next(Capture.open(tmp_path / "a").select())
    whole = {tensor: one.load(tensor).tobytes() for tensor in one.tensor_names}
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :])
        found = 0
        try:
            one = Capture.open(tmp_path / "a").trace(one.id)
        except IntegrityError:
            continue
        for tensor in one.tensor_names:
            try:
                assert one.load(tensor).tobytes() == whole[tensor], position
            except IntegrityError:
                found += 1
        try:
            _ = one.stats
        except IntegrityError:
            found += 1
        assert found, position
    for other in (good[:-1], good + b"\0", b""):
        path.write_bytes(other)
        with pytest.raises(IntegrityError, match=one.id):
            Capture.open(tmp_path / "a").trace(one.id).verify()
    path.write_bytes(good)
    Capture.open(tmp_path / "a").trace(one.id).verify()


def test_a_thread_that_takes_small_numbers_for_zero_gets_no_sum(
    capture: Capture, flushing_subnormals: Callable[[], AbstractContextManager[None]]
) -> None:
    one = next(capture.select())
    with flushing_subnormals():
        assert one.load("blocks.0.hook_mlp_out").any()
        with pytest.raises(UsageError, match="set_flush_denormal"):
            one.load("blocks.0.hook_resid_post")
    assert one.load("blocks.0.hook_resid_post").any()


# --- manifests that were made to mislead: consistent with the journal, so only our rules can tell ---


def _forge(capture: Capture, change: Any) -> str:
    """Rewrite the first trace's manifest, and the journal so that its hash fits."""
    victim = capture.ids()[0]
    path = trace.folder(capture.path, victim) / "trace.json"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    new = hashlib.sha256(path.read_bytes()).hexdigest()
    (journal,) = (capture.path / "journal").iterdir()
    journal.write_text(journal.read_text().replace(old, new))
    return victim


def _derive(name: str, *of: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "of": list(of), "dtype": "float32", "shape": [8, 16]} | changes


def _resum(record: dict[str, Any], *of: str) -> None:
    """Say that the second layer's resid_post is the sum of other parts than it is."""
    (step,) = [step for step in record["derived"] if step["name"] == "blocks.1.hook_resid_post"]
    step["of"] = [SITES[site].at(int(layer)) for site, layer in (part.split(" ") for part in of)]


_A, _B = "blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(id="0" * 16),
        lambda r: r.update(tokens=r["tokens"][:-1]),
        lambda r: r.update(attention_mask=[]),
        lambda r: r["spans"].append({"name": "x", "start": 2, "stop": 99}),
        lambda r: r["spans"].append({"name": "x", "start": -3, "stop": 2}),
        lambda r: r["spans"].append({"name": "x", "start": 3, "stop": 2}),
        lambda r: r["tensors"].append(r["tensors"][0]),
        lambda r: r["tensors"][0].update(name="../../x"),
        lambda r: r["derived"].extend([_derive(_A, _B), _derive(_B, _A)]),
        lambda r: r["derived"].append(_derive(_A, _A)),
        lambda r: r["derived"].append(_derive(_A)),
        lambda r: r["derived"].append(_derive(_A, *["blocks.0.hook_mlp_out"] * 9)),
        lambda r: r["derived"].append(_derive(_A, "blocks.0.hook_mlp_out")),
        lambda r: r["derived"][0].update(of=[]),
        lambda r: r["derived"][0].update(shape=[4, 32]),
        lambda r: r["derived"][0].update(dtype="float16"),
        lambda r: _resum(r, "resid_pre 1", "attn_out 1"),
        lambda r: _resum(r, "resid_pre 1", "attn_out 0", "mlp_out 1"),
        lambda r: _resum(r, "resid_pre 1", "mlp_out 1", "attn_out 1"),
        lambda r: _resum(r, "resid_post 0", "attn_out 1", "mlp_out 1"),
        lambda r: r["files"].append({"name": "../../../../etc/passwd", "size": 1, "sha256": ""}),
        lambda r: r["files"].append(r["files"][0]),
        lambda r: r.update(files=[]),
        lambda r: r.update(requires=["quantum"]),
        lambda r: r.update(token_ids=["1"] * 8),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(capture: Capture, change: Any) -> None:
    victim = _forge(capture, change)
    with pytest.raises(UntrustedError, match=victim):
        Capture.open(capture.path).trace(victim)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["tensors"][0].update(sha256="0" * 64),
        lambda r: r["tensors"][0].update(dtype="int32"),
        lambda r: r["tensors"][0].update(shape=[16, 8]),
        lambda r: r["files"][0].update(size=1),
        lambda r: r["files"][0].update(sha256="0" * 64),
        lambda r: r["files"][1].update(size=1),
        lambda r: r["files"][1].update(sha256="0" * 64),
    ],
)
def test_a_manifest_that_contradicts_the_files_shows_no_value(capture: Capture, change: Any) -> None:
    victim = _forge(capture, change)
    with pytest.raises((IntegrityError, UntrustedError), match=victim):
        one = Capture.open(capture.path).trace(victim)
        for name in one.tensor_names:
            one.load(name)
        one.stats["norm.resid_post"]


def test_a_header_that_was_committed_breaking_a_rule_is_refused_not_called_damage(capture: Capture) -> None:
    path = trace.folder(capture.path, capture.ids()[0]) / "tensors.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")

    def admit(record: dict[str, Any]) -> None:
        record["files"][0].update(size=path.stat().st_size)  # its hash is over the header, which is as it was

    one = Capture.open(capture.path).trace(_forge(capture, admit))
    with pytest.raises(UntrustedError, match="last tensor"):
        one.load("blocks.0.hook_mlp_out")


def test_the_manifest_of_a_trace_reads_back_from_plain_json(capture: Capture) -> None:
    one = next(capture.select())
    plain = json.loads((one.folder / "trace.json").read_text())
    assert msgspec.convert(plain, TraceManifest) == one.manifest
    assert manifest.encode(one.manifest) == (one.folder / "trace.json").read_bytes()
