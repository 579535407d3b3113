"""Which prompts share a forward pass: neighbours in length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar


class _HasIds(Protocol):
    @property
    def ids(self) -> Sequence[int]: ...


T = TypeVar("T", bound=_HasIds)

MAX_BYTES = 256 << 20
"""What one pass may keep, about; one long prompt alone may be more."""
PASSES = 4
"""Full passes in a stretch: enough prompts to find neighbours in length, few enough to hold back."""


def stretches(prompts: Sequence[T], batch_size: int, bytes_per_token: int) -> Iterator[list[T]]:
    """Runs of prompts in the order given, sorted into passes and committed in that order again.

    At most PASSES * `batch_size` prompts and about MAX_BYTES of kept tensors each; a long prompt may be more.
    """
    stretch: list[T] = []
    tokens = 0
    for prompt in prompts:
        tokens += len(prompt.ids)
        if stretch and (len(stretch) == PASSES * batch_size or tokens * bytes_per_token > MAX_BYTES):
            yield stretch
            stretch, tokens = [], len(prompt.ids)
        stretch.append(prompt)
    if stretch:
        yield stretch


def buckets(prompts: Sequence[T], batch_size: int, bytes_per_token: int) -> Iterator[list[T]]:
    """Shortest first; at most `batch_size` prompts and about MAX_BYTES of kept tensors each, with padding."""
    batch: list[T] = []
    for prompt in sorted(prompts, key=lambda prompt: len(prompt.ids)):
        padded = (len(batch) + 1) * len(prompt.ids)
        if batch and (len(batch) == batch_size or padded * bytes_per_token > MAX_BYTES):
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch
