"""Batches hold prompts of similar length and stay within their bounds."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.capture.batches import MAX_BYTES, PASSES, buckets, stretches


@dataclass(frozen=True)
class Some:
    """A prompt, as far as batches care."""

    number: int
    ids: list[int]


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 9), st.integers(1, MAX_BYTES // 50))
def test_every_prompt_once_within_the_bounds(lengths: list[int], size: int, per_token: int) -> None:
    prompts = [Some(number, [0] * length) for number, length in enumerate(lengths)]
    batches = list(buckets(prompts, size, per_token))
    assert sorted(prompt.number for batch in batches for prompt in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(len(prompt.ids) for prompt in batch)
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * longest * per_token <= MAX_BYTES
    flat = [len(prompt.ids) for batch in batches for prompt in batch]
    assert flat == sorted(flat)


def test_equal_lengths_stay_in_the_order_given() -> None:
    prompts = [Some(number, [0] * 3) for number in range(5)]
    assert [prompt.number for batch in buckets(prompts, 2, 1) for prompt in batch] == list(range(5))


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 9), st.integers(1, MAX_BYTES // 50))
def test_stretches_keep_the_order_and_their_bounds(lengths: list[int], size: int, per_token: int) -> None:
    prompts = [Some(number, [0] * length) for number, length in enumerate(lengths)]
    runs = list(stretches(prompts, size, per_token))
    assert [prompt.number for run in runs for prompt in run] == list(range(len(lengths)))
    for run in runs:
        assert len(run) <= PASSES * size
        assert len(run) == 1 or sum(len(prompt.ids) for prompt in run) * per_token <= MAX_BYTES
