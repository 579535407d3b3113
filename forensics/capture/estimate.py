"""What a capture run would write, to the byte, without writing it.

One short prompt is committed to a temporary folder with the real writer; it shows which residuals are rebuilt
from their parts. The tensors and statistics of the others then follow from their lengths.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tensorshark.forensics.capture.engine import load_model
from tensorshark.forensics.capture.forward import Recorder, Row
from tensorshark.forensics.capture.keep import keeping
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.manifests import Manifests
from tensorshark.forensics.capture.prompts import Prompt
from tensorshark.forensics.capture.record import add_model, storage
from tensorshark.forensics.capture.settings import CaptureSettings, OnProgress, parse_layers
from tensorshark.forensics.capture.tokens import Prepared, Refused, Tokens, vocabulary
from tensorshark.forensics.capture.unembed import export
from tensorshark.traces import tensors
from tensorshark.traces.errors import NotFoundError
from tensorshark.traces.manifest import TraceManifest, encode
from tensorshark.traces.sites import DEFAULT_SITES, parse
from tensorshark.traces.store import Capture

Shape = tuple[np.dtype[Any], tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """Counts and bytes of a run that was not made."""

    prompts: int
    traces: int
    """How many would be captured."""
    skipped: int
    """Prompts whose trace is there already."""
    tokens: int
    """Of the traces that would be captured."""
    tensor_bytes: int
    """Of their tensor files; exact where residuals add up in every trace as they do in the one tried."""
    stats_bytes: int
    """Of their statistics files; exact."""
    manifest_bytes: int
    """Of their manifests, about: the numbers in them are written in as many digits as they need."""
    lens_bytes: int
    """Of the lens file, where the run would write one."""
    plain_bytes: int
    """What their four residual sites would take as float32, nothing derived."""
    failed: list[str] = field(default_factory=list)
    """One sentence for each prompt that cannot be captured."""
    keep: str = ""
    """What of this would be stored, in words; all counts are then at most. Empty: all of it."""

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.tensor_bytes + self.stats_bytes + self.manifest_bytes + self.lens_bytes


def estimate(
    prompts: Iterable[Prompt], path: Path, settings: CaptureSettings, on_progress: OnProgress
) -> Plan:
    """Tokenise everything, run the shortest prompt once, and add up. Raises as `capture` does."""
    keep = keeping(settings)
    model = load_model(settings, on_progress)
    given = list(prompts)
    prepared = Tokens(model, settings).prepare(given)
    failed = [f"{p.where or 'prompt'}: {p.reason}" for p in prepared if isinstance(p, Refused)]
    readable = [p for p in prepared if isinstance(p, Prepared)]
    with tempfile.TemporaryDirectory(prefix="tensorshark-plan-") as temporary:
        trial = _Trial(model, settings, Path(temporary) / "trial.tshark")
        there = _ids(path)
        wanted: dict[str, Prepared] = {}
        for p in readable:
            identity = trial.manifests.id_of(p)
            if identity not in there:
                wanted.setdefault(identity, p)
        todo = list(wanted.values())
        sizes = trial.sizes(todo) if todo else _Sizes()
    return Plan(
        prompts=len(given),
        traces=len(todo),
        skipped=len(readable) - len(todo),
        tokens=sum(len(p.ids) for p in todo),
        tensor_bytes=sizes.tensors,
        stats_bytes=sizes.stats,
        manifest_bytes=sizes.manifests,
        lens_bytes=_lens_bytes(path, model, settings) if todo else 0,
        plain_bytes=sizes.plain,
        failed=failed,
        keep=keep.words() if keep else "",
    )


@dataclass
class _Sizes:
    """Bytes by kind."""

    tensors: int = 0
    stats: int = 0
    manifests: int = 0
    plain: int = 0


class _Trial:
    """A capture of one prompt in a temporary folder, and what its sizes say about others."""

    def __init__(self, model: LoadedModel, settings: CaptureSettings, path: Path) -> None:
        layers = parse_layers(settings.layers, model.layers)
        self._recorder = Recorder(model, settings.sites, layers, settings.top_k)
        self._capture = Capture.create(path)
        record, _ = add_model(self._capture, model, "none")
        vocab = vocabulary(model.tokenizer, model.vocab)
        self.manifests = Manifests(model, record, settings, layers, vocab)

    def sizes(self, todo: Sequence[Prepared]) -> _Sizes:
        """Of all these, from a real commit of the shortest."""
        shortest = min(todo, key=lambda p: len(p.ids))
        [row] = self._recorder.run([shortest.ids])
        bare = self.manifests.build(shortest, row, (1, len(shortest.ids)))
        with self._capture.writer(sync=False) as writer:
            full = writer.commit(bare, row.tensors, row.stats)
        assert full is not None, "the temporary capture was empty"
        derived = {tensor.name for tensor in full.derived}
        sizes = _Sizes()
        around = len(encode(full)) - len(encode(bare))
        for p in todo:
            every = _shapes(row.tensors, len(p.ids))
            stored = {name: shape for name, shape in every.items() if name not in derived}
            sizes.tensors += tensors.file_size(stored)
            sizes.stats += tensors.file_size(_shapes(row.stats, len(p.ids)))
            sizes.plain += sum(
                4 * math.prod(shape) for name, (_, shape) in every.items() if _is_residual(name)
            )
            sizes.manifests += around + len(encode(self._manifest(p, row)))
        return sizes

    def _manifest(self, prepared: Prepared, row: Row) -> TraceManifest:
        """The manifest of another prompt, with the candidates of the one tried."""
        silent = Row(tensors={}, stats={}, next_ids=row.next_ids, next_p=row.next_p)
        return self.manifests.build(prepared, silent, (1, len(prepared.ids)))


def _shapes(arrays: dict[str, np.ndarray[Any, Any]], length: int) -> dict[str, Shape]:
    """Types and shapes at another length: d_model is last in a residual, positions are last elsewhere."""
    shapes: dict[str, Shape] = {}
    for name, array in arrays.items():
        if name.startswith("blocks.") and array.ndim == 2:
            shape: tuple[int, ...] = (length, array.shape[1])
        elif name.startswith("blocks."):
            shape = (array.shape[0], length, length)
        else:
            shape = (*array.shape[:-1], length)
        shapes[name] = (array.dtype, shape)
    return shapes


def _is_residual(name: str) -> bool:
    return parse(name)[0].name in DEFAULT_SITES


def _ids(path: Path) -> set[str]:
    try:
        return set(Capture.open(path).ids())
    except NotFoundError:
        return set()


def _lens_bytes(path: Path, model: LoadedModel, settings: CaptureSettings) -> int:
    """Of lens.safetensors, where the capture does not have the model and would embed it."""
    try:
        if any(there.fingerprint == model.fingerprint for there in Capture.open(path).models().values()):
            return 0
    except NotFoundError:
        pass
    lens = None if settings.lens_file == "none" else export(model)
    if lens is None:
        return 0
    size = tensors.file_size({name: (array.dtype, array.shape) for name, array in lens.tensors.items()})
    return size if storage(settings.lens_file, size) == "embed" else 0
