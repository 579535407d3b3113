"""Prompts and where they come from: arguments, and .txt, .jsonl and .csv files, read strictly.

Input is untrusted: bytes must be UTF-8, every line has a cap, and an error names the file and the line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from tensorshark.traces.errors import NotFoundError, UntrustedError, UsageError
from tensorshark.traces.text import safe_text

FORMATS = ("txt", "jsonl", "csv")
MAX_LINE = 4 << 20
"""Bytes of one line (a prompt, or a whole conversation)."""
MAX_LABELS = 64
MAX_LABEL = 4096
"""Characters of a label's key or value."""


@dataclass(frozen=True)
class Prompt:
    """One prompt or conversation to run through the model."""

    text: str = ""
    """Empty when there are messages."""
    messages: tuple[tuple[str, str], ...] = ()
    """(role, content) of each turn; rendered with the model's chat template."""
    labels: dict[str, str] = field(default_factory=dict)
    where: str = ""
    """`corpus.jsonl:12`, for messages about this prompt: safe to show."""


def read_prompts(source: Path | IO[bytes], kind: str, name: str, labels: dict[str, str]) -> Iterator[Prompt]:
    """Prompts of one file, in order; `labels` are added to each (the file's own win).

    Raises NotFoundError for a missing file, UntrustedError for bytes that are refused and UsageError for
    well-formed text of the wrong shape; both name `name` and the line.
    """
    readers = {"txt": _read_text, "jsonl": _read_jsonl, "csv": _read_csv}
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                yield from read_prompts(file, kind, name, labels)
        except OSError as error:
            raise NotFoundError(f"{safe_text(str(source))}: cannot be read: {error.strerror}") from None
        return
    for prompt in readers[kind](_lines(source, safe_text(name))):
        yield replace(prompt, labels=labels | prompt.labels)


def kind_of(name: str, otherwise: str | None = None) -> str:
    """`txt`, `jsonl` or `csv` by the file's ending; UsageError for another ending and no `otherwise`."""
    ending = Path(name).suffix.lower().lstrip(".")
    if ending in FORMATS:
        return ending
    if otherwise is not None:
        return otherwise
    if ending == "json":
        raise UsageError(f"{safe_text(name)}: one JSON object a line is needed; call it .jsonl")
    raise UsageError(f"{safe_text(name)}: not .txt, .jsonl or .csv; say which with --format")


def checked_text(text: str, what: str) -> str:
    """`text` when it is valid Unicode; UntrustedError naming `what` for a lone surrogate."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UntrustedError(
                f"{what}: character {error.start + 1} is half of a surrogate pair, not a character; refused"
            ) from None
    return text


def parse_labels(pairs: Iterable[str]) -> dict[str, str]:
    """`["category=fact"]` -> {"category": "fact"}. UsageError for a pair without `=` or an empty key."""
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--label {safe_text(pair, 200)}: write it as key=value")
        labels[checked_text(key, "--label")] = checked_text(value, "--label")
    return labels


Line = tuple[str, str]
"""(`corpus.jsonl:12`, the line without its newline)"""


def _lines(file: IO[bytes], name: str) -> Iterator[Line]:
    number = 0
    while data := file.readline(MAX_LINE + 1):
        number += 1
        where = f"{name}:{number}"
        if len(data) > MAX_LINE:
            raise UntrustedError(f"{where}: a line of more than {MAX_LINE:,} bytes; refused")
        try:
            text = data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UntrustedError(
                f"{where}: byte {error.start + 1} of the line is not UTF-8 "
                f"(0x{data[error.start]:02x}); convert the file first, e.g. with iconv"
            ) from None
        yield where, text.removesuffix("\n").removesuffix("\r")


def _read_text(lines: Iterator[Line]) -> Iterator[Prompt]:
    for where, text in lines:
        if text:
            yield Prompt(text=text, where=where)


def _read_jsonl(lines: Iterator[Line]) -> Iterator[Prompt]:
    for where, text in lines:
        if text.strip():
            yield _from_json(text, where)


def _from_json(text: str, where: str) -> Prompt:
    """`{"prompt": …}` or `{"messages": [{"role": …, "content": …}]}`; other plain values are labels."""
    try:
        row = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UntrustedError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UsageError(f'{where}: a {type(row).__name__}; write {{"prompt": "…"}}')
    prompt, messages, labels = row.pop("prompt", None), row.pop("messages", None), row.pop("labels", {})
    if (prompt is None) == (messages is None):
        raise UsageError(f'{where}: needs "prompt" or "messages", and not both')
    if not isinstance(labels, dict):
        raise UsageError(f'{where}: "labels" must be an object')
    checked = _labels(row | labels, where)
    if messages is not None:
        return Prompt(messages=_messages(messages, where), labels=checked, where=where)
    if not isinstance(prompt, str):
        raise UsageError(f'{where}: "prompt" must be a string')
    return Prompt(text=checked_text(prompt, where), labels=checked, where=where)


def _messages(messages: Any, where: str) -> tuple[tuple[str, str], ...]:
    turns = []
    for turn in messages if isinstance(messages, list) else [None]:
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise UsageError(f'{where}: "messages" must be a list of {{"role": "…", "content": "…"}}')
        turns.append((checked_text(role, where), checked_text(content, where)))
    if not turns:
        raise UsageError(f'{where}: "messages" is empty')
    return tuple(turns)


def _read_csv(lines: Iterator[Line]) -> Iterator[Prompt]:
    where = ""

    def texts() -> Iterator[str]:
        nonlocal where
        for where, text in lines:  # noqa: B007 - read outside, when a row is complete
            yield text + "\n"

    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(texts(), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        if "prompt" not in header:
            raise UsageError(f'{where}: a CSV file needs a header with a "prompt" column')
        if len(set(header)) != len(header):
            raise UsageError(f"{where}: a column name appears twice")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UsageError(f"{where}: {len(row)} values for {len(header)} columns")
            cells = dict(zip(header, row, strict=True))
            text = cells.pop("prompt")
            labels = _labels({key: value for key, value in cells.items() if value}, where)
            yield Prompt(text=text, labels=labels, where=where)
    except csv.Error as error:
        raise UntrustedError(f"{where}: not CSV: {error}") from None


def _labels(row: dict[str, Any], where: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for key, value in row.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, (str, int, float)):
            raise UsageError(f"{where}: label {safe_text(key, 80)!r} must be a text or a number")
        labels[checked_text(key, where)] = checked_text(str(value), where)
    if len(labels) > MAX_LABELS:
        raise UntrustedError(f"{where}: {len(labels)} labels; the cap is {MAX_LABELS}")
    if any(len(text) > MAX_LABEL for pair in labels.items() for text in pair):
        raise UntrustedError(f"{where}: a label of more than {MAX_LABEL:,} characters; refused")
    return labels


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key appears twice")
    return row
