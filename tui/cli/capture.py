"""`tensorshark capture`: run prompts through a model and keep what flows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tensorshark.forensics.capture import (
    CaptureSettings,
    Interrupted,
    Prompt,
    Summary,
    capture,
    plan,
)
from tensorshark.forensics.capture.prompts import FORMATS, checked_text, kind_of, parse_labels, read_prompts
from tensorshark.forensics.capture.settings import CAPTURE_SITES, DEFAULT_MODEL
from tensorshark.traces.errors import UsageError
from tensorshark.traces.sites import ATTENTION, DEFAULT_SITES
from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.capture_progress import drawn

if TYPE_CHECKING:
    from tensorshark.forensics.capture.estimate import Plan

SHOWN_FAILURES = 10
"""Prompts that could not be captured and are named one by one; --json has them all."""

EPILOG = """\b
Examples:
  tensorshark capture -w my.tshark --prompt "The capital of France is"
  tensorshark capture -w my.tshark -i prompts.txt --label source=web --bos always
  tensorshark capture -w my.tshark -i attacks.jsonl --chat --layers 0-5,-1 --patterns
  tensorshark capture -w my.tshark -i big.csv --keep 'label.category == "injection" or max(surprisal) > 12'
  tensorshark capture -w my.tshark -i big.csv --model ./my-model --dtype bfloat16 --dry-run
  generate-prompts | tensorshark capture -w my.tshark -i - --format jsonl --json

\b
Input files, UTF-8:
  .txt    a prompt a line; empty lines are skipped
  .jsonl  {"prompt": "...", "labels": {"category": "fact"}} or {"messages": [{"role": ..., "content": ...}]};
          other texts and numbers of an object are labels too
  .csv    a header with a prompt column; the other columns are labels

\b
Sites: resid_pre, attn_out, mlp_out, resid_post (all of them by default), attn (attention summaries, by
  default), pattern (whole attention patterns, also --patterns).

\b
Keep: a display filter, asked of each trace when it has run and before it is stored. It may speak of prompt,
  text, labels, tokens, next token, statistics, tensors of the captured sites, findings, lens and surprisal;
  not of number, time, marks, ranks or other traces. What it drops runs again when the line is run again.

\b
What is there already is not computed again: run the same line after Ctrl-C and it goes on. Several models may
  share one capture.

\b
Exit codes: 0 ok, 1 some prompts could not be captured, 2 usage, 3 no such model or file, 5 the disk refuses,
  6 untrusted input refused, 130 Ctrl-C.
"""


@click.command("capture", epilog=EPILOG)
@click.option(
    "-w",
    "--write",
    "path",
    required=True,
    type=click.Path(),
    metavar="OUT.tshark",
    help="The capture to write; made, or added to.",
)
@click.option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    help="A name of `tensorshark models list`, a folder, a .gguf file or a Hugging Face id.",
)
@click.option("-p", "--prompt", "texts", multiple=True, metavar="TEXT", help="A prompt; repeatable.")
@click.option(
    "-i",
    "--input",
    "files",
    multiple=True,
    metavar="FILE",
    help="A file of prompts, or - for stdin; repeatable.",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Of the input, where its name does not say."
)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Put on every trace; repeatable.")
@click.option(
    "--sites", default=",".join((*DEFAULT_SITES, ATTENTION)), metavar="NAMES", help="What to keep; see Sites."
)
@click.option(
    "--layers",
    default="",
    metavar="LIST",
    help="Which layers, e.g. 0-5,11 or -1 for the last; all by default.",
)
@click.option("--patterns", is_flag=True, help="Keep whole attention patterns: heads x tokens^2 per layer.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="What the model computes in, and so what is kept.",
)
@click.option(
    "--device", default="cpu", show_default=True, metavar="NAME", help="cpu, cuda, cuda:1, mps, or auto."
)
@click.option(
    "--bos",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="auto: as the model's own tokenizer does; never two.",
)
@click.option("--chat", is_flag=True, help="Put prompts into the model's chat template, as a user's message.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    metavar="N",
    help="Prompts per pass.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Cut longer prompts; by default at the model's own limit.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Candidates kept for the next token.",
)
@click.option(
    "--lens-file",
    type=click.Choice(["auto", "embed", "link", "none"]),
    default="auto",
    show_default=True,
    help="Where the weights of the logit lens go; auto embeds below 256 MB.",
)
@click.option(
    "--keep",
    default="",
    metavar="FILTER",
    help="Store only the traces that match; see Keep.",
)
@click.option("--revision", metavar="REV", help="Branch, tag or commit of a Hugging Face id.")
@click.option("--allow-pickle", is_flag=True, help="Load weights that are pickles; they can run code.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python that comes with the model; needs --revision COMMIT."
)
@click.option(
    "-n", "--dry-run", is_flag=True, help="Print what would be written, to the byte, and write nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    path: str,
    texts: tuple[str, ...],
    files: tuple[str, ...],
    form: str | None,
    labels: tuple[str, ...],
    sites: str,
    patterns: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Run prompts through a model and keep what flows: residual stream, its parts, attention summaries."""
    prompts = list(_prompts(texts, files, form, parse_labels(labels)))
    if not prompts:
        raise UsageError("nothing to capture: give --prompt TEXT or -i FILE with prompts in it")
    names = [name.strip() for name in sites.split(",") if name.strip()] + ["pattern"] * patterns
    chosen = tuple(name for name in CAPTURE_SITES if name in names) + tuple(set(names) - set(CAPTURE_SITES))
    settings = CaptureSettings(
        sites=chosen, macros=_macros(options["keep"]), argv=tuple(_argv(ctx)), **options
    )
    with drawn() as on_progress:
        if dry_run:
            planned = plan(prompts, path, settings, on_progress)
        else:
            try:
                summary = capture(prompts, path, settings, on_progress)
            except Interrupted as interrupted:
                summary = interrupted.summary
    if dry_run:
        return _say_plan(planned, path, as_json)
    return _say_summary(summary, as_json, bool(settings.keep.strip()))


def _prompts(
    texts: Sequence[str], files: Sequence[str], form: str | None, labels: dict[str, str]
) -> Iterator[Prompt]:
    """Everything is read and checked before a model is loaded."""
    for number, text in enumerate(texts, 1):
        yield Prompt(checked_text(text, f"--prompt {number}"), labels=labels, where=f"--prompt {number}")
    for name in files:
        if name != "-":
            yield from read_prompts(Path(name), kind_of(name, form), name, labels)
        elif form is None:
            raise UsageError("-i - reads stdin: say what it holds with --format txt, jsonl or csv")
        else:
            yield from read_prompts(sys.stdin.buffer, form, "stdin", labels)


def _macros(keep: str) -> dict[str, str]:
    """The user's, where --keep uses any."""
    if "${" not in keep:
        return {}
    from tensorshark.forensics import config

    return {name: text for name, (text, _) in config.macros().items()}


def _argv(ctx: click.Context) -> Iterator[str]:
    """The command line for the provenance: what was given, with prompts left out."""
    yield from ("tensorshark", "capture")
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        values = ctx.params[name]
        for value in values if isinstance(values, tuple) else (values,):
            yield max(parameter.opts, key=len)
            if not isinstance(value, bool):
                yield "…" if name == "texts" else str(value).encode(errors="backslashreplace").decode()


def _say_plan(planned: Plan, path: str, as_json: bool) -> int:
    if as_json:
        output.write([json_text({**asdict(planned), "bytes": planned.bytes})])
    else:
        output.write(
            [
                *([f"keeps        at most what follows: {planned.keep}"] if planned.keep else []),
                f"would write  {planned.traces:,} traces, {planned.tokens:,} tokens, to {safe_text(path)}"
                f" ({planned.skipped:,} are there already)",
                f"tensors      {planned.tensor_bytes:,} bytes"
                + _of_plain(planned.tensor_bytes, planned.plain_bytes),
                f"statistics   {planned.stats_bytes:,} bytes",
                f"manifests    about {planned.manifest_bytes:,} bytes",
                f"lens file    {planned.lens_bytes:,} bytes",
                f"in all       about {output.size(planned.bytes)}",
            ]
        )
    return _say_failures(planned.failed)


def _say_summary(summary: Summary, as_json: bool, keep: bool) -> int:
    """The last words on stderr, the data on stdout; raises KeyboardInterrupt after Ctrl-C."""
    for remark in summary.remarks:
        output.note(safe_text(remark))
    passed = summary.captured + summary.dropped
    rate = f"{passed / summary.seconds:.1f} traces/s" if passed else "nothing to do"
    kept = f"kept {summary.captured:,} of {passed:,}" if keep else f"{summary.captured:,}"
    output.note(
        f"{kept} traces, {summary.tokens:,} tokens, {output.size(summary.bytes)}"
        f"{_of_plain(summary.tensor_bytes, summary.plain_bytes)} in {summary.seconds:.1f} s, {rate}"
        + (f"; {summary.skipped:,} were there already" if summary.skipped else "")
        + f"; {safe_text(str(summary.path))} is valid"
    )
    for expert, count in sorted(summary.experts.items()):
        output.note(f'expert {expert}: {count:,} traces; filter with expert.code == "{expert}"')
    if as_json:
        output.write([json_text({**asdict(summary), "path": str(summary.path)})])
    code = _say_failures(summary.failed)
    if summary.interrupted:
        raise KeyboardInterrupt
    return code


def _of_plain(stored: int, plain: int) -> str:
    return f" ({stored / plain:.2f} of the plain layout)" if plain else ""


def _say_failures(failed: Sequence[str]) -> int:
    for reason in failed[:SHOWN_FAILURES]:
        output.note(f"not captured: {reason}")
    if len(failed) > SHOWN_FAILURES:
        output.note(f"not captured: {len(failed) - SHOWN_FAILURES:,} more; --json has them all")
    return 1 if failed else 0
