"""One capture run: load, tokenise, skip what is there, then pass by pass from the model to the disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tensorshark.forensics.capture.batches import buckets, stretches
from tensorshark.forensics.capture.committer import Captured, Committer, Taken
from tensorshark.forensics.capture.forward import Recorder
from tensorshark.forensics.capture.keep import Keep, keeping
from tensorshark.forensics.capture.loading import LoadedModel, load
from tensorshark.forensics.capture.manifests import Manifests
from tensorshark.forensics.capture.models import find
from tensorshark.forensics.capture.prompts import Prompt
from tensorshark.forensics.capture.record import add_model
from tensorshark.forensics.capture.settings import (
    CaptureSettings,
    Interrupted,
    OnProgress,
    Progress,
    Summary,
    parse_layers,
)
from tensorshark.forensics.capture.tokens import Prepared, Tokens, vocabulary
from tensorshark.traces.sites import ATTENTION
from tensorshark.traces.store import Capture

if TYPE_CHECKING:
    from tensorshark.forensics.capture.forward import Row

WINDOW = 512
"""Prompts that are tokenised at a time."""


def run(prompts: Iterable[Prompt], path: Path, settings: CaptureSettings, on_progress: OnProgress) -> Summary:
    """See `tensorshark.forensics.capture.capture`."""
    started = time.perf_counter()
    keep = keeping(settings)
    model = load_model(settings, on_progress)
    summary = Summary(path=path)
    session = _Session(model, path, settings, summary, on_progress, keep)
    ready = time.perf_counter()
    summary.load_seconds = ready - started
    total = len(prompts) if isinstance(prompts, Sequence) else 0
    try:
        session.run(iter(prompts), total)
    except KeyboardInterrupt:
        summary.interrupted = True
        raise Interrupted(summary) from None
    finally:
        summary.seconds = time.perf_counter() - ready
        session.report()
    return summary


def load_model(settings: CaptureSettings, on_progress: OnProgress) -> LoadedModel:
    """The model that the settings name, found and loaded."""
    source = find(
        settings.model,
        revision=settings.revision,
        allow_pickle=settings.allow_pickle,
        trust_remote_code=settings.trust_remote_code,
        on_progress=on_progress,
    )
    on_progress(Progress("model", f"loading {source.name}"))
    return load(source, settings, on_progress)


class _Session:
    """A model and a capture, for as long as a run lasts."""

    def __init__(
        self,
        model: LoadedModel,
        path: Path,
        settings: CaptureSettings,
        summary: Summary,
        on_progress: OnProgress,
        keep: Keep | None,
    ) -> None:
        layers = parse_layers(settings.layers, model.layers)
        self._settings = settings
        self._summary = summary
        self._on_progress = on_progress
        self._tokens = Tokens(model, settings)
        self._recorder = Recorder(model, settings.sites, layers, settings.top_k)
        self._bytes_per_token = bytes_per_token(model, settings, len(layers))
        self._capture = Capture.create(path)
        record, remark = add_model(self._capture, model, settings.lens_file)
        summary.remarks += [remark] if remark else []
        summary.model = record.name
        vocab = vocabulary(model.tokenizer, model.vocab)
        self._manifests = Manifests(model, record, settings, layers, vocab)
        self._keep = keep
        self._committer = Committer(
            self._capture, self._manifests, beside_the_pass=model.device.type != "cpu", keep=keep
        )
        self._passed = self._tokens_passed = 0

    def run(self, prompts: Iterator[Prompt], total: int) -> None:
        """Everything there is, window by window."""
        there = set(self._capture.ids())
        with self._committer:
            while window := list(islice(prompts, WINDOW)):
                self._summary.prompts += len(window)
                wanted = self._wanted(window, there)
                for stretch in stretches(wanted, self._settings.batch_size, self._bytes_per_token):
                    self._stretch(stretch, total)
        self._show(total)

    def report(self) -> None:
        """Put what was committed into the summary."""
        counts, summary = self._committer.counts, self._summary
        summary.captured = len(counts.ids)
        summary.dropped = counts.dropped
        summary.tokens = counts.tokens
        summary.tensor_bytes = counts.tensor_bytes
        summary.plain_bytes = counts.plain_bytes
        summary.experts = dict(counts.experts)
        made = set(counts.ids)
        summary.bytes = sum(entry.size for entry in self._capture.journal() if entry.id in made)

    def _stretch(self, prompts: list[Prepared], total: int) -> None:
        """Pass prompts of similar length together; commit in the order given, also what a Ctrl-C leaves."""
        taken: dict[str, Taken] = {}
        try:
            for batch in buckets(prompts, self._settings.batch_size, self._bytes_per_token):
                for passed, rows in self._passes(batch):
                    shape = (len(passed), max(len(prompt.ids) for prompt in passed))
                    for prompt, row in zip(passed, rows, strict=True):
                        if trace := self._committer.take(Captured(prompt, row, shape)):
                            taken[self._manifests.id_of(prompt)] = trace
                        self._passed += 1
                        self._tokens_passed += len(prompt.ids)
                    self._show(total)
        finally:
            identities = (self._manifests.id_of(prompt) for prompt in prompts)
            self._committer.put([taken[identity] for identity in identities if identity in taken])

    def _wanted(self, window: Sequence[Prompt], there: set[str]) -> list[Prepared]:
        """Tokenised prompts whose traces are not there yet; counts the others."""
        wanted = []
        for prepared in self._tokens.prepare(window):
            if not isinstance(prepared, Prepared):
                self._summary.failed.append(f"{prepared.where or 'prompt'}: {prepared.reason}")
                continue
            identity = self._manifests.id_of(prepared)
            if identity in there:
                self._summary.skipped += 1
                continue
            there.add(identity)
            wanted.append(prepared)
        return wanted

    def _passes(self, batch: list[Prepared]) -> Iterator[tuple[list[Prepared], list[Row]]]:
        """One pass over the batch, or two over its halves where the memory does not suffice, and so on."""
        try:
            rows = self._recorder.run([prompt.ids for prompt in batch])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # it holds the tensors that did not fit
        else:
            yield batch, rows
            return
        _free_cache()
        if len(batch) > 1:
            middle = len(batch) // 2
            yield from self._passes(batch[:middle])
            yield from self._passes(batch[middle:])
            return
        [prompt] = batch
        reason = f"{len(prompt.ids):,} tokens do not fit into memory, alone"
        self._summary.failed.append(f"{prompt.prompt.where or 'prompt'}: {reason}")

    def _show(self, total: int) -> None:
        counts = self._committer.counts
        done = self._passed + self._summary.skipped + len(self._summary.failed)
        said = "capturing"
        if self._keep is not None:
            said += f", kept {self._passed - counts.dropped:,} of {self._passed:,}"
        self._on_progress(
            Progress("capture", said, done, total, tokens=self._tokens_passed, bytes=counts.bytes)
        )


def bytes_per_token(model: LoadedModel, settings: CaptureSettings, layers: int) -> int:
    """What a pass keeps of each position, about; patterns grow with the square and are not counted."""
    sites = len(set(settings.sites) - {ATTENTION, "pattern"})
    width = 4 if settings.dtype == "float32" else 2
    return max(1, layers * sites * model.d_model * width)


def is_out_of_memory(error: BaseException) -> bool:
    """Torch has a class for accelerators only; on the CPU it says so in words."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return "out of memory" in said or "can't allocate memory" in said or "not enough memory" in said


def _free_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
