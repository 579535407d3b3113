"""What a capture run is asked to do, how it reports, and what it did. Importing this costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tensorshark.traces.errors import UsageError
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES, SITES
from tensorshark.traces.text import safe_text

Bos = Literal["auto", "always", "never"]
DType = Literal["float32", "bfloat16", "float16"]
LensFile = Literal["auto", "embed", "link", "none"]

DEFAULT_MODEL = "smollm2-135m-instruct"
CAPTURE_SITES = (*SITES, ATTENTION)
"""Every name that `sites` takes; `attn` stands for the attention summaries."""


@dataclass(frozen=True)
class CaptureSettings:
    """Everything a capture depends on besides the prompts."""

    model: str = DEFAULT_MODEL
    """A name from `tensorshark models list`, a folder, a .gguf file or a Hugging Face id."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id."""
    sites: tuple[str, ...] = (*DEFAULT_SITES, ATTENTION)
    """Among CAPTURE_SITES."""
    layers: str = ""
    """`0-5,11`; empty for all, negative numbers count from the last (`-1`)."""
    dtype: DType = "float32"
    """What the model computes in, and so what is stored."""
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the fastest there is."""
    bos: Bos = "auto"
    """`auto`: what the model's tokenizer does to plain text. A text never gets two."""
    chat: bool = False
    """Put each plain prompt into the model's chat template as a user's message."""
    batch_size: int = 16
    """Prompts per forward pass, at most; fewer when they are long."""
    max_tokens: int = 0
    """Longer prompts are cut at the end and say so; 0 is the model's own limit."""
    top_k: int = 10
    """How many candidates for the next token are kept."""
    lens_file: LensFile = "auto"
    """Where final norm and unembedding go; `auto` embeds below 256 MB and links above."""
    allow_pickle: bool = False
    """Also load weights that are pickles (they can run code)."""
    trust_remote_code: bool = False
    """Also run Python that comes with the model; a Hugging Face id then needs a full commit as revision."""
    keep: str = ""
    """A display filter: traces that it does not match are not stored; empty for all. See `keep`."""
    macros: Mapping[str, str] = field(default_factory=dict)
    """What `${name}` in `keep` stands for."""
    argv: tuple[str, ...] = ()
    """The command line for the provenance, without the prompts."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.sites) - set(CAPTURE_SITES)):
            raise UsageError(f"no such site: {', '.join(unknown)}; there are {', '.join(CAPTURE_SITES)}")
        if not self.sites:
            raise UsageError(f"no site to capture; there are {', '.join(CAPTURE_SITES)}")
        if self.batch_size < 1:
            raise UsageError("--batch-size must be at least 1")
        if self.max_tokens < 0 or self.top_k < 0:
            raise UsageError("--max-tokens and --top-k must not be negative")


@dataclass(frozen=True)
class Progress:
    """Where a run is; sent at every change worth drawing."""

    stage: Literal["model", "capture"]
    """`model`: fetching, converting or loading it; `capture`: the passes."""
    text: str = ""
    """What is being done, in words that may be shown."""
    done: int = 0
    total: int = 0
    """Steps of the stage; 0 when it cannot be known. In `capture` a step is a trace."""
    tokens: int = 0
    """Tokens that went through the model so far."""
    bytes: int = 0
    """Bytes of trace files committed so far."""


OnProgress = Callable[[Progress], None]
"""Called on the thread that called `capture`."""


def no_progress(progress: Progress) -> None:
    """For callers that do not draw."""


@dataclass
class Summary:
    """What a capture run did."""

    path: Path
    model: str = ""
    """The model's folder name in the capture."""
    prompts: int = 0
    captured: int = 0
    """Traces committed by this run."""
    skipped: int = 0
    """Prompts whose trace was already there."""
    dropped: int = 0
    """Traces that have run and were not stored, because `keep` did not match them."""
    failed: list[str] = field(default_factory=list)
    """One sentence for each prompt that could not be captured, naming it and why."""
    tokens: int = 0
    """Tokens of the captured traces."""
    tensor_bytes: int = 0
    """Bytes of the captured traces' tensor files."""
    plain_bytes: int = 0
    """Bytes their four residual sites would take as float32, nothing derived."""
    bytes: int = 0
    """Bytes of all the captured traces' files."""
    seconds: float = 0.0
    """Of tokenising, the passes and the writing."""
    load_seconds: float = 0.0
    """Of finding and loading the model, and of keeping its record and lens in the capture."""
    experts: dict[str, int] = field(default_factory=dict)
    """Expert code -> number of traces that have it."""
    remarks: list[str] = field(default_factory=list)
    """Sentences about the run that a person should read."""
    interrupted: bool = False
    """Ctrl-C came; what was committed is valid, and running again continues."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a capture; what was committed before is valid."""

    def __init__(self, summary: Summary) -> None:
        super().__init__()
        self.summary = summary
        """What the run did until then."""


_LAYERS = re.compile(r"\s*(-?[0-9]{1,4})(?:-(-?[0-9]{1,4}))?\s*")


def parse_layers(text: str, count: int) -> list[int]:
    """`0-5,11` -> ascending layer numbers, all of `count` for an empty text; else UsageError."""
    if not text.strip():
        return list(range(count))
    layers: set[int] = set()
    for part in text.split(","):
        match = _LAYERS.fullmatch(part)
        if not match:
            raise UsageError(f"--layers: {safe_text(part, 80)!r} is not a layer; write e.g. 0-5,11")
        low, high = (int(n) + count if n[0] == "-" else int(n) for n in (match[1], match[2] or match[1]))
        if not 0 <= low <= high < count:
            raise UsageError(f"--layers: {part.strip()!r} is not within 0-{count - 1}")
        layers.update(range(low, high + 1))
    return sorted(layers)
