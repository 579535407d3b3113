"""The manifest of a trace: what was fed, what came next, and how it came to be."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from tensorshark.forensics.capture import experts
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.settings import CaptureSettings
from tensorshark.forensics.capture.tokens import Prepared
from tensorshark.traces.manifest import (
    FORMAT,
    Message,
    ModelRecord,
    NextToken,
    Provenance,
    StoredSite,
    TraceManifest,
    trace_id,
)
from tensorshark.traces.sites import ATTENTION, SITES
from tensorshark.traces.store import now
from tensorshark.traces.version import tool

if TYPE_CHECKING:
    from tensorshark.forensics.capture.forward import Row

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors")


class Manifests:
    """Builds manifests for one model under one set of settings."""

    def __init__(
        self,
        model: LoadedModel,
        record: ModelRecord,
        settings: CaptureSettings,
        layers: Sequence[int],
        vocab: Sequence[str],
    ) -> None:
        self._model = model
        self._record = record
        self._settings = settings
        self._layers = list(layers)
        self._vocab = vocab
        self.sites = _sites(settings.sites, self._layers, model.dtype)

    def id_of(self, prepared: Prepared) -> str:
        """The trace's id, known before the forward pass."""
        return trace_id(
            model_fingerprint=self._model.fingerprint,
            token_ids=prepared.ids,
            attention_mask=[1] * len(prepared.ids),
            sites=self.sites,
            dtype=self._model.dtype,
        )

    def build(self, prepared: Prepared, row: Row, batch: tuple[int, int]) -> TraceManifest:
        """Everything but the files, which the writer fills in. `batch` is the padded (rows, positions)."""
        tokens = [self._token(n) for n in prepared.ids]
        prompt = prepared.prompt
        messages = [Message(role=role, content=content) for role, content in prompt.messages]
        return TraceManifest(
            format=FORMAT,
            requires=[],
            id=self.id_of(prepared),
            model=self._record.name,
            captured_at=now(),
            prompt=prompt.text or (prompt.messages[-1][1] if prompt.messages else ""),
            messages=messages or None,
            text=prepared.text,
            token_ids=prepared.ids,
            tokens=tokens,
            attention_mask=[1] * len(prepared.ids),
            spans=prepared.spans,
            labels=prompt.labels,
            sites=self.sites,
            tensors=[],
            derived=[],
            files=[],
            next_tokens=[
                NextToken(id=n, token=self._token(n), p=p)
                for n, p in zip(row.next_ids, row.next_p, strict=True)
                if p == p  # a NaN is no probability; the experts say where it came from
            ],
            experts=[*experts.about(row, self._layers, tokens), *prepared.experts],
            provenance=self._provenance(prepared, batch),
        )

    def _token(self, n: int) -> str:
        return self._vocab[n] if n < len(self._vocab) else ""

    def _provenance(self, prepared: Prepared, batch: tuple[int, int]) -> Provenance:
        import torch

        template = self._model.chat_template
        is_chat = prepared.text != prepared.prompt.text
        return Provenance(
            model_fingerprint=self._model.fingerprint,
            tokenizer_sha256=self._model.tokenizer_sha256,
            bos=self._settings.bos,
            bos_added=prepared.bos_added,
            chat_template_sha256=hashlib.sha256(template.encode()).hexdigest()
            if template and is_chat
            else None,
            dtype=self._model.dtype,
            device=_device(self._model),
            attention="eager",
            threads=torch.get_num_threads(),
            batch=list(batch),
            versions=_versions(),
            seed=None,
            generation=None,
            interventions=[],
            argv=list(self._settings.argv),
        )


def _sites(names: Sequence[str], layers: list[int], dtype: str) -> list[StoredSite]:
    """The site table, in the order in which things happen in a block."""
    sites = [
        StoredSite(name=name, layers=layers, axes=list(site.axes), dtype=dtype)
        for name, site in SITES.items()
        if name in names
    ]
    if ATTENTION in names:
        sites.append(StoredSite(name=ATTENTION, layers=layers, axes=["head", "pos"], dtype="float32"))
    return sites


def _device(model: LoadedModel) -> str:
    """`cpu`, or the accelerator with its name: results differ between kinds."""
    if model.device.type == "cuda":
        import torch

        return f"{model.device} ({torch.cuda.get_device_name(model.device)})"
    return str(model.device)


@cache
def _versions() -> dict[str, str]:
    versions = {"tool": tool(), "python": platform.python_version()}
    for package in _PACKAGES:
        versions[package] = metadata.version(package)
    return versions
