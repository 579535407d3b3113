"""`make bench`: every performance claim, measured beside its peer in one run and printed as a ratio."""

from __future__ import annotations

import os

INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of a program that is installed: it finds its bytecode, where a checkout may compile."""
