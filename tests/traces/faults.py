"""Faults for tests: the n-th call of the operating system that writes fails, or is the process's last."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CALLS = (
    "open",
    "write",
    "writev",
    "fsync",
    "fdatasync",
    "mkdir",
    "rename",
    "unlink",
    "rmdir",
    "ftruncate",
    "link",
)


@contextmanager
def watched(before: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """`before(name, arguments)` is called ahead of every call in CALLS that is made through `os`."""
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before(name, args)
            return real[name](*args, **kwargs)

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


class Countdown:
    """Does `what` at the n-th call; with `forever` at all later ones too."""

    def __init__(self, n: int, what: Callable[[], None], forever: bool = False) -> None:
        self.left = n
        self.forever = forever
        self.what = what

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.forever):
            self.what()

    @property
    def reached(self) -> bool:
        """True when the n-th call was made."""
        return self.left <= 0


def die() -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> Callable[[], None]:
    """Raise OSError with this errno."""

    def raise_it() -> None:
        raise OSError(number, os.strerror(number))

    return raise_it


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked process; its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
