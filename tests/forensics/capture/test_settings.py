"""Layer lists, and settings that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tensorshark.forensics.capture.settings import CaptureSettings, parse_layers
from tensorshark.traces.errors import UsageError


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("0-2,5", [0, 1, 2, 5]),
        (" 3 , 1-1, 3", [1, 3]),
        ("-1", [5]),
        ("-2--1", [4, 5]),
        ("0--4", [0, 1, 2]),
    ],
)
def test_layers(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 6) == layers


@pytest.mark.parametrize("text", ["x", "1-", "1..2", "6", "3-1", "-7", ",", "1,,2", "0-99999999999"])
def test_layers_that_are_not_there(text: str) -> None:
    with pytest.raises(UsageError, match="--layers: "):
        parse_layers(text, 6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sites": ("resid_mid",)}, "no such site: resid_mid; there are resid_pre, "),
        ({"sites": ()}, "no site to capture"),
        ({"batch_size": 0}, "--batch-size"),
        ({"max_tokens": -1}, "--max-tokens"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CaptureSettings(**settings)
