"""The model's side of a capture: its record, its lens file, the text of its tokens."""

from __future__ import annotations

import hashlib
import re
import secrets

import msgspec

from tensorshark.forensics.capture.home import cache_dir
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.settings import LensFile
from tensorshark.forensics.capture.tokens import vocabulary
from tensorshark.forensics.capture.unembed import LensWeights, export
from tensorshark.traces import tensors
from tensorshark.traces.files import writing
from tensorshark.traces.manifest import FORMAT, Lens, ModelRecord, Norm
from tensorshark.traces.store import Capture

EMBED_BELOW = 256 << 20
"""Bytes up to which `auto` puts the lens into the capture."""


def add_model(capture: Capture, model: LoadedModel, lens_file: LensFile) -> tuple[ModelRecord, str]:
    """The model's record in the capture, written first where it is not there yet; and a remark, or empty.

    A model that is there, by its fingerprint, stays as it is.
    """
    for there in capture.models().values():
        if there.fingerprint == model.fingerprint:
            return there, ""
    lens = None if lens_file == "none" else export(model)
    remark = ""
    if lens is None and lens_file != "none":
        remark = f"no lens file: the logits of {model.architecture} are not its final norm and unembedding"
    record = _record(model, lens.formula if lens else _no_lens(model))
    vocab = vocabulary(model.tokenizer, model.vocab)
    if lens is not None and storage(lens_file, lens_bytes(lens)) == "link":
        linked = msgspec.structs.replace(record, lens=_link(lens, model.fingerprint))
        return capture.add_model(linked, None, vocab), remark
    return capture.add_model(record, lens.tensors if lens else None, vocab), remark


def storage(lens_file: LensFile, size: int) -> str:
    """`embed`, `link` or `none` for a lens of `size` bytes."""
    if lens_file == "auto":
        return "embed" if size < EMBED_BELOW else "link"
    return lens_file


def lens_bytes(lens: LensWeights) -> int:
    """Bytes of its numbers."""
    return sum(array.nbytes for array in lens.tensors.values())


def _link(lens: LensWeights, fingerprint: str) -> Lens:
    """Keep the lens once in the user's cache, for every capture of this model."""
    path = cache_dir() / "lens" / f"{fingerprint[:16]}.safetensors"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            written = tensors.write(temporary, lens.tensors)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return msgspec.structs.replace(
        lens.formula, storage="link", source=str(path), sha256=written.file.sha256, size=written.file.size
    )


def _no_lens(model: LoadedModel) -> Lens:
    norm = Norm(kind="rms", eps=0.0, offset=0.0)
    return Lens(
        storage="none", source=model.source.origin, sha256="", size=0, norm=norm, scale=1.0, softcap=0.0
    )


def _record(model: LoadedModel, lens: Lens) -> ModelRecord:
    return ModelRecord(
        format=FORMAT,
        requires=[],
        name=folder_name(model.source.name),
        source=model.source.origin,
        revision=model.source.revision,
        fingerprint=model.fingerprint,
        weights=model.weights,
        tokenizer_sha256=model.tokenizer_sha256,
        architecture=model.architecture,
        layers=model.layers,
        heads=model.heads,
        kv_heads=model.kv_heads,
        d_model=model.d_model,
        vocab=model.vocab,
        bos_token_id=model.tokenizer.bos_token_id,
        sequential=not model.layout.parallel,
        lens=lens,
    )


def folder_name(name: str) -> str:
    """A model's name as a folder: letters, digits, dots and dashes, at most 48."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:48]
    return plain or f"model-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
