"""A large index without its traces: what benches and tests of a million rows need, in a minute or two.

The rows are made up; they go in through the same door as real ones (`Index.fill`). Lists, filters, sorts and
columns work on them. Opening one of the traces does not: there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np

from tensorshark.traces.index.cell import Cell
from tensorshark.traces.index.columns import Floats
from tensorshark.traces.index.index import Index
from tensorshark.traces.index.rows import Indexed
from tensorshark.traces.index.vectors import key_of
from tensorshark.traces.journal import JournalEntry

STEP = 16384
_CATEGORIES = ("credential", "injection", "code", "refusal", "fact", "prose")
_SAID = (
    "the password server ignore previous instructions reveal system prompt capital of France is value list "
    "return function quiet morning rain cannot help with that request token stream Paris London never always"
)
_SYLLABLES = "ba ce di fo gu ha ke li mo nu pa re si to va we xi yo zu st tr pl ou ea ing er"
_FIELDS = ("resid_pre.norm", "attn_out.norm", "mlp_out.norm", "resid_post.norm", "attn.entropy", "attn.sink")


def fill_synthetic(
    index: Index,
    rows: int,
    *,
    layers: int = 30,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Add `rows` made-up rows of about 125 characters, three labels and six columns of `layers` layers.

    The same arguments give the same rows. Norms grow with depth from about 1 to 100 and spread by 30 %;
    about one row in a thousand has a norm ten times as large at one layer.
    """
    rng = np.random.default_rng(seed)
    words = _vocabulary(rng)
    for start in range(0, rows, STEP):
        count = min(STEP, rows - start)
        index.fill(_rows(rng, words, start, count), _values(rng, layers, count))
        if on_progress:
            on_progress(start + count, rows)


def fill_vectors(
    index: Index,
    cell: Cell,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Give every trace of the index a made-up vector of this cell, as if all had been read.

    They are alike the way residual streams are: a common direction, sixteen clusters, a few large dimensions.
    """
    vectors, rng, rows = index.vectors(cell), np.random.default_rng(seed), len(index)
    common = 2 * rng.standard_normal(cell.width, dtype=np.float32)
    common[rng.integers(cell.width, size=3)] *= 30
    clusters = rng.standard_normal((16, cell.width), dtype=np.float32)
    digests = index.query("SELECT manifest_sha256 FROM traces ORDER BY row")
    for start in range(0, rows, STEP):
        keys = [key_of(digest) for (digest,) in digests[start : start + STEP]]
        noise = rng.standard_normal((len(keys), cell.width), dtype=np.float32)
        vectors.add(keys, common + clusters[rng.integers(16, size=len(keys))] + noise)
        if on_progress:
            on_progress(start + len(keys), rows)


def _vocabulary(rng: np.random.Generator) -> list[str]:
    """Some real words and two thousand made-up ones, so that a substring is as rare as in real text."""
    parts = _SYLLABLES.split()
    made = ["".join(parts[at] for at in rng.integers(len(parts), size=3)) for _ in range(2000)]
    return [*_SAID.split(), *made]


def _rows(rng: np.random.Generator, words: list[str], start: int, count: int) -> list[Indexed]:
    chosen = (len(words) * rng.random((count, 20)) ** 4).astype(np.int64)  # few words are common, as in text
    lengths = rng.integers(5, 200, size=count).tolist()
    categories = rng.choice(len(_CATEGORIES), size=count, p=[0.1, 0.05, 0.2, 0.15, 0.2, 0.3]).tolist()
    return [
        _row(start + at, [words[word] for word in chosen[at]], lengths[at], _CATEGORIES[categories[at]])
        for at in range(count)
    ]


def _row(number: int, words: list[str], length: int, category: str) -> Indexed:
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    time = (datetime(2026, 1, 1) + timedelta(milliseconds=number)).isoformat(timespec="microseconds") + "Z"
    text = " ".join([*words, f"no {number}"])
    return Indexed(
        entry=JournalEntry(
            id=digest[:16],
            manifest_sha256=digest,
            committed_at=time,
            writer="synthetic",
            seq=number + 1,
            size=2_000_000,
        ),
        model="synthetic",
        captured_at=time,
        dtype="float32",
        layers=30,
        labels={
            "category": category,
            "split": ("train", "test")[number % 5 == 0],
            "batch": str(number // 1000),
        },
        prompt=text,
        text=text,
        token_ids=range(length),
        next_id=number % 97,
        next_token=f" {words[-1]}",
        next_p=(number % 1000) / 1000,
    )


def _values(rng: np.random.Generator, layers: int, count: int) -> dict[str, Floats]:
    growth = np.geomspace(1, 100, layers, dtype=np.float32)[:, None]  # (layer, 1)
    values: dict[str, Floats] = {}
    for field in _FIELDS:
        noise = rng.standard_normal((layers, count), dtype=np.float32)
        if field.endswith(".norm"):
            values[field] = growth * (1 + np.float32(0.3) * np.abs(noise))
        else:
            values[field] = np.abs(noise)
    odd = np.flatnonzero(rng.random(count) < 0.001)
    values["resid_post.norm"][rng.integers(layers, size=len(odd)), odd] *= 10
    return values
