"""One committed trace: its manifest, and its tensors and statistics, read when they are asked for."""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tensorshark.traces import residuals, sites, tensors
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError, UsageError
from tensorshark.traces.files import ReadFile
from tensorshark.traces.manifest import DerivedTensor, ModelRecord, StoredFile, StoredSite, TraceManifest
from tensorshark.traces.tensors import Array, Entry
from tensorshark.traces.text import safe_text

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture

MANIFEST = "trace.json"
TENSORS = "tensors.safetensors"
STATS = "stats.safetensors"
MAX_STATS = 1 << 30
CACHE_BYTES = 128 << 20
"""How much of a trace's tensors is kept in memory, so that rebuilding every residual is linear."""

_ID = re.compile(r"[0-9a-f]{16}")
_RESTORE = "capture it again or restore it from a copy"


class Trace:
    """One trace, for any thread. Arrays are read-only, in the stored type, and were checked byte by byte."""

    def __init__(self, capture: Capture, manifest: TraceManifest, number: int = 0) -> None:
        self.capture = capture
        self.manifest = manifest
        self.id = manifest.id
        self._number = number
        self.folder = folder(capture.path, manifest.id)
        self._cache: OrderedDict[str, Array] = OrderedDict()
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Trace {self.id} of {self.capture.path.name}>"

    @property
    def number(self) -> int:
        """1-based position in capture order; 0 when it is not known."""
        return self._number or self.capture.number(self.id)

    @property
    def prompt(self) -> str:
        """As given; untrusted text."""
        return self.manifest.prompt

    @property
    def text(self) -> str:
        """What was tokenised; untrusted text."""
        return self.manifest.text

    @property
    def token_ids(self) -> list[int]:
        """One per position."""
        return self.manifest.token_ids

    @property
    def tokens(self) -> list[str]:
        """Each token decoded alone; untrusted text."""
        return self.manifest.tokens

    @property
    def labels(self) -> dict[str, str]:
        """Key -> value."""
        return self.manifest.labels

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Name -> positions: `array[trace.spans["prompt"]]`."""
        return {span.name: slice(span.start, span.stop) for span in self.manifest.spans}

    @cached_property
    def sites(self) -> dict[str, StoredSite]:
        """Name -> layers, axes and type."""
        return {site.name: site for site in self.manifest.sites}

    @property
    def model(self) -> ModelRecord:
        """The model that it ran through."""
        return self.capture.model(self.manifest.model)

    @cached_property
    def tensor_names(self) -> list[str]:
        """Every name that `load` takes, derived ones included: layers outer, sites inner."""
        return sorted((tensor.name for tensor in self.manifest.all_tensors), key=sites.order)

    def load(self, name: str) -> Array:
        """One tensor, e.g. (pos, d_model). NotFoundError, or IntegrityError naming the trace."""
        if name not in self._stored and name not in self._derived:
            raise NotFoundError(f"trace {self.id} has no tensor {safe_text(name, 80)!r}; {self._offer()}")
        with self._lock:
            if name in self._cache:
                self._cache.move_to_end(name)
                return self._cache[name]
            with blamed(self.id), self._open(self._expected()) as file:
                self._entries = self._entries or self._header(file)
                return self._rebuild(name, file) if name in self._derived else self._read(name, file)

    @cached_property
    def stats(self) -> Mapping[str, Array]:
        """Statistics by key, float32, e.g. `norm.resid_post` (layer, pos); see `traces.sites.STAT_FIELDS`."""
        file = self._file(STATS)
        if file is None:
            return {}
        with blamed(self.id), self._open(file, MAX_STATS) as opened:
            return tensors.read_all(opened, file.sha256)

    def verify(self) -> None:
        """Read and check every byte of its tensors and statistics. Raises as `load` does."""
        with blamed(self.id), self._open(self._expected()) as file:
            for name, entry in self._header(file).items():
                tensors.read(file, entry, self._stored[name])
        _ = self.stats

    def stat_layers(self, key: str) -> list[int]:
        """Model layer of each row of a statistic's first axis."""
        site = self.sites.get(sites.stat_site(key))
        return list(site.layers) if site else []

    @cached_property
    def _stored(self) -> dict[str, str]:
        """Name -> sha256."""
        return {tensor.name: tensor.sha256 for tensor in self.manifest.tensors}

    @cached_property
    def _derived(self) -> dict[str, DerivedTensor]:
        """In the order in which they can be rebuilt."""
        return {tensor.name: tensor for tensor in self.manifest.derived}

    def _header(self, file: ReadFile) -> dict[str, Entry]:
        """Where the tensors lie; the header is what was committed, and equal to what the manifest says."""
        entries = tensors.read_header(file, self._expected().sha256)
        found = {name: (entry.dtype.name, list(entry.shape)) for name, entry in entries.items()}
        if found != {tensor.name: (tensor.dtype, tensor.shape) for tensor in self.manifest.tensors}:
            raise IntegrityError(f"{TENSORS}: its header does not list the tensors that were committed")
        return entries

    def _open(self, expected: StoredFile, cap: int | None = None) -> ReadFile:
        file = ReadFile(self.folder / expected.name, cap, self.capture.path)
        if file.size != expected.size:
            file.close()
            raise IntegrityError(f"{expected.name}: {file.size:,} bytes; {expected.size:,} were committed")
        return file

    def _expected(self) -> StoredFile:
        file = self._file(TENSORS)
        if file is None:
            raise IntegrityError(f"{TENSORS}: the manifest does not list it")
        return file

    def _file(self, name: str) -> StoredFile | None:
        return next((file for file in self.manifest.files if file.name == name), None)

    def _read(self, name: str, file: ReadFile) -> Array:
        return self._keep(name, tensors.read(file, self._entries[name], self._stored[name]))

    def _rebuild(self, name: str, file: ReadFile) -> Array:
        """Walk back to what is stored or cached, then forward; a part is dropped after its last use."""
        needed: set[str] = set()
        made: dict[str, Array] = {}
        todo = [name]
        while todo:
            part = todo.pop()
            if part in self._cache:
                made[part] = self._cache[part]
            elif part in self._derived and part not in needed:
                needed.add(part)
                todo += self._derived[part].of
        uses = Counter(part for one in needed for part in self._derived[one].of)
        for step in (self._derived[one] for one in self._derived if one in needed):
            parts = [made[part] if part in made else self._read(part, file) for part in step.of]
            made[step.name] = self._sum(step, parts)
            uses.subtract(step.of)
            for part in step.of:
                if uses[part] == 0:
                    made.pop(part, None)
        return made[name]

    def _sum(self, step: DerivedTensor, parts: list[Array]) -> Array:
        if len(parts) > 1 and not residuals.keeps_subnormals():
            raise UsageError(
                f"{step.name} cannot be rebuilt to the bit: this thread takes the smallest numbers for zero; "
                "turn that off with torch.set_flush_denormal(False)"
            )
        array = residuals.rebuild(parts)
        array.flags.writeable = False
        return self._keep(step.name, array)

    def _keep(self, name: str, array: Array) -> Array:
        """Into the cache; the oldest go, but however large they are a block's four sites stay."""
        self._cache[name] = array
        size = sum(kept.nbytes for kept in self._cache.values())
        while size > CACHE_BYTES and len(self._cache) > len(sites.DEFAULT_SITES):
            size -= self._cache.popitem(last=False)[1].nbytes
        return array

    def _offer(self) -> str:
        """What there is instead, in words."""
        have = [f"{site.name} of layers {_ranges(site.layers)}" for site in self.manifest.sites]
        return f"it has {', '.join(have)}" if have else "it has no tensors"


def folder(capture: Path, trace_id: str) -> Path:
    """Where a trace lies."""
    return capture / "traces" / trace_id[:2] / trace_id


def check(manifest: TraceManifest, trace_id: str) -> None:
    """What the types cannot say. Raises UntrustedError for a manifest that contradicts itself."""
    count = len(manifest.token_ids)
    if manifest.id != trace_id or not _ID.fullmatch(trace_id):
        raise UntrustedError(f"trace {safe_text(trace_id, 32)}: its manifest is that of another trace")
    if len(manifest.tokens) != count or len(manifest.attention_mask) != count:
        raise UntrustedError(f"trace {trace_id}: token ids, token strings and mask differ in number")
    if any(not 0 <= span.start <= span.stop <= count for span in manifest.spans):
        raise UntrustedError(f"trace {trace_id}: a span lies outside of the {count} tokens")
    seen: dict[str, tuple[str, list[int]]] = {}
    try:
        for tensor in manifest.all_tensors:
            sites.parse(tensor.name)
            parts = tensor.of if isinstance(tensor, DerivedTensor) else []
            kind = (tensor.dtype, tensor.shape)
            if tensor.name in seen or any(seen.get(part) != kind for part in parts):
                raise UntrustedError(f"trace {trace_id}: {tensor.name} is listed twice or cannot be rebuilt")
            if isinstance(tensor, DerivedTensor) and tuple(parts) not in residuals.sums(tensor.name):
                raise UntrustedError(
                    f"trace {trace_id}: {tensor.name} is not the sum of what it is said to be"
                )
            seen[tensor.name] = kind
    except UsageError as error:
        raise UntrustedError(f"trace {trace_id}: {error}") from None
    names = [file.name for file in manifest.files]
    if len(set(names)) < len(names) or not {TENSORS} <= set(names) <= {TENSORS, STATS}:
        raise UntrustedError(f"trace {trace_id}: its list of files is not that of a trace")


@contextmanager
def blamed(trace_id: str) -> Iterator[None]:
    """Damage found inside is an IntegrityError that names the trace and says what to do."""
    try:
        yield
    except IntegrityError as error:
        if error.trace_id:
            raise
        raise IntegrityError(f"trace {trace_id} is damaged: {error}; {_RESTORE}", trace_id) from None
    except NotFoundError as error:
        raise IntegrityError(f"trace {trace_id} is incomplete: {error}; {_RESTORE}", trace_id) from None


def _ranges(layers: list[int]) -> str:
    """[0, 1, 2, 5] -> `0-2,5`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
