"""The layouts that are written down are TransformerLens's own, and others are asked from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tensorshark.forensics.capture.forward import Recorder
from tensorshark.forensics.capture.layout import KNOWN, from_bridge, layout_of
from tensorshark.forensics.capture.tiny import ARCHITECTURES, CONFIGS
from tensorshark.traces.errors import UsageError

from .conftest import loaded

pytestmark = pytest.mark.model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layout_is_the_bridges(name: str, tiny: Callable[[str], Path], home: Path) -> None:
    model = loaded(tiny(name)).hf
    assert layout_of(model) == from_bridge(model)


def test_every_known_architecture_is_compared(tiny: Callable[[str], Path], home: Path) -> None:
    """A class added to the table without a tiny model to compare it with would be on trust."""
    import transformers

    compared = set()
    for config, arguments in CONFIGS.values():
        with torch.device("meta"):
            made = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**arguments))
        compared.add(type(made).__name__)
    assert set(KNOWN) <= compared


def test_parallel_blocks_are_told_from_sequential_ones(tiny: Callable[[str], Path], home: Path) -> None:
    assert loaded(tiny("neox")).layout.parallel
    assert not loaded(tiny("neox-sequential")).layout.parallel
    assert loaded(tiny("phi")).layout.parallel


def test_a_site_that_no_module_computes_is_refused_by_name(tiny: Callable[[str], Path], home: Path) -> None:
    """Granite scales attention's output outside of any module; the residual stream can still be captured."""
    model = loaded(tiny("granite"))
    with pytest.raises(UsageError, match=r"GraniteForCausalLM computes attn_out; .*--sites resid_pre"):
        Recorder(model, ["attn_out"], [0], 1)
    [row] = Recorder(model, ["resid_pre", "resid_post", "attn"], [0, 1, 2], 1).run([[1, 2, 3]])
    assert len(row.tensors) == 6


def test_a_model_without_decoder_blocks_is_refused() -> None:
    import transformers

    config = transformers.MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(UsageError, match="MambaForCausalLM: TransformerLens knows no decoder blocks"):
        layout_of(transformers.AutoModelForCausalLM.from_config(config))
