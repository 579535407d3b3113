"""Where the case of a capture lies, and whether there is one: asked at every filter, for two stats."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture


def folders(capture: Path, uuid: str) -> tuple[Path, Path]:
    """Where it may lie: beside the capture, and in the user's state folder."""
    capture = capture.resolve()
    name = hashlib.sha256(uuid.encode()).hexdigest()[:32]  # a uuid from a file is not a file name
    state = platformdirs.user_state_path("tensorshark") / "cases" / name
    return capture.with_name(capture.name.removesuffix(".tshark") + ".case"), state


def exists(capture: Capture) -> bool:
    """Whether anybody ever said anything about it, or something stands in the place."""
    return any(os.path.lexists(folder) for folder in folders(capture.path, capture.uuid))
