"""What every test has: a state and a config folder of its own, so that nobody's marks or macros are in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's state and config lie here, also for commands that a test starts.

    The cache stays where it is: the model that the tests share is in it.
    """
    home = tmp_path_factory.mktemp("home")
    before = {name: os.environ.get(name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    for name in before:
        os.environ[name] = str(home / name.lower())
    yield home
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
