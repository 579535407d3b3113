"""Where this user's models, hashes and settings live.

`TENSORSHARK_HOME` moves all of it to one folder; without it the platform's cache and config folders are used.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

VARIABLE = "TENSORSHARK_HOME"


def cache_dir() -> Path:
    """Files that can be made again: prepared models, file hashes. Not created here."""
    return _home() or platformdirs.user_cache_path("tensorshark", appauthor=False)


def config_dir() -> Path:
    """Files that a person wrote: the names of their models. Not created here."""
    return _home() or platformdirs.user_config_path("tensorshark", appauthor=False)


def _home() -> Path | None:
    value = os.environ.get(VARIABLE, "")
    return Path(value).expanduser().absolute() if value else None
