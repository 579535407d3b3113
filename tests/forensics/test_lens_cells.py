"""Single lens cells of many traces: the same numbers as trace by trace, and the model's own distribution."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.lens import ABSENT, read
from tensorshark.forensics.lens_cells import Reading, readings, surprisals
from tensorshark.traces.errors import NotFoundError, TensorsharkError
from tensorshark.traces.store import Capture, Trace
from tensorshark.traces.synthetic import synthetic_trace, write_synthetic


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return write_synthetic(tmp_path_factory.mktemp("cells") / "x.tshark", traces=9, layers=4)


def traces(capture: Capture) -> list[Trace]:
    return [capture.trace(trace_id) for trace_id in capture.ids()]


def test_many_together_are_each_alone(capture: Capture) -> None:
    """Against `lens.read` of one trace at a time, and bit for bit whatever stands beside a state."""
    layers, everything = [0, 2, 3], [(trace, [0, 2, 3], list(range(4))) for trace in traces(capture)]
    for (trace, _, positions), found in zip(everything, readings(everything, True), strict=True):
        assert isinstance(found, Reading)
        expected = read(trace, layers, positions, top_k=1)
        assert np.array_equal(found.token_ids, expected.token_ids[..., 0])
        assert np.array_equal(found.p, expected.probs[..., 0])
        assert np.array_equal(found.entropy, expected.entropy)
        assert np.array_equal(found.kl, expected.kl)
        assert np.array_equal(found.kl_reverse, expected.kl_reverse)
        assert np.array_equal(found.rank, expected.rank + 1)
        assert (found.rank[-1] == 1).all(), "the last layer puts its own first"
        for row, layer in enumerate(layers):
            for column, position in enumerate(positions):
                (alone,) = readings([(trace, [layer], [position])], True)
                assert isinstance(alone, Reading)
                for one, many in zip(alone, found, strict=True):
                    assert one[0, 0] == many[row, column]


def test_layers_and_positions_that_are_not_there(capture: Capture) -> None:
    manifest, tensors, stats = synthetic_trace(capture, "only two layers here", {}, seed=77)
    sites = [msgspec.structs.replace(site, layers=[0, 2]) for site in manifest.sites]
    tensors = {name: array for name, array in tensors.items() if ".1." not in name and ".3." not in name}
    stats = {key: np.ascontiguousarray(array[[0, 2]]) for key, array in stats.items()}
    manifest = msgspec.structs.replace(manifest, sites=sites, id="0" * 16)
    grown = write_synthetic(capture.path.parent / "y.tshark", traces=2, layers=4)
    with grown.writer(sync=False) as writer:
        assert writer.commit(manifest, tensors, stats)
    partly, whole = grown.trace("0" * 16), grown.trace(grown.ids()[0])
    asked = [(partly, [0, 1, 2, 3], [1]), (whole, [1], []), (partly, [2], [0, 1])]
    first, empty, last = readings(asked, True)
    assert isinstance(first, Reading) and isinstance(empty, Reading) and isinstance(last, Reading)
    assert np.isnan(first.p[:, 0]).tolist() == [False, True, False, True]
    assert (first.token_ids[:, 0] == ABSENT).tolist() == [False, True, False, True]
    assert np.isnan(first.kl).all() and (first.rank == ABSENT).all(), "the last layer is not there"
    assert empty.p.shape == (1, 0) and not np.isnan(last.p).any()
    (none,) = surprisals([(partly, [1])])
    assert isinstance(none, NotFoundError) and "layer 3" in str(none)


def test_damage_is_one_traces_error(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=3)
    path = capture.trace(capture.ids()[1]).folder / "tensors.safetensors"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    found = list(readings([(trace, [0, 3], [0]) for trace in traces(capture)], True))
    assert [type(each) is Reading for each in found] == [True, False, True]
    assert isinstance(found[1], TensorsharkError)
    assert [type(each) is np.ndarray for each in surprisals((t, [2]) for t in traces(capture))] == [
        True,
        False,
        True,
    ]


def test_without_a_lens_file_every_trace_says_so(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "x.tshark", traces=2)
    (capture.path / "models" / "synthetic" / "lens.safetensors").unlink()
    capture = Capture.open(capture.path)
    from tensorshark.forensics import lens

    lens._prepared.clear()
    found = list(readings([(trace, [0], [0]) for trace in traces(capture)], False))
    assert len(found) == 2 and all(isinstance(each, TensorsharkError) for each in found)


def test_surprisal_by_the_formula(capture: Capture) -> None:
    weights, eps = capture.lens("synthetic"), 1e-5
    for trace in traces(capture):
        x = trace.load("blocks.3.hook_resid_post").astype(np.float64)  # (pos, d_model)
        normed = x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weights["norm.weight"]
        scores = normed @ weights["unembed.weight"].T.astype(np.float64)
        logp = scores - scores.max(-1, keepdims=True)
        logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
        expected = [-logp[at - 1, trace.token_ids[at]] for at in range(1, len(trace.token_ids))]
        (found,) = surprisals([(trace, range(len(trace.token_ids)))])
        assert isinstance(found, np.ndarray)
        assert np.isnan(found[0]) and found[1:] == pytest.approx(expected, abs=1e-5)
        (some,) = surprisals([(trace, [0, 3])])
        assert isinstance(some, np.ndarray)
        assert np.array_equal(some, found[[0, 3]], equal_nan=True)


@pytest.mark.model
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_surprisal_is_the_models_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the loss of the Hugging Face model itself, token by token."""
    import torch
    from transformers import AutoModelForCausalLM

    from tensorshark.forensics.capture import CaptureSettings, Prompt
    from tensorshark.forensics.capture import capture as run
    from tensorshark.forensics.capture.tiny import write_tiny_model

    monkeypatch.setenv("TENSORSHARK_HOME", str(tmp_path / "home"))
    folder = write_tiny_model(tmp_path / name, name)
    prompts = [Prompt("The capital of France is", where="c:1"), Prompt("def f(x): return", where="c:2")]
    run(prompts, tmp_path / "c.tshark", CaptureSettings(model=str(folder)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for trace in traces(Capture.open(tmp_path / "c.tshark")):
        with torch.inference_mode():
            logp = model(torch.tensor([trace.token_ids])).logits[0].double().log_softmax(-1).numpy()
        expected = [-logp[at - 1, token] for at, token in enumerate(trace.token_ids) if at > 0]
        count, last = len(trace.token_ids), trace.model.layers - 1
        (found,) = surprisals([(trace, range(count))])
        assert isinstance(found, np.ndarray)
        assert found[1:] == pytest.approx(expected, abs=2e-5)
        (seen,) = readings([(trace, [last], range(count))], False)
        assert isinstance(seen, Reading)
        assert seen.p[0] == pytest.approx(np.exp(logp.max(-1)), abs=1e-5)
        assert seen.entropy[0] == pytest.approx(-(np.exp(logp) * logp).sum(-1), abs=1e-4)
