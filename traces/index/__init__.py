"""The index of a capture: what a list, a filter or a sort needs, without opening a trace.

A cache, and treated like one: made from the journal and the manifests, never trusted further than its
checksums, thrown away and made again when it is damaged, stale, foreign or of another version. Whether it is
there changes how fast an answer comes, never the answer.
"""

from tensorshark.traces.index.columns import BLOCK, Column
from tensorshark.traces.index.index import Index, TraceRow
from tensorshark.traces.index.rows import Indexed

__all__ = ["BLOCK", "Column", "Index", "Indexed", "TraceRow"]
