"""`tensorshark info`: what is in a capture, and whether it is still what was committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from tensorshark.traces.errors import StorageError, TensorsharkError
from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output

if TYPE_CHECKING:
    from tensorshark.traces.manifest import ModelRecord, TraceManifest
    from tensorshark.traces.store import Capture, Sizes

QUICK = 1000
"""Manifests that the quick check reads, evenly spaced over the capture."""
MANY = 12
"""Label values shown per key; --json has them all."""

EPILOG = """\b
Examples:
  tensorshark info demo.tshark
  tensorshark info demo.tshark --full          read and check every byte
  tensorshark info demo.tshark --json | jq .labels

\b
JSON: path, uuid, created_at, tool, traces, first, last, tokens, models [{name, source, revision,
  architecture, layers, heads, d_model, vocab, fingerprint, lens, traces}], sites [{name, layers, dtype,
  traces}], labels {key: {value: traces}}, experts {severity: {code: traces}}, sizes {traces, tensors,
  models, journal, index, plain, ratio} in bytes (ratio is tensors / plain), integrity {ok, full, checked,
  problems}.
  tokens, sites, experts and the models' traces are of the traces that were checked: all with --full or up
  to 1000 traces, else 1000 of them, evenly spaced.

\b
Exit codes: 0 ok, 3 no such capture, 4 something is not what was committed.
"""


@click.command("info", epilog=EPILOG)
@click.argument("capture", type=click.Path())
@click.option("--full", is_flag=True, help="Read and check every byte, not only journals and manifests.")
@click.option("--json", "as_json", is_flag=True, help="One object on one line; see JSON.")
def command(capture: str, full: bool, as_json: bool) -> int:
    """What is in CAPTURE: models, traces, labels, sites, sizes, and whether it is what was committed."""
    from tensorshark.traces.store import Capture

    opened = Capture.open(capture)
    facts = Facts()
    if as_json:
        _check(opened, facts, full)
        output.write([json_text(_data(opened, facts, full))])
    else:
        output.write(_lines(opened, facts, full))
    return 4 if facts.problems else 0


@dataclass
class Facts:
    """What the check gathers from the manifests that it reads."""

    checked: int = 0
    """Traces whose manifests were read."""
    lengths: list[int] = field(default_factory=list)
    """Tokens of each."""
    models: Counter[str] = field(default_factory=Counter)
    """Model -> traces."""
    records: dict[str, ModelRecord] = field(default_factory=dict)
    """Name -> record of every model in the capture."""
    sites: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """(site, how many layers, dtype) -> traces."""
    experts: dict[str, Counter[str]] = field(default_factory=dict)
    """Severity -> code -> traces."""
    problems: list[str] = field(default_factory=list)
    """What is not as it was committed, in words that are safe to print."""

    def add(self, manifest: TraceManifest) -> None:
        """Count one trace."""
        self.lengths.append(len(manifest.token_ids))
        self.models[manifest.model] += 1
        for site in manifest.sites:
            self.sites[site.name, len(site.layers), site.dtype] += 1
        for severity, code in {(expert.severity, expert.code) for expert in manifest.experts}:
            self.experts.setdefault(severity, Counter())[code] += 1


def _check(capture: Capture, facts: Facts, full: bool) -> None:
    """Journals and manifests against each other; with `full` also every statistic, tensor and lens."""
    ids = capture.ids()
    step = 1 if full else max(1, -(-len(ids) // QUICK))
    chosen = ids[::step]
    facts.problems += map(safe_text, capture.problems())
    with output.progress("checking traces") as show:
        for done, trace_id in enumerate(chosen):
            show(done, len(chosen))
            facts.checked += 1
            with _noting(facts, f"trace {trace_id}"):
                trace = capture.trace(trace_id)
                facts.add(trace.manifest)
                if full:
                    _ = trace.stats
                    for name in trace.tensor_names:
                        trace.load(name)
    with _noting(facts, ""):
        facts.records = capture.models()
    for name, record in facts.records.items() if full else ():
        with _noting(facts, f"model {name}: "):
            if record.lens.storage == "embed":
                capture.lens(name)
            if record.vocab_sha256:
                capture.vocab(name)


@contextmanager
def _noting(facts: Facts, about: str) -> Iterator[None]:
    """What is wrong with one thing is noted, and the check goes on. A failing disk is another matter."""
    try:
        yield
    except StorageError:
        raise
    except TensorsharkError as error:
        text = str(error)
        facts.problems.append(text if about.split(":")[0] in text else about + text)


def _lines(capture: Capture, facts: Facts, full: bool) -> Iterator[str]:
    record = capture.record
    yield _line("capture", f"{safe_text(capture.path.name)}, {safe_text(record.uuid)}")
    yield _line("created", f"{safe_text(record.created_at)} by {safe_text(record.tool)}")
    journal = capture.journal()
    between = (
        f", {_second(journal[0].committed_at)} to {_second(journal[-1].committed_at)}" if journal else ""
    )
    yield _line("traces", f"{len(journal):,}{between}")
    _check(capture, facts, full)
    of_all = "" if facts.checked == len(journal) else f" in {facts.checked:,} of them"
    if facts.lengths:
        each = f"{min(facts.lengths)} to {max(facts.lengths)} each"
        yield _line("tokens", f"{sum(facts.lengths):,}{of_all}, {each}")
    for name, model in facts.records.items():
        yield _line("model", f"{name}: {_model(model)}; {facts.models[name]:,} traces{of_all}")
    for (layers, dtype, count), sites in _alike(facts.sites).items():
        some = "" if count == facts.checked else f", {count:,} traces"
        yield _line("sites", f"{safe_text(', '.join(sites))}: {layers} layers, {safe_text(dtype)}{some}")
    for key, values in _labels(capture).items():
        listed = [f"{safe_text(value, 64)} {count:,}" for value, count in _most(values)[:MANY]]
        more = [f"… and {len(values) - MANY:,} other values"] if len(values) > MANY else []
        yield _line("label", f"{safe_text(key, 64)}: {', '.join([*listed, *more])}")
    for severity, codes in facts.experts.items():
        listed = [f"{safe_text(code, 64)} {count:,}" for code, count in codes.most_common()]
        yield _line("expert", f"{safe_text(severity, 64)}: {', '.join(listed)}{of_all}")
    yield _line("sizes", _sizes(capture.sizes()))
    yield from _integrity(facts, full, len(journal))


def _line(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def _integrity(facts: Facts, full: bool, count: int) -> Iterator[str]:
    if full:
        what = f"journals, {facts.checked:,} manifests and every tensor, statistic and lens"
    else:
        part = f"{facts.checked:,}" if facts.checked == count else f"{facts.checked:,} of {count:,}"
        what = f"journals and {part} manifests; --full reads every byte"
    if not facts.problems:
        yield _line("integrity", f"ok: {what}")
        return
    yield _line("integrity", f"{len(facts.problems):,} damaged: {what}")
    for problem in facts.problems:
        yield _line("", problem)


def _model(model: ModelRecord) -> str:
    lens = model.lens.storage if model.lens.storage != "embed" else output.size(model.lens.size)
    return (
        f"{safe_text(model.architecture)}, {model.layers} layers, {model.heads} heads, "
        f"d_model {model.d_model}, vocabulary {model.vocab:,}, lens {safe_text(lens)}, "
        f"fingerprint {safe_text(model.fingerprint[:12])}"
    )


def _sizes(sizes: Sizes) -> str:
    ratio = ""
    if sizes.plain:
        ratio = f" ({sizes.tensors / sizes.plain:.2f}x of the plain layout's {output.size(sizes.plain)})"
    return (
        f"tensors {output.size(sizes.tensors)}{ratio}, with manifests and statistics "
        f"{output.size(sizes.traces)}; models {output.size(sizes.models)}, "
        f"journal {output.size(sizes.journal)}, index {output.size(sizes.index)}"
    )


def _labels(capture: Capture) -> dict[str, dict[str, int]]:
    """Of all traces, from the index."""
    from tensorshark.traces.index import Index

    with Index.open(capture) as index:
        return index.labels()


def _alike(sites: Counter[tuple[str, int, str]]) -> dict[tuple[int, str, int], list[str]]:
    """Sites by what they have in common: (how many layers, dtype, traces)."""
    groups: dict[tuple[int, str, int], list[str]] = {}
    for (site, layers, dtype), count in sites.items():
        groups.setdefault((layers, dtype, count), []).append(site)
    return groups


def _most(values: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(values.items(), key=lambda item: -item[1])


def _second(time: str) -> str:
    """`2026-08-01 10:03:12` of an ISO time."""
    return safe_text(time[:19].replace("T", " "))


def _data(capture: Capture, facts: Facts, full: bool) -> dict[str, Any]:
    record, journal, sizes = capture.record, capture.journal(), capture.sizes()
    return {
        "path": str(capture.path),
        "uuid": record.uuid,
        "created_at": record.created_at,
        "tool": record.tool,
        "traces": len(journal),
        "first": journal[0].committed_at if journal else None,
        "last": journal[-1].committed_at if journal else None,
        "tokens": sum(facts.lengths),
        "models": [
            {
                "name": name,
                "source": model.source,
                "revision": model.revision,
                "architecture": model.architecture,
                "layers": model.layers,
                "heads": model.heads,
                "d_model": model.d_model,
                "vocab": model.vocab,
                "fingerprint": model.fingerprint,
                "lens": model.lens.storage,
                "traces": facts.models[name],
            }
            for name, model in facts.records.items()
        ],
        "sites": [
            {"name": name, "layers": layers, "dtype": dtype, "traces": count}
            for (name, layers, dtype), count in facts.sites.items()
        ],
        "labels": _labels(capture),
        "experts": facts.experts,
        "sizes": {
            "traces": sizes.traces,
            "tensors": sizes.tensors,
            "models": sizes.models,
            "journal": sizes.journal,
            "index": sizes.index,
            "plain": sizes.plain,
            "ratio": sizes.tensors / sizes.plain if sizes.plain else None,
        },
        "integrity": {
            "ok": not facts.problems,
            "full": full,
            "checked": facts.checked,
            "problems": facts.problems,
        },
    }
