"""What can go wrong, and the exit code each one ends a command with.

    TensorsharkError            7
    ├── UsageError              2   an option or argument that cannot be used
    ├── FilterError             2   a filter that cannot be read; knows its column
    ├── NotFoundError           3   no such capture, trace, tensor or model
    ├── IntegrityError          4   bytes that are not what was committed
    ├── StorageError            5   the disk is full or refuses
    ├── UntrustedError          6   input that is refused rather than interpreted
    └── AnalyzerError           7   an analyzer failed

Every message names the thing, the place and the remedy, and is safe to show: text that came from a
capture passes through `safe_text` before it goes into a message.
"""

from __future__ import annotations


class TensorsharkError(Exception):
    """Anything this project raises on purpose."""

    exit_code = 7


class UsageError(TensorsharkError):
    """An option or argument cannot be used; the message says which values can."""

    exit_code = 2


class FilterError(TensorsharkError):
    """A display filter cannot be read or does not fit the fields it names."""

    exit_code = 2

    def __init__(
        self, reason: str, text: str = "", column: int = 0, length: int = 1, incomplete: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        """The filter as typed."""
        self.column = column
        """Where the trouble starts, 0-based, in characters of `text`."""
        self.length = length
        """How many characters of `text` the trouble covers."""
        self.incomplete = incomplete
        """True when more typing could make it right (an open quote, a dangling `and`)."""

    def pointed(self) -> str:
        """Three lines: the filter, a caret under the trouble, and the reason."""
        from tensorshark.traces.text import safe_text

        before = safe_text(self.text[: self.column])
        shown = before + safe_text(self.text[self.column :])
        return f"{shown}\n{' ' * len(before)}{'^' * max(1, self.length)}\n{self.reason}"


class NotFoundError(TensorsharkError):
    """The capture, trace, tensor, field or model asked for is not there."""

    exit_code = 3


class IntegrityError(TensorsharkError):
    """Bytes on disk are not the bytes that were committed; they are never shown as values."""

    exit_code = 4

    def __init__(self, message: str, trace_id: str = "") -> None:
        super().__init__(message)
        self.trace_id = trace_id
        """The damaged trace, or empty when the damage is elsewhere in the capture."""


class StorageError(TensorsharkError):
    """The disk is full, read-only or failing; what was committed before is safe."""

    exit_code = 5


class UntrustedError(TensorsharkError):
    """Input that breaks a rule or a cap and is refused rather than interpreted."""

    exit_code = 6


class AnalyzerError(TensorsharkError):
    """An analyzer could not be loaded or failed while it ran."""

    exit_code = 7
