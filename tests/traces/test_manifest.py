"""The manifest: canonical on the way out, strict on the way in."""

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.traces import manifest
from tensorshark.traces.errors import UntrustedError
from tensorshark.traces.manifest import CaptureRecord, StoredSite, TraceManifest, trace_id
from tensorshark.traces.store import Capture

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def _experiment(**changes: Any) -> str:
    site = StoredSite(name="resid_post", layers=[0, 1], axes=["pos", "d_model"], dtype="float32")
    settings: dict[str, Any] = {
        "model_fingerprint": "ab" * 32,
        "token_ids": [1, 2, 3],
        "attention_mask": [1, 1, 1],
        "sites": [site],
        "dtype": "float32",
        "generation": None,
        "interventions": [],
    }
    return trace_id(**(settings | changes))


def test_an_id_is_16_hex_digits_that_never_change() -> None:
    assert _experiment() == _experiment()
    assert _experiment() == "ee33acacaf431bb0"


@pytest.mark.parametrize(
    "changes",
    [
        {"model_fingerprint": "cd" * 32},
        {"token_ids": [1, 2, 4]},
        {"attention_mask": [0, 1, 1]},
        {"sites": [StoredSite(name="resid_post", layers=[0], axes=["pos", "d_model"], dtype="float32")]},
        {"dtype": "bfloat16"},
        {"generation": {"max_new_tokens": "8"}},
        {"interventions": ["zero blocks.0.hook_mlp_out"]},
    ],
)
def test_another_experiment_is_another_id(changes: dict[str, Any]) -> None:
    assert _experiment(**changes) != _experiment()


def test_what_is_written_is_canonical_and_reads_back(capture: Capture) -> None:
    written = next(capture.select()).manifest
    data = manifest.encode(written)
    assert data == rfc8785.dumps(msgspec.to_builtins(written))
    assert manifest.decode(data, TraceManifest, "here") == written


@given(
    labels=st.dictionaries(_TEXT, _TEXT, max_size=4),
    p=st.floats(allow_nan=False, allow_infinity=False),
    prompt=_TEXT,
    seed=st.one_of(st.none(), st.integers(-(2**53) + 1, 2**53 - 1)),
)
def test_the_fast_way_writes_the_bytes_of_rfc8785(
    labels: dict[str, str], p: float, prompt: str, seed: int | None
) -> None:
    record = _manifest(labels=labels, prompt=prompt, next_tokens=[{"id": 1, "token": "a", "p": p}])
    record["provenance"]["seed"] = seed
    built = msgspec.convert(record, TraceManifest)
    assert manifest.encode(built) == rfc8785.dumps(msgspec.to_builtins(built))
    assert manifest.decode(manifest.encode(built), TraceManifest, "here") == built


@pytest.mark.parametrize("p", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_an_error(p: float) -> None:
    built = msgspec.convert(_manifest(next_tokens=[{"id": 1, "token": "a", "p": p}]), TraceManifest)
    with pytest.raises(ValueError):
        manifest.encode(built)


@pytest.mark.parametrize("record", [{"prompt": "\ud800"}, {"labels": {"\udfff": "x"}}])
def test_a_lone_surrogate_is_an_error(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        manifest.encode(msgspec.convert(_manifest(**record), TraceManifest))


_GOOD = {"format": 1, "requires": [], "uuid": "u", "created_at": "t", "tool": "x"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"uuid":"a","uuid":"b"}', "twice"),
        (json.dumps(_GOOD | {"extra": {"a": 1}}).replace('"a"', '"b":2,"b"'), "twice"),
        (json.dumps(_GOOD | {"uuid": 7}), "str"),
        (json.dumps(_GOOD | {"format": True}), "int"),
        (json.dumps(_GOOD | {"format": 2}), "format 2"),
        (json.dumps(_GOOD | {"requires": ["zstd"]}), "zstd"),
        (json.dumps(_GOOD | {"extra": float("nan")}), ""),
        (json.dumps(_GOOD | {"uuid": "\ud800"}), ""),
        ("\ufeff" + json.dumps(_GOOD), ""),
        ("[" * 200_000, ""),
        ('{"extra":' + "[" * 200_000 + "]" * 200_000 + "}", ""),
        ("", ""),
        ("null", ""),
        ("{}", ""),
        (json.dumps(_GOOD)[:-1], ""),
        (json.dumps(_GOOD) + "x", ""),
    ],
)
def test_what_is_not_a_record_is_refused_and_named(text: str, reason: str) -> None:
    with pytest.raises(UntrustedError, match=rf"^somewhere: .*{reason}"):
        manifest.decode(text.encode("utf-8", "surrogatepass"), CaptureRecord, "somewhere")


def test_more_json_than_the_cap_is_refused_unread() -> None:
    with pytest.raises(UntrustedError, match="cap"):
        manifest.decode(b" " * (manifest.MAX_BYTES + 1), CaptureRecord, "somewhere")


def test_fields_of_later_versions_are_read_over() -> None:
    data = json.dumps(_GOOD | {"later": [1, {"x": None}]}).encode()
    assert manifest.decode(data, CaptureRecord, "here").uuid == "u"


def _manifest(**changes: Any) -> dict[str, Any]:
    """The builtins of a manifest without tensors."""
    provenance = {
        "model_fingerprint": "", "tokenizer_sha256": "", "bos": "auto", "bos_added": False,
        "chat_template_sha256": None, "dtype": "float32", "device": "cpu", "attention": "eager", "threads": 1,
        "batch": [1, 1], "versions": {}, "seed": None, "generation": None, "interventions": [], "argv": [],
    }  # fmt: skip
    record = {
        "format": 1, "requires": [], "id": "0" * 16, "model": "m", "captured_at": "", "prompt": "",
        "messages": None, "text": "", "token_ids": [1], "tokens": ["a"], "attention_mask": [1], "spans": [],
        "labels": {}, "sites": [], "tensors": [], "derived": [], "files": [], "next_tokens": [],
        "experts": [], "provenance": provenance,
    }  # fmt: skip
    return record | changes
