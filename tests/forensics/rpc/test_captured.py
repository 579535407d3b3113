"""A real forward pass, in the types that models compute in: every number comes through exactly."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tensorshark.forensics.capture import CaptureSettings, Prompt, capture
from tensorshark.forensics.capture.tiny import write_tiny_model
from tensorshark.forensics.lens import read
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES, SITES, STAT_FIELDS, stat_key
from tensorshark.traces.store import Capture

from .conftest import Client

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

PROMPTS = [Prompt("The capital of France is", labels={"category": "fact"}), Prompt("Grüße, 東京 \x1b[31m")]
DTYPES: dict[str, Any] = {"float32": np.dtype("<f4"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def captured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Two prompts through a tiny llama, with whole attention patterns."""
    place = tmp_path_factory.mktemp("captured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORSHARK_HOME", str(place / "home"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        model = write_tiny_model(place / "llama", "llama")
        sites = (*DEFAULT_SITES, ATTENTION, "pattern")
        settings = CaptureSettings(model=str(model), dtype=request.param, sites=sites)
        capture(PROMPTS, place / "c.tshark", settings)
    return Capture.open(place / "c.tshark")


def test_every_number_of_every_site_and_statistic(captured: Capture) -> None:
    client = Client(captured.path, "--stdio")
    for trace in captured.select(""):
        facts = client.ask("trace", {"id": trace.id})
        assert (facts["tokens"], facts["prompt"]) == (trace.tokens, trace.prompt)
        for site in facts["sites"]:
            if site["name"] not in SITES:
                continue
            wanted = np.stack([trace.load(SITES[site["name"]].at(layer)) for layer in site["layers"]])
            asked = {"id": trace.id, "site": site["name"]}
            answer = client.ask("slice", asked | {"encoding": "base64"})
            assert answer["axes"] == ["layer", *site["axes"]] and answer["dtype"] == site["dtype"]
            got = np.frombuffer(base64.b64decode(answer["values"]), DTYPES[answer["dtype"]])
            assert got.tobytes() == wanted.tobytes(), site["name"]
            numbers = np.array(client.ask("slice", asked)["values"], dtype=np.float64)
            assert np.array_equal(numbers, wanted.astype(np.float64))
            last = client.ask("slice", asked | {"pos": "-1", "layer": -1})["values"]
            axis = answer["axes"].index("q_pos" if "q_pos" in answer["axes"] else "pos")
            assert np.array_equal(np.array(last), wanted[-1:].take([-1], axis).astype(np.float64))
        assert {stat_key(name) for name in facts["statistics"]} <= set(trace.stats)
        for name in facts["statistics"]:
            answer = client.ask("slice", {"id": trace.id, "site": name})
            assert answer["axes"] == list(STAT_FIELDS[name])
            values = np.array(answer["values"], dtype=np.float32)
            assert np.array_equal(values, trace.stats[stat_key(name) or ""])
    assert client.end() == 0
    client.kill()


def test_rows_and_the_lens(captured: Capture) -> None:
    client = Client(captured.path, "--stdio")
    [trace] = captured.select('label.category == "fact"')
    [row] = client.ask("rows", {"filter": 'label.category == "fact"'})["rows"]
    assert (row["id"], row["prompt"], row["seq_len"]) == (trace.id, trace.prompt, len(trace.tokens))
    assert row["norms"] == trace.stats["norm.resid_post"][:, -1].tolist()
    assert row["next_token"] == trace.manifest.next_tokens[0].token
    wanted = read(trace, [0, 2], [0, 3], 3)
    answer = client.ask("lens", {"id": trace.id, "layer": [0, 2], "pos": "0,3", "top_k": 3})
    assert answer["token_ids"] == wanted.token_ids.tolist()
    assert np.allclose(answer["probs"], wanted.probs, atol=1e-6)
    assert client.end() == 0
    client.kill()
