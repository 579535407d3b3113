"""The methods that a worker process does: hand the job over, pass on how far it is, take what comes."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import msgspec

from tensorshark.forensics import jobs
from tensorshark.forensics.positions import resolve
from tensorshark.forensics.rpc import shapes
from tensorshark.forensics.rpc.lanes import Task
from tensorshark.forensics.rpc.protocol import MAX_ANSWER, REFUSED, TOO_LARGE, Fault, Trouble
from tensorshark.traces.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tensorshark.forensics.rpc.calls import Server
    from tensorshark.forensics.worker import OnMessage, Ticket

FORMAT = 1
"""Of `run`: the same as what `tensorshark run -T json` prints."""


def lens(server: Server, params: shapes.LensParams, task: Task) -> shapes.LensValues:
    """The grid of one trace, at most `MAX_CELLS` of it."""
    trace = server.engine.trace(params.id)
    captured = list(trace.sites["resid_post"].layers) if "resid_post" in trace.sites else []
    if not captured:
        raise NotFoundError(f"trace {trace.id} has no resid_post; capture it with --sites resid_post")
    positions = resolve(params.pos, len(trace.token_ids), trace.spans)
    chosen = shapes.layers(params.layer) or captured
    chosen = [captured[each] if -len(captured) <= each < 0 else each for each in chosen]
    if (size := len(chosen) * len(positions) * params.top_k) > shapes.MAX_CELLS:
        most = f"{shapes.MAX_CELLS:,} are the most: name fewer layers or positions"
        raise Fault(TOO_LARGE, f"{size:,} tokens in the grid; {most}")
    job = jobs.LensJob(
        capture=str(server.engine.capture.path),
        trace=trace.id,
        layers=chosen,
        positions=positions,
        top_k=params.top_k,
        track=params.track,
    )
    for message in _messages(lambda say: server.engine.lens(job, say), task):
        if isinstance(message, jobs.LensGrid):
            grid = message
    return shapes.LensValues(
        id=grid.trace,
        layers=grid.layers,
        positions=grid.positions,
        token_ids=grid.token_ids.tolist(),
        tokens=grid.tokens,
        probs=grid.probs.tolist(),
        entropy=grid.entropy.tolist(),
        kl=grid.kl.tolist(),
        kl_reverse=grid.kl_reverse.tolist(),
        rank=grid.rank.tolist(),
        tracked=grid.tracked.tolist(),
    )


def run(server: Server, params: shapes.RunParams, task: Task) -> shapes.Runs:
    """The analyzer over the traces that match, in capture order."""
    options = {name: _option(value) for name, value in params.options.items()}
    selected = server.engine.number(params.selected) if params.selected else 0
    numbers = server.selections.get(params.filter, task=task, selected=selected)[: params.limit]
    job = jobs.RunJob(
        analyzer=params.analyzer,
        capture=str(server.engine.capture.path),
        ids=server.engine.ids(numbers),
        options=options,
    )
    results: list[Any] = []
    size = 0
    for message in _messages(lambda say: server.engine.run(job, say), task):
        results.append(
            msgspec.Raw(msgspec.json.encode(message))
        )  # as bytes: rows as objects are ten times that
        size += len(results[-1])
        if size > MAX_ANSWER:
            raise Fault(TOO_LARGE, f"the results have more than {MAX_ANSWER:,} bytes: select fewer traces")
    one = shapes.Run(analyzer=params.analyzer, options=options, results=results)
    return shapes.Runs(format=FORMAT, filter=params.filter, traces=len(numbers), runs=[one])


def _messages(submit: Callable[[OnMessage], Ticket], task: Task) -> Iterator[jobs.AnyMessage]:
    """What a job says, until it is done. Raises Fault when it failed or nobody wants it any more."""
    said: queue.SimpleQueue[jobs.AnyMessage | None] = queue.SimpleQueue()
    ticket = submit(said.put)
    task.when_cancelled(lambda: said.put(None))
    try:
        while not isinstance(message := said.get(), jobs.Done):
            match message:
                case None | jobs.JobCancelled():
                    task.cancel()
                    task.check()
                case jobs.JobFailed():
                    data = Trouble(exit_code=message.exit_code, kind=message.error)
                    raise Fault(REFUSED - message.exit_code, message.reason, data)
                case jobs.Progress():
                    task.progress(message.done, message.total)
                case _:
                    yield message
    finally:
        ticket.cancel()  # nothing happens to one that has ended


def _option(value: str | int | float | bool) -> str:
    """As it is typed behind `-o NAME=`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
