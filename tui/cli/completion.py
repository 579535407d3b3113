"""`tensorshark completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

EPILOG = """\b
Examples:
  eval "$(tensorshark completion bash)"                                   in ~/.bashrc
  eval "$(tensorshark completion zsh)"                                    in ~/.zshrc
  tensorshark completion fish > ~/.config/fish/completions/tensorshark.fish
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    from tensorshark.tui.cli import COMPLETE

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "tensorshark", COMPLETE).source())
