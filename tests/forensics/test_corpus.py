"""The demo corpus is what the README says: six labelled categories, many lengths and scripts, hostility."""

from __future__ import annotations

from collections import Counter

from tensorshark.forensics.capture.prompts import read_prompts
from tensorshark.forensics.corpus import CATEGORIES, DEMO
from tensorshark.traces.text import safe_text

PROMPTS = list(read_prompts(DEMO, "jsonl", DEMO.name, {}))


def test_at_least_eighty_prompts_in_six_categories_of_like_size() -> None:
    counts = Counter(prompt.labels["category"] for prompt in PROMPTS)
    assert set(counts) == set(CATEGORIES)
    assert len(PROMPTS) >= 80
    assert min(counts.values()) >= 12


def test_no_prompt_stands_twice_and_every_one_names_its_family() -> None:
    assert len({prompt.text for prompt in PROMPTS}) == len(PROMPTS)
    assert all(prompt.labels["family"] for prompt in PROMPTS)


def test_lengths_and_scripts_differ() -> None:
    lengths = [len(prompt.text) for prompt in PROMPTS]
    assert min(lengths) < 10 and max(lengths) > 400
    assert sum(not prompt.text.isascii() for prompt in PROMPTS) >= 8


def test_some_prompts_would_take_over_a_terminal() -> None:
    texts = [prompt.text for prompt in PROMPTS]
    for hostile in ("\x1b[2J", "\x1b]52;", "\u202e", "\x9b", "\x00", "[INST]", "[@click="):
        assert any(hostile in text for text in texts), safe_text(hostile)


def test_the_file_itself_can_be_looked_at() -> None:
    assert all(line.isprintable() for line in DEMO.read_text(encoding="utf-8").splitlines())
