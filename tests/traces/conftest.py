"""What the tests of captures share: a small one made by the real writer, and a disk that is too small."""

import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    """Eight traces of four layers."""
    return write_synthetic(tmp_path / "a.tshark")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a flush is a call like any other there, and takes no time."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="tensorshark-test-") as folder:
        yield Path(folder)


@pytest.fixture
def file_limit() -> Callable[[int], AbstractContextManager[None]]:
    """`with file_limit(4096):` no file of this process grows beyond 4096 bytes."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
