"""`tensorshark models`: the models that can be captured from, and short names for them."""

from __future__ import annotations

from dataclasses import asdict

import click

from tensorshark.traces.text import json_text, safe_text
from tensorshark.tui.cli import output
from tensorshark.tui.cli.output import Column

EPILOG = """\b
Examples:
  tensorshark models list
  tensorshark models add mine ~/models/my-finetune       a folder with config.json and *.safetensors
  tensorshark models add small ./small-q4.gguf           a GGUF file
  tensorshark models add qwen Qwen/Qwen2.5-0.5B          a Hugging Face id
  tensorshark capture -w my.tshark --model mine --prompt "Hello"
  tensorshark models rm mine                             forget the name; your files stay

\b
TENSORSHARK_HOME moves names and the prepared default model to another folder; HF_HUB_OFFLINE=1 keeps
Hugging Face ids to what its cache has.
"""


@click.group("models", epilog=EPILOG)
def command() -> None:
    """The models that can be captured from, and short names for them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object per model and line.")
def list_models(as_json: bool) -> int:
    """Names, where they lead, and whether the files are on this machine."""
    from tensorshark.forensics.capture import models

    entries = models.entries()
    if as_json:
        output.write(json_text(asdict(entry)) for entry in entries)
        return 0
    columns = [Column("name"), Column("files"), Column("size", right=True), Column("source")]
    rows = [
        (
            safe_text(entry.name),
            "here" if entry.ready else "fetched when used" if entry.fetchable else "missing",
            output.size(entry.size) if entry.ready else "",
            safe_text(entry.source),
        )
        for entry in entries
    ]
    output.write(output.table(columns, rows, output.width()))
    return 0


@command.command("add")
@click.argument("name")
@click.argument("source")
def add_model(name: str, source: str) -> int:
    """Call SOURCE (a folder, a .gguf file or a Hugging Face id) NAME from now on."""
    from tensorshark.forensics.capture import models

    entry = models.add(name, source)
    output.note(f"{safe_text(entry.name)} is {safe_text(entry.source)}")
    return 0


@command.command("rm")
@click.argument("name")
def remove_model(name: str) -> int:
    """Forget NAME. Of the built-in model the prepared copy is deleted; files of yours are never touched."""
    from tensorshark.forensics.capture import models

    freed = models.remove(name)
    output.note(f"{safe_text(name)} removed" + (f", {output.size(freed)} freed" if freed else ""))
    return 0
