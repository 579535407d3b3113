"""What crosses to the worker comes out as it went in, and nothing else comes out."""

import msgspec
import numpy as np
import pytest

from tensorshark.forensics.jobs import (
    JobFailed,
    LensGrid,
    LensJob,
    Limits,
    Progress,
    Reply,
    Request,
    RunJob,
    decode_reply,
    decode_request,
    encode,
)
from tensorshark.forensics.results import Failed, Row, Text


@pytest.mark.parametrize(
    "job",
    [
        LensJob(capture="/c", trace="a", layers=[1], positions=[2], track=3),
        RunJob(analyzer="x", capture="/c", ids=["a"], options={"k": "v\n\0"}, limits=Limits(seconds=1.5)),
        None,
    ],
)
def test_requests(job: LensJob | RunJob | None) -> None:
    line = encode(Request(number=7, job=job))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_request(line) == Request(number=7, job=job)


@pytest.mark.parametrize(
    "message",
    [
        Progress(done=1, total=2),
        JobFailed(reason="no\nlines", crashed=True),
        Row(cells={"a": 1, "b": None, "c": "x"}),
        Text(text="\u202e\x1b"),
        Failed(reason="why"),
    ],
)
def test_replies(message: Progress) -> None:
    assert decode_reply(encode(Reply(number=1, message=message))).message == message


def test_arrays_keep_type_shape_and_nan() -> None:
    plane = np.array([[1.5, np.nan], [np.inf, -0.0]], dtype=np.float32)
    ids = np.arange(8, dtype=np.int64).reshape(2, 2, 2)
    grid = LensGrid(
        trace="t",
        layers=[0, 1],
        positions=[3, 4],
        token_ids=ids,
        tokens=[[["a", "b"]] * 2] * 2,
        probs=ids.astype(np.float32),
        entropy=plane,
        kl=plane,
        kl_reverse=plane,
        rank=ids[0],
        tracked=ids[0, 0],
    )
    found = decode_reply(encode(Reply(number=1, message=grid))).message
    assert isinstance(found, LensGrid)
    np.testing.assert_array_equal(found.entropy, plane)
    np.testing.assert_array_equal(found.token_ids, ids)
    assert (found.entropy.dtype, found.token_ids.dtype) == (np.float32, np.int64)
    assert found.tokens == grid.tokens


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[1]",
        b"not json",
        b'{"number":1,"message":{"kind":"unheard-of"}}',
        b'{"number":"1","message":{"kind":"done"}}',
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_reply(line)
