"""The questions of the filter benchmark, as each of the three is asked them.

Every answer is what a list needs: the numbers of the traces that match, ascending; of a page its rows; of a
group-by its groups. A peer may be asked in several ways; the fastest counts, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PROMPT = "no 777"
CORRELATED = "any(l: resid_post.norm#l[-1] > 40 and mean(attn.entropy#l[-1]) < 0.5)"
PAGE = 100


@dataclass(frozen=True)
class Question:
    """One row of the table."""

    name: str
    filter: str = ""
    """Ours, where it is a filter."""
    where: Mapping[str, str] = field(default_factory=dict)
    """DuckDB's condition, by the name of the way it is asked."""
    pandas: Mapping[str, Callable[[Any, int], Any]] = field(default_factory=dict)
    """Of (frame, layers) to a mask (trace,), by the name of the way it is asked."""
    budget_ms: float = 200
    """Of DESIGN section 9, at a million traces."""


def columns(site: str, layers: int) -> list[str]:
    """The wide layout: a column per layer."""
    return [f"{site}_{layer}" for layer in range(layers)]


def questions(layers: int) -> list[Question]:
    """All that are filters."""
    wide = [f"resid_post_norm_{layer} > 500" for layer in range(layers)]
    both = [f"(resid_post_norm_{layer} > 40 AND attn_entropy_{layer} < 0.5)" for layer in range(layers)]
    return [
        Question(
            "label",
            'label.category == "injection"',
            {"wide": "category = 'injection'"},
            {"category": lambda frame, _: frame["category"] == "injection"},
        ),
        Question(
            "text",
            f'prompt contains "{PROMPT}"',
            {"contains": f"contains(prompt, '{PROMPT}')"},
            {"str.contains": lambda frame, _: frame["prompt"].str.contains(PROMPT, regex=False)},
        ),
        Question(
            "regex with a literal",
            r'prompt matches r"no 77\d{3}$"',
            {"RE2": r"regexp_matches(prompt, 'no 77\d{3}$')"},
            {"str.contains": lambda frame, _: frame["prompt"].str.contains(r"no 77\d{3}$")},
        ),
        Question(
            "regex without one",
            r'prompt matches r"(?i)\bP[AE]RIS\b"',
            {"RE2": r"regexp_matches(prompt, '(?i)\bP[AE]RIS\b')"},
            {"str.contains": lambda frame, _: frame["prompt"].str.contains(r"(?i)\bP[AE]RIS\b")},
        ),
        Question(
            "one layer",
            "resid_post.norm#12[-1] > 10",
            {"wide": "resid_post_norm_12 > 10", "list": "resid_post_norm[13] > 10"},
            {"column": lambda frame, _: frame["resid_post_norm_12"] > 10},
        ),
        Question(
            "any layer",
            "any(resid_post.norm[-1] > 500)",
            {"wide": " OR ".join(wide), "list": "list_max(resid_post_norm) > 500"},
            {"columns": _any_of("resid_post_norm", 500), "rows": _any_row("resid_post_norm", 500)},
        ),
        Question(
            "all layers",
            "all(mlp_out.norm[-1] > 1.01)",
            {
                "wide": " AND ".join(f"{name} > 1.01" for name in columns("mlp_out_norm", layers)),
                "list": "list_min(mlp_out_norm) > 1.01",
            },
            {"columns": _all_of("mlp_out_norm", 1.01)},
        ),
        Question(
            "correlated",
            CORRELATED,
            {
                "wide": " OR ".join(both),
                "list": "list_bool_or(list_transform(list_zip(resid_post_norm, attn_entropy),"
                " lambda x: x[1] > 40 AND x[2] < 0.5))",
            },
            {"columns": _correlated},
        ),
        Question(
            "label and layer",
            'label.category == "fact" and resid_post.norm#12[-1] > 10',
            {"wide": "category = 'fact' AND resid_post_norm_12 > 10"},
            {"masks": lambda frame, _: (frame["category"] == "fact") & (frame["resid_post_norm_12"] > 10)},
        ),
    ]


def _any_of(site: str, least: float) -> Callable[[Any, int], Any]:
    def mask(frame: Any, layers: int) -> Any:
        first, *rest = columns(site, layers)
        found = (frame[first] > least).to_numpy(copy=True)
        for name in rest:
            found |= (frame[name] > least).to_numpy()
        return found

    return mask


def _any_row(site: str, least: float) -> Callable[[Any, int], Any]:
    return lambda frame, layers: (frame[columns(site, layers)] > least).any(axis=1)


def _all_of(site: str, least: float) -> Callable[[Any, int], Any]:
    def mask(frame: Any, layers: int) -> Any:
        first, *rest = columns(site, layers)
        found = (frame[first] > least).to_numpy(copy=True)
        for name in rest:
            found &= (frame[name] > least).to_numpy()
        return found

    return mask


def _correlated(frame: Any, layers: int) -> Any:
    found = None
    for norm, entropy in zip(
        columns("resid_post_norm", layers), columns("attn_entropy", layers), strict=True
    ):
        both = (frame[norm] > 40).to_numpy() & (frame[entropy] < 0.5).to_numpy()
        found = both if found is None else found | both
    return found
