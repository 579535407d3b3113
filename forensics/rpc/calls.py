"""What the methods do: ask the engine and hand back a struct, and nothing more.

What they raise becomes an error; see `protocol.fault_of`. The table of them is in `methods.py`.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from tensorshark.forensics.filter.display import Check
from tensorshark.forensics.rpc import shapes
from tensorshark.forensics.rpc.lanes import Lane, Task
from tensorshark.forensics.rpc.protocol import TOO_LARGE, Fault, Id
from tensorshark.forensics.stats import Asked, Stats
from tensorshark.traces.case.events import DEFAULT_MARK
from tensorshark.traces.case.state import Attached, Note
from tensorshark.traces.sites import STAT_FIELDS, stat_key

if TYPE_CHECKING:
    from tensorshark.forensics.engine import Engine, Numbers
    from tensorshark.forensics.rpc.selections import Selections

PROTOCOL = 1
"""Version of what is spoken; `status` says it."""
NOW_S = 0.02
"""A filter that is expected to take longer is answered by another thread than the reading one."""


class Server(Protocol):
    """What a method may ask of the session."""

    engine: Engine
    selections: Selections

    @property
    def following(self) -> bool:
        """Whether new traces are told."""

    def follow(self, on: bool) -> int:
        """Whether to say when traces come; returns how many there are now."""

    def running(self) -> list[Task]:
        """Requests that run or wait."""

    def cancel(self, id: Id) -> bool:
        """Cancel one; False when there is none of that id."""


def check(server: Server, params: shapes.CheckParams, _task: Task) -> Check:
    return server.engine.check(params.filter, _selected(server, params.selected))


def complete(server: Server, params: shapes.CompleteParams, _task: Task) -> shapes.Completions:
    position = len(params.filter) if params.position is None else params.position
    selected = _selected(server, params.selected)
    items = server.engine.complete(params.filter, position, selected=selected)
    return shapes.Completions(items=items)


def fields(server: Server, _params: shapes.Nothing, _task: Task) -> shapes.Fields:
    found = [
        shapes.Field(**{name: getattr(each, name) for name in shapes.Field.__struct_fields__})
        for each in server.engine.fields()
    ]
    return shapes.Fields(fields=found)


def rows(server: Server, params: shapes.RowsParams, task: Task) -> shapes.Rows:
    last = np.empty(0, dtype=np.int64)

    def found(numbers: Numbers, done: int, total: int) -> None:
        """Tell the page as it is so far, when it is time to and the client keeps up."""
        nonlocal last
        if not task.due():
            return
        page = numbers[params.offset : params.offset + params.limit]
        rows = msgspec.UNSET if np.array_equal(page, last) else server.engine.rows(page)
        note = shapes.FoundNote(request=task.id, found=len(numbers), done=done, total=total, rows=rows)
        if task.tell("found", note):
            last = page

    selected = _selected(server, params.selected)
    numbers = server.selections.get(
        params.filter,
        params.sort,
        params.descending,
        task=task,
        selected=selected,
        on_found=found if params.found else None,
    )
    page = numbers[params.offset : params.offset + params.limit]
    cells: Any = msgspec.UNSET
    if params.columns:
        each = [server.engine.values(column, page, task.cancelled, selected) for column in params.columns]
        cells = [[_plain(value) for value in row] for row in zip(*each, strict=True)]
    rows = server.engine.rows(page)
    return shapes.Rows(total=len(numbers), offset=params.offset, rows=rows, cells=cells)


def rows_lane(server: Server, params: shapes.RowsParams) -> Lane:
    """A page of what is known already, or soon will be, at once; all else beside the reading thread."""
    if params.columns:
        return "scan"
    selected = _selected(server, params.selected)
    if server.selections.known(params.filter, params.sort, params.descending, selected):
        return "now"
    if params.sort.strip():
        return "scan"
    return "now" if server.engine.cost(params.filter).seconds < NOW_S else "scan"


def trace(server: Server, params: shapes.TraceParams, _task: Task) -> shapes.TraceFacts:
    trace = server.engine.trace(params.id)
    manifest = trace.manifest
    case = server.engine.case
    case.refresh()
    return shapes.TraceFacts(
        number=trace.number,
        id=trace.id,
        model=manifest.model,
        captured_at=manifest.captured_at,
        prompt=manifest.prompt,
        messages=manifest.messages,
        text=manifest.text,
        token_ids=manifest.token_ids,
        tokens=manifest.tokens,
        spans=manifest.spans,
        labels=manifest.labels,
        sites=manifest.sites,
        statistics=[name for name in STAT_FIELDS if stat_key(name) in trace.stats],
        next_tokens=manifest.next_tokens,
        experts=manifest.experts,
        marks=[_attachment(each.name, each) for each in case.marks(trace.id)],
        tags=[_attachment(each.name, each) for each in case.tags(trace.id)],
        notes=[_attachment(each.text, each, each.id) for each in case.notes(trace.id)],
        provenance=manifest.provenance,
    )


def slice(server: Server, params: shapes.SliceParams, task: Task) -> shapes.SliceValues:
    part = server.engine.slice(params.id, params.site, shapes.layers(params.layer), params.pos)
    if part.size > shapes.MAX_VALUES:
        most = f"{shapes.MAX_VALUES:,} are the most: name fewer layers or positions"
        raise Fault(TOO_LARGE, f"{part.size:,} values; {most}")
    task.check()
    values = part.values()
    return shapes.SliceValues(
        id=part.trace.id,
        site=part.what,
        axes=list(part.axes),
        shape=list(part.shape),
        layers=part.layers,
        positions=part.positions,
        dtype=values.dtype.name,
        encoding=params.encoding,
        values=_written(values, params.encoding),
    )


def explain(server: Server, params: shapes.ExplainParams, task: Task) -> shapes.Explained:
    """How a filter will be answered."""
    selected = _selected(server, params.selected)
    plan = server.engine.explain(params.filter, selected)
    counts: Any = msgspec.UNSET
    if params.counts:
        counts = server.engine.clause_counts(params.filter, task.cancelled, selected)
    return shapes.Explained(**msgspec.structs.asdict(plan), counts=counts)


def why(server: Server, params: shapes.WhyParams, task: Task) -> shapes.Reasons:
    """What made some traces match."""
    engine = server.engine
    selected = _selected(server, params.selected)
    numbers = [engine.number(name) for name in params.ids]
    matching = set(server.selections.get(params.filter, task=task, selected=selected).tolist())
    asked = sorted(matching & set(numbers))
    found = dict(zip(asked, engine.why(params.filter, asked, selected), strict=True))
    return shapes.Reasons(why=[found.get(number, []) for number in numbers])


def note(server: Server, params: shapes.NoteParams, _task: Task) -> shapes.Noted:
    """Say something about traces, or take it back."""
    engine, case = server.engine, server.engine.case
    said = params.text or (DEFAULT_MARK if params.action in ("mark", "unmark") else "")
    match params.action:
        case "undo" | "redo":
            return shapes.Noted(changed=len(case.undo() if params.action == "undo" else case.redo()))
        case "strike":
            return shapes.Noted(changed=case.strike(said))
        case _:
            ids = engine.ids([engine.number(name) for name in params.ids])
            say = getattr(case, params.action)
            return shapes.Noted(changed=say(ids, said, token=params.token, layer=params.layer))


def stats(server: Server, params: shapes.StatsParams, task: Task) -> Stats:
    """Groups of traces compared."""
    given = {name: value for name, value in msgspec.structs.asdict(params).items() if name != "selected"}
    asked = Asked(**given)
    return server.engine.stats(asked, task.cancelled, _selected(server, params.selected))


def similar(server: Server, params: shapes.SimilarParams, task: Task) -> shapes.Similar:
    """The traces whose vectors are closest to one's; the first question about a cell opens the traces."""
    engine = server.engine
    number = engine.number(params.id)
    cell = engine.cell(number, params.site, params.layer, params.pos)
    among = server.selections.get(params.filter, task=task) if params.filter.strip() else None
    hits = engine.similar(
        number,
        cell,
        params.k,
        params.metric,
        among=among,
        on_progress=task.progress,
        cancelled=task.cancelled,
    )
    scored = zip(hits.scores.tolist(), engine.rows(hits.numbers), strict=True)
    return shapes.Similar(
        id=engine.ids([number])[0],
        site=cell.site,
        layer=cell.layer,
        pos=cell.position,
        metric=params.metric,
        compared=hits.compared,
        absent=hits.absent,
        hits=[shapes.Hit(score=score, row=row) for score, row in scored],
    )


def follow(server: Server, params: shapes.FollowParams, _task: Task) -> shapes.Following:
    return shapes.Following(following=params.on, traces=server.follow(params.on))


def cancel(server: Server, params: shapes.CancelParams, _task: Task) -> shapes.Cancelled:
    return shapes.Cancelled(cancelled=server.cancel(params.request))


def status(server: Server, _params: shapes.Nothing, task: Task) -> shapes.Status:
    from tensorshark.traces.version import tool

    engine = server.engine
    running = [
        shapes.RunningRequest(
            request=each.id, method=each.method, seconds=each.age, done=each.done, total=each.total
        )
        for each in server.running()
    ]
    return shapes.Status(
        protocol=PROTOCOL,
        tool=tool(),
        python=sys.version.split()[0],
        capture=str(engine.capture.path).encode("utf-8", "replace").decode(),
        uuid=engine.capture.uuid,
        traces=len(engine.index),
        behind=engine.follow(),
        following=server.following,
        running=running,
    )


def _selected(server: Server, name: str) -> int:
    """Number of the trace that `$field` speaks of; 0 for none. Raises NotFoundError."""
    return server.engine.number(name) if name else 0


def _attachment(text: str, said: Attached | Note, id: Any = msgspec.UNSET) -> shapes.Attachment:
    """What the case says, with its place in the trace."""
    spot = said.spot
    return shapes.Attachment(text=text, token=spot.token, layer=spot.layer, by=said.by, at=said.at, id=id)


def _written(values: np.ndarray[Any, Any], encoding: str) -> Any:
    """Nested lists of exact numbers, or the bytes as base64."""
    if encoding == "numbers":
        return (values if values.dtype.kind == "f" else values.astype(np.float32)).tolist()
    array = np.ascontiguousarray(values)
    return b64encode((array.byteswap() if sys.byteorder == "big" else array).tobytes()).decode()


def _plain(value: Any) -> Any:
    """What a column shows, as JSON has it: numpy's scalars become Python's, arrays lists."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value
