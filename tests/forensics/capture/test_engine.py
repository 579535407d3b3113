"""A capture run from prompts to the disk: resumable, interruptible, and exact when it is read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tensorshark.forensics import lens as logit_lens
from tensorshark.forensics.capture import CaptureSettings, Interrupted, Progress, Prompt, Summary, capture
from tensorshark.forensics.capture.committer import Committer
from tensorshark.forensics.capture.engine import is_out_of_memory
from tensorshark.forensics.capture.forward import Recorder, Row
from tensorshark.forensics.capture.prompts import read_prompts
from tensorshark.forensics.corpus import DEMO
from tensorshark.traces.errors import NotFoundError, StorageError
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES, SITES
from tensorshark.traces.store import Capture, Writer

from .conftest import loaded

pytestmark = pytest.mark.model

PROMPTS = [
    Prompt("Hi", labels={"category": "prose"}, where="c:1"),
    Prompt("The capital of France is", labels={"category": "fact"}, where="c:2"),
    Prompt("Grüße, 東京 \x1b[31m", where="c:3"),
    Prompt("def f(x):", where="c:4"),
    Prompt("a" * 40, where="c:5"),
]


@pytest.fixture
def llama(tiny: Callable[[str], Path], home: Path) -> str:
    """A tiny model's folder, for `CaptureSettings.model`."""
    return str(tiny("llama"))


@pytest.fixture(params=[False, True], ids=["between the passes", "beside the pass"])
def beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Hashing and writing as it is done for a pass on the processor, and on an accelerator."""
    original = Committer.__init__

    def made(self: Committer, capture: Capture, manifests: Any, beside_the_pass: bool, **rest: Any) -> None:
        original(self, capture, manifests, request.param, **rest)

    monkeypatch.setattr(Committer, "__init__", made)
    return bool(request.param)


def ran(path: Path, model: str, prompts: Sequence[Prompt] = PROMPTS, **settings: Any) -> Summary:
    return capture(prompts, path, CaptureSettings(model=model, **settings))


def test_what_is_read_back_is_what_flowed(tmp_path: Path, llama: str, beside: bool) -> None:
    """Every site of every trace, derived ones included, equals a pass of its own bit for bit."""
    summary = ran(tmp_path / "c.tshark", llama, batch_size=1)
    assert (summary.captured, summary.skipped, summary.failed) == (5, 0, [])
    model = loaded(Path(llama))
    recorder = Recorder(model, DEFAULT_SITES, range(3), 3)
    opened = Capture.open(tmp_path / "c.tshark")
    for trace in opened.select(""):
        [row] = recorder.run([trace.token_ids])
        assert trace.tensor_names == sorted(row.tensors, key=list(row.tensors).index)
        for name, expected in row.tensors.items():
            assert np.array_equal(trace.load(name).view("u4"), expected.view("u4")), name
        assert len(trace.manifest.tensors) == 7 and len(trace.manifest.derived) == 5
        assert [token.id for token in trace.manifest.next_tokens[:3]] == row.next_ids
    assert summary.tokens == sum(len(trace.token_ids) for trace in opened.select(""))
    assert summary.bytes == opened.sizes().traces


def test_the_manifest_tells_how_it_came_to_be(tmp_path: Path, llama: str) -> None:
    ran(tmp_path / "c.tshark", llama, bos="always", argv=("tensorshark", "capture", "-p", "…"))
    opened = Capture.open(tmp_path / "c.tshark")
    trace = next(trace for trace in opened.select("") if trace.prompt == PROMPTS[1].text)
    manifest, record = trace.manifest, opened.model(trace.manifest.model)
    assert manifest.labels == {"category": "fact"}
    assert trace.tokens[0] == "<s>" and "".join(trace.tokens[1:]) == manifest.text == PROMPTS[1].text
    assert manifest.attention_mask == [1] * len(trace.token_ids)
    assert trace.spans == {"prompt": slice(0, len(trace.token_ids))}
    assert [site.name for site in manifest.sites] == [*DEFAULT_SITES, ATTENTION]
    assert all(site.layers == [0, 1, 2] for site in manifest.sites)
    provenance = manifest.provenance
    assert provenance.model_fingerprint == record.fingerprint == loaded(Path(llama)).fingerprint
    assert (provenance.bos, provenance.bos_added, provenance.attention) == ("always", True, "eager")
    assert provenance.batch == [5, 41]
    assert provenance.chat_template_sha256 is None
    assert provenance.versions["torch"] == torch.__version__
    assert provenance.argv == ["tensorshark", "capture", "-p", "…"]
    assert (record.architecture, record.layers, record.heads, record.kv_heads) == (
        "LlamaForCausalLM",
        3,
        4,
        2,
    )
    assert (record.d_model, record.vocab, record.sequential) == (64, 300, True)
    assert [file.name for file in record.weights] == ["model.safetensors"]
    assert opened.vocab(record.name)[256] == "<s>"


def test_a_conversation_keeps_its_messages(tmp_path: Path, llama: str) -> None:
    ran(tmp_path / "c.tshark", llama, [Prompt(messages=(("system", "Be kind."), ("user", "Hi")))])
    [trace] = Capture.open(tmp_path / "c.tshark").select("")
    assert trace.manifest.messages is not None
    assert [(turn.role, turn.content) for turn in trace.manifest.messages] == [
        ("system", "Be kind."),
        ("user", "Hi"),
    ]
    assert trace.prompt == "Hi"
    assert trace.text == "<s>system\nBe kind.</s>\n<s>user\nHi</s>\n<s>assistant\n"
    assert set(trace.spans) == {"prompt", "system", "user"}
    assert trace.manifest.provenance.chat_template_sha256 is not None


def test_the_lens_of_the_capture_gives_the_models_logits(tmp_path: Path, llama: str) -> None:
    ran(tmp_path / "c.tshark", llama)
    opened = Capture.open(tmp_path / "c.tshark")
    model = loaded(Path(llama))
    for trace in opened.select(""):
        last = trace.load(SITES["resid_post"].at(2))
        got = logit_lens.logits(last, opened.lens(trace.model.name), trace.model.lens)
        with torch.inference_mode():
            expected = model.hf(torch.tensor([trace.token_ids])).logits[0].numpy()
        assert np.abs(got - expected).max() <= 1e-4


@pytest.mark.parametrize("storage", ["embed", "link", "none"])
def test_where_the_lens_goes(tmp_path: Path, llama: str, home: Path, storage: str) -> None:
    path = tmp_path / "c.tshark"
    ran(path, llama, PROMPTS[:1], lens_file=storage)
    opened = Capture.open(path)
    [record] = opened.models().values()
    assert record.lens.storage == storage
    assert (path / "models" / record.name / "lens.safetensors").exists() == (storage == "embed")
    if storage == "none":
        with pytest.raises(NotFoundError, match="--lens-file embed"):
            opened.lens(record.name)
        return
    assert opened.lens(record.name)["unembed.weight"].shape == (300, 64)
    if storage == "link":
        assert Path(record.lens.source).is_relative_to(home)


def test_running_again_computes_nothing(tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.tshark"
    ran(path, llama, PROMPTS[:3])
    passes = []
    run = Recorder.run

    def counted(self: Recorder, batch: Sequence[Sequence[int]]) -> list[Row]:
        passes.append(len(batch))
        return run(self, batch)

    monkeypatch.setattr(Recorder, "run", counted)
    again = ran(path, llama)
    assert (again.captured, again.skipped, sum(passes)) == (2, 3, 2)
    assert ran(path, llama).skipped == 5 and sum(passes) == 2


def test_the_same_experiment_twice_is_one_trace(tmp_path: Path, llama: str) -> None:
    """Whatever its labels; other sites, layers or types are other experiments."""
    path = tmp_path / "c.tshark"
    twice = ran(path, llama, [Prompt("Hi", labels={"a": "1"}), Prompt("Hi", labels={"a": "2"})])
    assert (twice.captured, twice.skipped) == (1, 1)
    for other in ({"sites": ("resid_post",)}, {"layers": "0-1"}, {"dtype": "bfloat16"}, {"bos": "always"}):
        assert ran(path, llama, PROMPTS[:1], **other).captured == 1
    assert ran(path, llama, PROMPTS[:1], bos="never").skipped == 1


def test_two_models_share_a_capture(tmp_path: Path, tiny: Callable[[str], Path], home: Path) -> None:
    path = tmp_path / "c.tshark"
    for name in ("llama", "gpt2", "neox"):
        ran(path, str(tiny(name)), PROMPTS[:2])
    opened = Capture.open(path)
    assert len(opened) == 6
    assert {name: record.sequential for name, record in opened.models().items()} == {
        "llama": True,
        "gpt2": True,
        "neox": False,
    }
    for trace in opened.select(""):
        for name in trace.tensor_names:
            assert np.isfinite(trace.load(name)).all()


def test_patterns_and_half_precision_survive(tmp_path: Path, llama: str) -> None:
    sites = (*DEFAULT_SITES, ATTENTION, "pattern")
    ran(tmp_path / "c.tshark", llama, PROMPTS[:2], sites=sites, dtype="bfloat16", layers="0,2")
    for trace in Capture.open(tmp_path / "c.tshark").select(""):
        count = len(trace.token_ids)
        pattern = trace.load("blocks.2.attn.hook_pattern")
        assert pattern.shape == (4, count, count) and pattern.dtype.name == "bfloat16"
        np.testing.assert_allclose(pattern.astype(np.float32).sum(-1), 1, atol=0.02)
        assert trace.stats["attn.entropy"].shape == (2, 4, count)
        assert trace.stats["attn.entropy"].dtype == np.float32
        assert trace.load("blocks.0.hook_resid_post").dtype.name == "bfloat16"


def test_prompts_that_cannot_be_captured_are_named(tmp_path: Path, llama: str) -> None:
    prompts = [Prompt("", where="c:1"), *PROMPTS[:2], Prompt("\udc80", where="c:9")]
    summary = ran(tmp_path / "c.tshark", llama, prompts)
    assert summary.captured == 2
    assert summary.failed[0] == "c:1: the prompt has no tokens"
    assert summary.failed[1].startswith("c:9: ")


def test_a_batch_that_does_not_fit_is_split(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to single prompts; one that does not fit alone is named, and the others are all there."""
    run = Recorder.run

    def small(self: Recorder, batch: Sequence[Sequence[int]]) -> list[Row]:
        if sum(map(len, batch)) > 35:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return run(self, batch)

    monkeypatch.setattr(Recorder, "run", small)
    summary = ran(tmp_path / "c.tshark", llama)
    assert summary.captured == 4
    assert summary.failed == ["c:5: 40 tokens do not fit into memory, alone"]


def test_memory_errors_are_told_from_others() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_another_error_leaves_a_valid_capture(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recorder.run
    path = tmp_path / "c.tshark"

    def failing(self: Recorder, batch: Sequence[Sequence[int]]) -> list[Row]:
        if len(batch[0]) > 10:
            raise RuntimeError("broken kernel")
        return run(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "run", failing)
        with pytest.raises(RuntimeError, match="broken kernel"):
            ran(path, llama, batch_size=1)
    there = len(Capture.open(path))
    assert list((path / "staging").iterdir()) == []
    assert ran(path, llama).captured == 5 - there
    assert len(Capture.open(path)) == 5


def test_ctrl_c_keeps_what_was_computed(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    run = Recorder.run
    path = tmp_path / "c.tshark"

    def interrupted(self: Recorder, batch: Sequence[Sequence[int]]) -> list[Row]:
        if len(batch[0]) > 20:
            raise KeyboardInterrupt
        return run(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "run", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            ran(path, llama, batch_size=1)
    assert isinstance(caught.value, Interrupted)
    summary = caught.value.summary
    assert summary.interrupted and summary.captured == 2 == len(Capture.open(path))
    assert list((path / "staging").iterdir()) == []
    assert ran(path, llama).captured == 3


@pytest.mark.parametrize("half", ["stage", "finish"])
def test_a_full_disk_stops_the_run(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch, beside: bool, half: str
) -> None:
    """The error of the writing thread arrives where the run was started; what was committed stays."""
    real = getattr(Writer, half)
    path = tmp_path / "c.tshark"
    done = []

    def full(self: Writer, *trace: Any) -> Any:
        if len(done) == 2:
            raise StorageError("disk: cannot be written: No space left on device")
        done.append(trace)
        return real(self, *trace)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, half, full)
        with pytest.raises(StorageError, match="No space left"):
            ran(path, llama, batch_size=1)
    there = len(Capture.open(path))
    assert there <= 2
    assert list((path / "staging").iterdir()) == []
    assert ran(path, llama).captured == 5 - there


def test_progress_ends_at_the_total(tmp_path: Path, llama: str) -> None:
    seen: list[Progress] = []
    capture(PROMPTS, tmp_path / "c.tshark", CaptureSettings(model=llama, batch_size=2), seen.append)
    assert seen[0].stage == "model"
    passes = [progress for progress in seen if progress.stage == "capture"]
    assert [progress.done for progress in passes[:3]] == [2, 4, 5]
    assert (passes[-1].done, passes[-1].total) == (5, 5)
    assert passes[-1].bytes > 0 and passes[-1].tokens > 0


def test_a_stream_of_prompts_needs_no_list(tmp_path: Path, llama: str) -> None:
    summary = capture(iter(PROMPTS), tmp_path / "c.tshark", CaptureSettings(model=llama))
    assert (summary.prompts, summary.captured) == (5, 5)


def test_the_demo_takes_half_of_the_plain_layout(tmp_path: Path, smollm2: Path) -> None:
    """On the real model and our own corpus: at most 0.52 of four sites as float32, rebuilt bit for bit."""
    prompts = list(read_prompts(DEMO, "jsonl", "demo.jsonl", {}))[:12]
    settings = CaptureSettings(model=str(smollm2), bos="always", lens_file="none", batch_size=1)
    summary = capture(prompts, tmp_path / "demo.tshark", settings)
    assert summary.captured == 12
    opened = Capture.open(tmp_path / "demo.tshark")
    model = loaded(smollm2)
    recorder = Recorder(model, DEFAULT_SITES, range(30), 1)
    plain = 0
    for trace in opened.select(""):
        assert trace.tokens[0] == "<|im_start|>" and trace.tokens[1] != "<|im_start|>"
        plain += len(trace.token_ids) * 30 * 4 * 576 * 4
        [row] = recorder.run([trace.token_ids])
        for name in trace.tensor_names:
            assert np.array_equal(trace.load(name).view("u4"), row.tensors[name].view("u4")), name
    assert summary.plain_bytes == plain
    assert summary.tensor_bytes <= 0.52 * plain
