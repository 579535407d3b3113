"""A capture: made, opened, listed and asked."""

import json
import os
import stat
import threading
from importlib import metadata
from pathlib import Path

import pytest

from tensorshark.traces import Capture, Trace, store
from tensorshark.traces.errors import IntegrityError, NotFoundError, UntrustedError, UsageError
from tensorshark.traces.synthetic import append_synthetic, write_synthetic
from tensorshark.traces.trace import folder


def test_an_empty_capture_is_a_capture(tmp_path: Path) -> None:
    made = Capture.create(tmp_path / "deep" / "er" / "a.tshark")
    opened = Capture.open(tmp_path / "deep" / "er" / "a.tshark")
    assert opened.uuid == made.uuid
    assert opened.record.format == 1
    assert opened.record.tool.startswith("tensorshark")
    assert (len(opened), opened.ids(), opened.models(), list(opened.select())) == (0, [], {}, [])
    assert "x" * 16 not in opened
    assert opened.sizes().traces == 0


def test_creating_again_opens(capture: Capture) -> None:
    again = Capture.create(capture.path)
    assert (again.uuid, len(again)) == (capture.uuid, 8)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        Capture.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_creation_that_was_killed_is_completed(tmp_path: Path) -> None:
    (tmp_path / ".capture.json.abcd").write_text("{")
    assert len(Capture.create(tmp_path)) == 0


def test_two_who_create_at_once_get_one_capture(tmp_path: Path) -> None:
    uuids: list[str] = []
    threads = [
        threading.Thread(target=lambda: uuids.append(Capture.create(tmp_path / "a").uuid)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(uuids) == 8
    assert len(set(uuids)) == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["capture.json"]


def test_what_is_no_capture_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotFoundError, match="no such capture"):
        Capture.open(tmp_path / "nothing")
    with pytest.raises(NotFoundError, match=r"no capture\.json"):
        Capture.open(tmp_path)
    with pytest.raises(NotFoundError):
        Capture.open(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "reason"), [({"format": 2}, "format 2"), ({"requires": ["x"]}, "x"), ({"uuid": 3}, "str")]
)
def test_a_capture_of_another_kind_is_refused(capture: Capture, changes: object, reason: str) -> None:
    record = json.loads((capture.path / "capture.json").read_text())
    (capture.path / "capture.json").write_text(json.dumps(record | changes))
    with pytest.raises(UntrustedError, match=reason):
        Capture.open(capture.path)


def test_everything_in_a_capture_is_private(capture: Capture) -> None:
    for place, folders, names in os.walk(capture.path):
        for name in folders:
            assert stat.S_IMODE((Path(place) / name).stat().st_mode) == 0o700, name
        for name in names:
            assert stat.S_IMODE((Path(place) / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(capture.path.stat().st_mode) == 0o700


def test_traces_come_in_capture_order_by_id_by_prefix_and_by_number(capture: Capture) -> None:
    traces = list(capture.select(""))
    assert [trace.id for trace in traces] == capture.ids()
    assert [trace.number for trace in traces] == list(range(1, 9))
    assert all(isinstance(trace, Trace) for trace in traces)
    assert len(capture) == 8
    one = traces[4]
    assert one.id in capture
    assert capture.trace(one.id).manifest == one.manifest
    assert capture.trace(one.id[:10]).id == one.id
    assert capture.number(one.id) == 5
    assert capture.number("f" * 16) == 0


@pytest.mark.parametrize("asked", ["f" * 16, "zz", "", "../x", "\x1b[2J"])
def test_a_trace_that_is_not_there_is_not_found(capture: Capture, asked: str) -> None:
    with pytest.raises(NotFoundError, match="no trace") as caught:
        capture.trace(asked)
    assert str(caught.value).isprintable()


def test_a_beginning_of_several_ids_says_so(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "a", traces=40)
    first = next(a for a in "0123456789abcdef" if sum(i.startswith(a) for i in capture.ids()) > 1)
    with pytest.raises(NotFoundError, match=f"traces start with '{first}'; type more"):
        capture.trace(first)


def test_opening_and_one_trace_do_not_parse_the_journal(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = capture.ids()[5]
    monkeypatch.setattr(store.Journal, "refresh", lambda _: pytest.fail("the whole journal was parsed"))
    fresh = Capture.open(capture.path)
    assert fresh.trace(wanted).load("blocks.0.hook_mlp_out").shape[1] == 16


def test_another_process_is_followed(capture: Capture) -> None:
    reader = Capture.open(capture.path)
    assert len(reader) == 8
    new = append_synthetic(capture, traces=3, seed=9)
    assert reader.ids()[8:] == new
    assert reader.trace(new[2]).number == 11


def test_threads_may_share_a_capture(capture: Capture) -> None:
    seen: list[list[str]] = []
    shared = Capture.open(capture.path)

    def read() -> None:
        seen.append(shared.ids())
        for trace in shared.select():
            for name in reversed(trace.tensor_names):
                trace.load(name)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [capture.ids()] * 6


def test_sizes_are_those_on_disk(capture: Capture) -> None:
    sizes = capture.sizes()
    files = [path for path in (capture.path / "traces").rglob("*") if path.is_file()]
    assert sizes.traces == sum(path.stat().st_size for path in files)
    assert sizes.tensors == sum(path.stat().st_size for path in files if path.name.startswith("tensors"))
    assert sizes.models == sum(
        path.stat().st_size for path in (capture.path / "models" / "synthetic").iterdir()
    )
    assert sizes.journal == sum(path.stat().st_size for path in (capture.path / "journal").iterdir())
    positions = sum(len(trace.token_ids) for trace in capture.select())
    assert sizes.plain == positions * 4 * 4 * 16 * 4  # sites, layers, d_model, bytes


def test_the_four_sites_take_half_of_the_plain_layout(tmp_path: Path) -> None:
    prompt = " ".join(["word"] * 24)
    capture = write_synthetic(tmp_path / "a", traces=1, layers=30, d_model=576, heads=9, prompts=[prompt])
    sizes = capture.sizes()
    assert sizes.tensors / sizes.plain <= 0.52


@pytest.mark.parametrize("name", ["trace.json", "tensors.safetensors", "stats.safetensors"])
def test_a_damaged_byte_anywhere_in_a_trace_names_it_and_is_never_a_value(
    capture: Capture, name: str
) -> None:
    victim = capture.ids()[2]
    path = folder(capture.path, victim) / name
    good = {trace.id: _everything(trace) for trace in capture.select()}
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 120)):
        broken = bytearray(data)
        broken[position] ^= 0x10
        path.write_bytes(broken)
        fresh = Capture.open(capture.path)
        with pytest.raises(IntegrityError, match=victim) as caught:
            _everything(fresh.trace(victim))
        assert caught.value.trace_id == victim
        assert caught.value.exit_code == 4
    for trace in map(fresh.trace, set(good) - {victim}):
        assert _everything(trace) == good[trace.id]


@pytest.mark.parametrize("name", ["trace.json", "tensors.safetensors", "stats.safetensors"])
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "longer"])
def test_a_file_that_is_gone_or_of_another_size_names_the_trace(
    capture: Capture, name: str, harm: str
) -> None:
    victim = capture.ids()[2]
    path = folder(capture.path, victim) / name
    data = path.read_bytes()
    path.unlink()
    if harm != "gone":
        path.write_bytes({"empty": b"", "cut": data[:-1], "longer": data + b"\0"}[harm])
    with pytest.raises(IntegrityError, match=victim) as caught:
        _everything(Capture.open(capture.path).trace(victim))
    assert caught.value.trace_id == victim


@pytest.mark.parametrize("name", ["trace.json", "tensors.safetensors", "stats.safetensors"])
@pytest.mark.timeout(20)
def test_a_link_or_a_pipe_in_a_trace_is_refused(capture: Capture, name: str, tmp_path: Path) -> None:
    victim = capture.ids()[2]
    path = folder(capture.path, victim) / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(UntrustedError, match="link"):
        _everything(Capture.open(capture.path).trace(victim))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UntrustedError, match="regular"):
        _everything(Capture.open(capture.path).trace(victim))


def test_the_trace_of_another_id_is_not_shown_as_this_one(capture: Capture) -> None:
    first, second = capture.ids()[:2]
    place = folder(capture.path, first)
    for path in folder(capture.path, second).iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    with pytest.raises(IntegrityError, match=first):
        capture.trace(first)


def test_a_filter_needs_the_filter_that_is_installed(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = capture.ids()[3:5]

    class Point:
        @staticmethod
        def load() -> object:
            return lambda of, text: iter(wanted) if (of, text) == (capture, "x == 1") else iter(())

    monkeypatch.setattr(metadata, "entry_points", lambda **_: [Point])
    assert [trace.id for trace in capture.select(" x == 1 ")] == wanted
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [])
    with pytest.raises(NotFoundError, match="filter"):
        capture.select("x == 1")


def _everything(trace: Trace) -> dict[str, bytes]:
    """All values of a trace, as bytes."""
    arrays = {name: trace.load(name) for name in trace.tensor_names} | dict(trace.stats)
    return {name: array.tobytes() for name, array in arrays.items()}
