"""What the tests of captures share: a small one made by the real writer, and a disk that is too small."""

import ctypes
import os
import platform
import resource
import sys
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


@pytest.fixture
def flushing_subnormals() -> Callable[[], AbstractContextManager[None]]:
    """`with flushing_subnormals():` this thread takes subnormal numbers for zero, as -ffast-math makes it."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        pytest.skip("knows the floating-point environment of glibc on x86-64 only")
    libm = ctypes.CDLL("libm.so.6")

    @contextmanager
    def flushing() -> Iterator[None]:
        before = ctypes.create_string_buffer(32)  # fenv_t; its last four bytes are MXCSR
        libm.fegetenv(before)
        mxcsr = int.from_bytes(before.raw[28:], "little") | 0x8040  # FTZ and DAZ
        libm.fesetenv(ctypes.create_string_buffer(before.raw[:28] + mxcsr.to_bytes(4, "little"), 32))
        try:
            yield
        finally:
            libm.fesetenv(before)

    return flushing
