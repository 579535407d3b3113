"""Moving over what was captured: every place the cursor can be exists in the trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tensorshark.traces.store import Trace
from tensorshark.traces.synthetic import write_synthetic
from tensorshark.tui import moves
from tensorshark.tui.cursor import Cursor


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """One trace with six layers and two heads."""
    path: Path = tmp_path_factory.mktemp("moves") / "one.tshark"
    capture = write_synthetic(path, traces=1, layers=6)
    return capture.trace(capture.ids()[0])


def test_layers_stop_at_the_ends(trace: Trace) -> None:
    """Up from the last layer and down from the first stay there."""
    assert moves.next_layer(Cursor(layer=2), trace, 1).layer == 3
    assert moves.next_layer(Cursor(layer=5), trace, 1).layer == 5
    assert moves.next_layer(Cursor(layer=0), trace, -1).layer == 0


def test_sites_go_round(trace: Trace) -> None:
    """The four sites in the order in which they happen; then the first again."""
    cursor, seen = Cursor(site="resid_pre"), []
    for _ in range(5):
        seen.append(cursor.site)
        cursor = moves.next_site(cursor, trace)
    assert seen == ["resid_pre", "attn_out", "mlp_out", "resid_post", "resid_pre"]


def test_tokens_stop_at_the_ends(trace: Trace) -> None:
    """Left of the first and right of the last is nothing."""
    last = len(trace.token_ids) - 1
    assert moves.next_token(Cursor(token=last), trace, 1).token == last
    assert moves.next_token(Cursor(token=0), trace, -1).token == 0
    assert moves.next_token(Cursor(token=0), trace, 1).token == 1


def test_a_cursor_from_elsewhere_is_fitted(trace: Trace) -> None:
    """A place of a longer trace through a deeper model becomes the nearest one here."""
    there = Cursor(layer=29, head=8, token=400, site="nowhere")
    here = moves.fitted(there, trace, heads=2)
    assert (here.layer, here.head, here.token, here.site) == (5, 1, len(trace.token_ids) - 1, "resid_post")
    assert moves.middle(trace) == 3
