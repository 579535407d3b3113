"""What is on disk: captures of traces, committed whole and checked on every read. Needs numpy, never torch.

from tensorshark.traces import Capture

capture = Capture.open("demo.tshark")
for trace in capture.select(""):
    print(trace.id, trace.prompt, trace.load("blocks.0.hook_resid_post").shape)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorshark.traces.store import Capture, Trace, Writer

__all__ = ["Capture", "Trace", "Writer"]


def __getattr__(name: str) -> Any:
    """The store is imported when it is first asked for: errors and text need no numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tensorshark.traces import store

    return getattr(store, name)
