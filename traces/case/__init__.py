"""The case: what people say about a capture, beside it and never in it."""

from tensorshark.traces.case.case import Case
from tensorshark.traces.case.events import DEFAULT_MARK, Spot
from tensorshark.traces.case.state import Attached, Note, Saved

__all__ = ["DEFAULT_MARK", "Attached", "Case", "Note", "Saved", "Spot"]
