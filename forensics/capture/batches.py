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
