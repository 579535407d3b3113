"""Marks, tags and notes at random, into the case and into what the evaluator knows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tensorshark.traces.case import Case
from tensorshark.traces.store import Capture
from tests.forensics.filter.naive.facts import Facts

MARKS = ("suspect", "odd")
NOBODY = "nobody"
"""A mark that no trace has."""
TAGS = ("leak", "the", "Ignore", 'jail "break"', "日本語 🦈", "a")
NOTES = ("copies the system prompt", "the", "after the\nnext line", "100% _sure_", "a")


def annotated(capture: Capture, known: Sequence[Facts], seed: int) -> Case:
    """A case beside the capture, of some of its traces and of one that it does not have.

    Things are said of a trace, a token or a cell, some twice, and some are taken back.
    """
    rng = random.Random(seed)
    case = Case.open(capture, write=True, sync=False)
    case.mark(["0" * 16], NOBODY)
    case.tag(["0" * 16], "of a trace that is not here")
    for facts in known:
        _taken_back(case, facts, rng)
        facts.marks, facts.tags, facts.notes = (_some(texts, rng) for texts in (MARKS, TAGS, NOTES))
        for say, texts in ((case.mark, facts.marks), (case.tag, facts.tags), (case.note, facts.notes)):
            for text in texts:
                for _ in range(rng.choice((1, 1, 2))):
                    say([facts.id], text, **_where(rng))
    return case


def _some(texts: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(texts, min(len(texts), rng.choice((0, 0, 1, 1, 2, 3))))


def _where(rng: random.Random) -> dict[str, int]:
    return rng.choice(({}, {"token": 0}, {"token": 3, "layer": 1}))


def _taken_back(case: Case, facts: Facts, rng: random.Random) -> None:
    """Said, and then not any more."""
    if rng.random() < 0.3:
        where = _where(rng)
        case.mark([facts.id], MARKS[0], **where)
        case.unmark([facts.id], MARKS[0], **where)
    if rng.random() < 0.3:
        case.tag([facts.id], TAGS[0])
        case.undo()
    if rng.random() < 0.3:
        case.note([facts.id], NOTES[0])
        case.strike(case.notes(facts.id)[0].id)
