"""Prompt files: strict, capped, and errors that name the line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tensorshark.forensics.capture.prompts import (
    MAX_LINE,
    Prompt,
    checked_text,
    kind_of,
    parse_labels,
    read_prompts,
)
from tensorshark.forensics.corpus import DEMO
from tensorshark.traces.errors import NotFoundError, TensorsharkError, UntrustedError, UsageError


def read(data: bytes, kind: str, **labels: str) -> list[Prompt]:
    return list(read_prompts(io.BytesIO(data), kind, "in", labels))


def test_text_is_a_prompt_a_line() -> None:
    found = read("Hi\n\nGrüße \u2028 \x0b \r\nlast".encode(), "txt", source="web")
    assert [prompt.text for prompt in found] == ["Hi", "Grüße \u2028 \x0b ", "last"]
    assert [prompt.where for prompt in found] == ["in:1", "in:3", "in:4"]
    assert found[0].labels == {"source": "web"}


def test_a_byte_order_mark_is_no_text() -> None:
    assert read(b"\xef\xbb\xbfHi\n", "txt")[0].text == "Hi"


def test_jsonl() -> None:
    rows = b"""{"prompt": "a", "labels": {"category": "x", "n": 3}, "lang": "de", "flag": true, "gone": null}
    {"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]}
"""
    one, two = read(rows, "jsonl", category="given", by="me")
    assert one == Prompt(
        "a", labels={"category": "x", "by": "me", "n": "3", "lang": "de", "flag": "true"}, where="in:1"
    )
    assert two.messages == (("user", "b"), ("assistant", "c"))
    assert two.text == ""


def test_csv() -> None:
    data = b'category,prompt,lang\nfact,"The ""capital""\nof, France",\nprose,x,fr\n'
    one, two = read(data, "csv")
    assert one == Prompt('The "capital"\nof, France', labels={"category": "fact"}, where="in:3")
    assert two == Prompt("x", labels={"category": "prose", "lang": "fr"}, where="in:4")
    assert read(b"", "csv") == []


@pytest.mark.parametrize(
    ("kind", "data", "error", "said"),
    [
        ("txt", b"ok\nba\xffd\n", UntrustedError, r"in:2: byte 3 of the line is not UTF-8 \(0xff\)"),
        ("txt", b"x" * (MAX_LINE + 1), UntrustedError, "in:1: a line of more than"),
        ("jsonl", b'{"prompt": "a"}\n{"prompt": ', UntrustedError, "in:2: not JSON"),
        ("jsonl", b'{"prompt": "a", "prompt": "b"}', UntrustedError, "in:1: not JSON: a key appears twice"),
        ("jsonl", b"[" * 100_000, UntrustedError, "in:1: not JSON"),
        ("jsonl", b'{"prompt": "\\ud800"}', UntrustedError, "in:1: character 1 is half of a surrogate"),
        ("jsonl", b'{"prompt": "a", "k": "\\udc00"}', UntrustedError, "in:1: character 1 is half"),
        ("jsonl", b'"text"', UsageError, "in:1: a str; write"),
        ("jsonl", b'{"text": "a"}', UsageError, 'in:1: needs "prompt" or "messages"'),
        ("jsonl", b'{"prompt": "a", "messages": []}', UsageError, "in:1: needs"),
        ("jsonl", b'{"prompt": 5}', UsageError, 'in:1: "prompt" must be a string'),
        ("jsonl", b'{"messages": []}', UsageError, 'in:1: "messages" is empty'),
        ("jsonl", b'{"messages": [{"role": "user"}]}', UsageError, 'in:1: "messages" must be a list'),
        ("jsonl", b'{"messages": "hi"}', UsageError, 'in:1: "messages" must be a list'),
        ("jsonl", b'{"prompt": "a", "labels": [1]}', UsageError, 'in:1: "labels" must be an object'),
        ("jsonl", b'{"prompt": "a", "k": [1]}', UsageError, "in:1: label 'k' must be"),
        ("csv", b"text\na\n", UsageError, 'in:1: a CSV file needs a header with a "prompt" column'),
        ("csv", b"prompt,prompt\na,b\n", UsageError, "in:1: a column name appears twice"),
        ("csv", b"prompt,k\na\n", UsageError, "in:2: 1 values for 2 columns"),
        ("csv", b'prompt\n"a', UntrustedError, "in:2: not CSV"),
    ],
)
def test_what_is_wrong_names_the_line(
    kind: str, data: bytes, error: type[TensorsharkError], said: str
) -> None:
    with pytest.raises(error, match=said):
        read(data, kind)


def test_labels_are_capped() -> None:
    many = ",".join(f'"k{n}": 1' for n in range(70))
    with pytest.raises(UntrustedError, match="in:1: 70 labels; the cap is 64"):
        read(b'{"prompt": "a", %s}' % many.encode(), "jsonl")
    with pytest.raises(UntrustedError, match="in:1: a label of more than"):
        read(b'{"prompt": "a", "k": "%s"}' % (b"x" * 5000), "jsonl")


def test_files(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a\nb\n")
    assert len(list(read_prompts(tmp_path / "p.txt", "txt", "p.txt", {}))) == 2
    with pytest.raises(NotFoundError, match=r"none\.txt: cannot be read: No such file"):
        list(read_prompts(tmp_path / "none.txt", "txt", "none.txt", {}))


def test_kinds() -> None:
    assert [kind_of(name) for name in ("a.txt", "b.JSONL", "x/c.csv")] == ["txt", "jsonl", "csv"]
    assert kind_of("prompts", "csv") == "csv"
    assert kind_of("prompts.txt", "csv") == "txt"
    with pytest.raises(UsageError, match=r"call it \.jsonl"):
        kind_of("a.json")
    with pytest.raises(UsageError, match="say which with --format"):
        kind_of("prompts")


def test_labels_from_the_command_line() -> None:
    assert parse_labels(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    for pair in ("a", "=b"):
        with pytest.raises(UsageError, match="write it as key=value"):
            parse_labels([pair])


def test_bytes_of_the_command_line_that_are_no_text_are_refused() -> None:
    """Python hands them on as lone surrogates."""
    with pytest.raises(UntrustedError, match="--prompt 1: character 3"):
        checked_text("ab\udcff", "--prompt 1")


def test_the_demo_corpus_can_be_read() -> None:
    prompts = list(read_prompts(DEMO, "jsonl", "demo.jsonl", {}))
    assert len(prompts) >= 80
    assert all("category" in prompt.labels for prompt in prompts)
