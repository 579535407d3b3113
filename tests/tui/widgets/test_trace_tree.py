"""The details tree as lines: what was captured, the numbers on disk, and nothing of what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tensorshark.traces.store import Trace
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui.cursor import Cursor
from tensorshark.tui.widgets.trace_tree import Node, tree

OPEN = {"trace", "expert", "layer", "layers"}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """One trace, four layers, two heads, a label that is up to no good."""
    path: Path = tmp_path_factory.mktemp("tree") / "one.tshark"
    capture = write_synthetic(path, traces=1, labels=[{"category": "code", "by": "\x1b[2Jme"}])
    return capture.trace(capture.ids()[0])


def lines(trace: Trace, cursor: Cursor, opened: set[str], problem: str = "") -> dict[str, Node]:
    """Key -> node of every visible line."""
    return {node.key: node for node in tree(trace, 7, cursor, opened, problem)}


def test_what_it_is_and_where_it_comes_from(trace: Trace) -> None:
    """Number, tokens, id, spans, labels and provenance, safe to print."""
    nodes = lines(trace, Cursor(), OPEN)
    assert nodes["trace"].name == "trace 7"
    assert nodes["trace"].value == f"{len(trace.token_ids)} tokens · hash ok"
    assert nodes["id"].value == trace.id
    assert nodes["spans"].value == f"prompt 0..{len(trace.token_ids)}"
    assert nodes["labels"].value == r"by=\x1b[2Jme · category=code" and nodes["labels"].open is False
    assert "labels.by" not in nodes
    assert lines(trace, Cursor(), OPEN | {"labels"})["labels.by"].value == r"\x1b[2Jme"


def test_norms_are_those_on_disk(trace: Trace) -> None:
    """At the cursor's layer and token, every site; and every layer for the cursor's site."""
    cursor = Cursor(layer=2, token=1, site="mlp_out")
    nodes = lines(trace, cursor, OPEN)
    assert nodes["layer"].name == "layer 2"
    for site in ("resid_pre", "attn_out", "mlp_out", "resid_post"):
        assert nodes[f"site.{site}"].value == f"‖{trace.stats[f'norm.{site}'][2, 1]:.1f}‖"
        assert nodes[f"site.{site}"].goes == (("site", site),)
    for layer in range(4):
        assert nodes[f"layers.{layer}"].value == f"‖{trace.stats['norm.mlp_out'][layer, 1]:.1f}‖"
        assert nodes[f"layers.{layer}"].goes == (("layer", layer),)
    assert nodes["layers.2"].color == "accent" and nodes["layers.1"].color == "text"


def test_heads_open_to_entropy_and_sink(trace: Trace) -> None:
    """Each head of the cursor's layer, at the cursor's token."""
    cursor = Cursor(layer=1, token=2, head=1)
    assert "head.0" not in lines(trace, cursor, OPEN)
    nodes = lines(trace, cursor, OPEN | {"heads"})
    entropy = trace.stats["attn.entropy"][1, 0, 2]
    assert nodes["head.0"].value.startswith(f"entropy {entropy:.2f} · sink ")
    assert nodes["head.1"].color == "accent" and nodes["head.0"].goes == (("head", 0),)


def test_damage_leaves_no_number(trace: Trace) -> None:
    """With a problem, the tree says it first and no statistic is shown."""
    nodes = lines(trace, Cursor(layer=1), OPEN | {"heads"}, problem="stats.safetensors: damaged")
    assert nodes["trace"].value.endswith("damaged") and nodes["problem"].color == "bad"
    assert nodes["site.resid_post"].value == "" and "heads" not in nodes
    assert all(node.value == "" for key, node in nodes.items() if key.startswith("layers."))
