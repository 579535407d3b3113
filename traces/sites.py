"""Hook names <-> (site, layer). The only place that parses names.

A *site* is a named place in the model; with a layer it is one tensor per trace. Names on disk are
TransformerLens's: `resid_post` at layer 3 is `blocks.3.hook_resid_post`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tensorshark.traces.errors import UsageError


@dataclass(frozen=True)
class Site:
    """One named place in a transformer block."""

    name: str
    """The short name that filters, columns and `--sites` use."""
    hook: str
    """TransformerLens's hook name inside a block."""
    axes: tuple[str, ...]
    """Axes of one layer's tensor; `q_pos` asks, `k_pos` is looked at."""
    help: str
    """One line for `tensorshark fields` and the docs."""

    def at(self, layer: int) -> str:
        """The tensor's name on disk: `blocks.<layer>.<hook>`."""
        return f"blocks.{layer}.{self.hook}"


SITES: dict[str, Site] = {
    site.name: site
    for site in (
        Site("resid_pre", "hook_resid_pre", ("pos", "d_model"), "residual stream entering the block"),
        Site("attn_out", "hook_attn_out", ("pos", "d_model"), "what attention adds to the residual stream"),
        Site("mlp_out", "hook_mlp_out", ("pos", "d_model"), "what the MLP adds to the residual stream"),
        Site("resid_post", "hook_resid_post", ("pos", "d_model"), "residual stream leaving the block"),
        Site("pattern", "attn.hook_pattern", ("head", "q_pos", "k_pos"), "attention probabilities (opt-in)"),
    )
}
"""In the order in which they happen in a block, `pattern` last."""

DEFAULT_SITES = ("resid_pre", "attn_out", "mlp_out", "resid_post")

_NAME = re.compile(r"blocks\.(0|[1-9][0-9]{0,3})\.([a-z_.]{1,40})")
_BY_HOOK = {site.hook: site for site in SITES.values()}
_RANKS = {name: rank for rank, name in enumerate(SITES)}


@lru_cache(4096)  # a commit asks for each of its names five times
def parse(name: str) -> tuple[Site, int]:
    """`blocks.3.hook_resid_post` -> (resid_post, 3). Raises UsageError for any other shape of name."""
    match = _NAME.fullmatch(name)
    if match and match[2] in _BY_HOOK:
        return _BY_HOOK[match[2]], int(match[1])
    raise UsageError(f"{name!r} is not a tensor name; expected e.g. {SITES['resid_post'].at(0)!r}")


def order(name: str) -> tuple[int, int]:
    """Sort key: layers outer, sites inner, in the order in which they happen."""
    site, layer = parse(name)
    return layer, _RANKS[site.name]


RESIDUAL_STATS = {"norm": "L2 norm", "absmax": "largest magnitude"}
"""Statistic -> what it says; one per layer and position of each of DEFAULT_SITES."""
ATTENTION_STATS = {
    "entropy": "entropy of a query's attention, in nats",
    "entropy_rest": "the same without the first token, renormalised; 0 where nothing is left",
    "sink": "share of a query's attention on the first token",
}
"""Statistic -> what it says; one per layer, head and position."""

ATTENTION = "attn"
"""The site that a manifest lists when attention summaries were captured (axes head, pos)."""

STAT_FIELDS: dict[str, tuple[str, ...]] = {
    **{f"{site}.{stat}": ("layer", "pos") for stat in RESIDUAL_STATS for site in DEFAULT_SITES},
    **{f"{ATTENTION}.{stat}": ("layer", "head", "pos") for stat in ATTENTION_STATS},
}
"""Field of the display filter -> its axes. The field puts the site first, the file the statistic."""


def stat_key(field: str) -> str | None:
    """`resid_post.norm` -> `norm.resid_post`, the key in stats.safetensors; None for any other text."""
    if field not in STAT_FIELDS:
        return None
    site, _, stat = field.partition(".")
    return field if site == ATTENTION else f"{stat}.{site}"


def stat_site(key: str) -> str:
    """The site whose layers index the first axis of a statistic: `norm.resid_post` -> `resid_post`."""
    first, _, rest = key.partition(".")
    return first if first == ATTENTION else rest
