"""Chat templates, rendered where they can do no harm.

A template is a program that came with a model. Hugging Face's sandbox keeps it from files and imports, not
from looping for ever or filling the memory, so it runs in a child process with limits on both.

Run as `python -m tensorshark.forensics.capture.template`: one JSON request on stdin, one reply on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorshark.traces.errors import UntrustedError
from tensorshark.traces.text import safe_text

CPU_SECONDS = 20
MEMORY = 1 << 30
"""Bytes that rendering may take beyond what the imports took."""

Messages = Sequence[tuple[str, str]]
"""(role, content) of each turn."""


def render(
    template: str,
    conversations: Sequence[Messages],
    special_tokens: Mapping[str, Any],
    cpu_seconds: int = CPU_SECONDS,
) -> list[str]:
    """Each conversation as the text that the model was trained to read, ready for its answer.

    A last turn by the assistant is left as it is, without the opening of another. Raises UntrustedError
    when the template fails or takes too much.
    """
    request = {
        "template": template,
        "cpu_seconds": cpu_seconds,
        "special_tokens": {key: value for key, value in special_tokens.items() if isinstance(value, str)},
        "conversations": [
            [{"role": role, "content": content} for role, content in messages] for messages in conversations
        ],
    }
    command = [sys.executable, "-P", "-m", "tensorshark.forensics.capture.template"]
    data = json.dumps(request).encode()
    environment = {name: value for name, value in os.environ.items() if "TOKEN" not in name.upper()}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, check=False, timeout=6 * cpu_seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        raise UntrustedError(f"the chat template ran for more than {6 * cpu_seconds} s; stopped") from None
    if done.returncode < 0:
        raise UntrustedError(f"the chat template used more than {cpu_seconds} s of processor time; stopped")
    try:
        reply = json.loads(done.stdout)
    except ValueError:
        reply = {"error": (done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"])[-1]}
    if "error" in reply:
        raise UntrustedError(f"the chat template failed: {safe_text(str(reply['error']), 300)}")
    return list(reply["texts"])


def _child() -> None:
    request = json.load(sys.stdin)
    from transformers.utils.chat_template_utils import render_jinja_template

    _limit(request["cpu_seconds"])
    try:
        texts = []
        for conversation in request["conversations"]:
            rendered: Any = render_jinja_template(
                conversations=[conversation],
                chat_template=request["template"],
                add_generation_prompt=conversation[-1]["role"] != "assistant",
                **request["special_tokens"],
            )
            texts.append(rendered[0][0])  # of (texts, generation indices)
        reply: dict[str, Any] = {"texts": texts}
    except MemoryError:
        reply = {"error": f"more than {MEMORY:,} bytes of memory"}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    json.dump(reply, sys.stdout)


def _limit(cpu_seconds: int) -> None:
    """From here on so much processor time and MEMORY more bytes, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _child()
