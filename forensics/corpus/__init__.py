"""The demo corpus: our own prompts in six labelled categories, in several languages and lengths.

`demo.jsonl` holds one prompt and its labels a line. Some of it is hostile on purpose: terminal escapes,
bidirectional text, markup and chat-template tokens, so that the demo shows that looking is safe.
"""

from __future__ import annotations

from pathlib import Path

DEMO = Path(__file__).with_name("demo.jsonl")
CATEGORIES = ("credential", "injection", "code", "refusal", "fact", "prose")
