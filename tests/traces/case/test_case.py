"""Marks, tags, notes, macros and saved filters: what is said holds, and can be taken back."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tensorshark.traces.case import Case, Spot
from tensorshark.traces.case.events import MAX_TRACES
from tensorshark.traces.case.place import folders
from tensorshark.traces.errors import NotFoundError, StorageError, UsageError
from tensorshark.traces.files import make_dir
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import append_synthetic, write_synthetic

ONE, TWO, THREE = (f"{index:016x}" for index in range(1, 4))


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return Capture.create(tmp_path / "a.tshark")


@pytest.fixture
def case(capture: Capture) -> Case:
    return Case.open(capture, write=True, sync=False)


def _names(case: Case, trace: str) -> list[str]:
    return [mark.name for mark in case.marks(trace)]


def test_a_capture_without_a_case_gets_no_file(capture: Capture) -> None:
    case = Case.open(capture)
    assert (case.marks(ONE), case.tags(ONE), case.notes(ONE), case.events()) == ([], [], [], [])
    assert (case.macros, case.filters, case.problems(), case.version) == ({}, {}, [], 0)
    assert [path.name for path in capture.path.parent.iterdir()] == ["a.tshark"]


def test_marks_are_of_traces_tokens_and_cells(case: Case) -> None:
    assert case.mark([ONE, TWO]) == 2
    assert case.mark([ONE], "suspect", token=3) == 1
    assert case.mark([THREE], "suspect", token=3, layer=12) == 1
    assert [(mark.name, mark.spot) for mark in case.marks(ONE)] == [
        ("mark", Spot()),
        ("suspect", Spot(token=3)),
    ]
    assert case.marks(THREE)[0].spot == Spot(token=3, layer=12)
    assert case.marked() == {ONE, TWO, THREE}
    assert case.marked("suspect") == {ONE, THREE}
    assert case.mark_names() == ["mark", "suspect"]


def test_what_holds_already_is_not_said_again(case: Case) -> None:
    assert case.mark([ONE, ONE]) == 1
    assert case.mark([ONE]) == 0
    assert case.mark([ONE, TWO]) == 1
    assert case.unmark([THREE]) == 0
    assert len(case.events()) == 2


def test_a_mark_is_taken_from_right_there(case: Case) -> None:
    case.mark([ONE])
    case.mark([ONE], token=2)
    assert case.unmark([ONE], token=2, layer=1) == 0
    assert case.unmark([ONE]) == 1
    assert [mark.spot for mark in case.marks(ONE)] == [Spot(token=2)]
    assert case.unmark([ONE], token=2) == 1
    assert case.mark_names() == []
    assert case.marked() == set()


def test_tags_may_be_any_text(case: Case) -> None:
    case.tag([ONE], "prompt injection")
    case.tag([ONE], "Ünïcode ‮")
    assert case.tag_names() == ["prompt injection", "Ünïcode ‮"]
    assert case.tagged("prompt injection") == case.tagged() == {ONE}
    assert case.untag([ONE], "prompt injection") == 1
    assert [tag.name for tag in case.tags(ONE)] == ["Ünïcode ‮"]


def test_notes_are_kept_in_order_and_struck_by_their_id(case: Case) -> None:
    case.note([ONE, TWO], "first")
    case.note([ONE], "second", token=0)
    first, second = case.notes(ONE)
    assert (first.text, second.text, second.spot) == ("first", "second", Spot(token=0))
    assert case.strike(first.id) == 1
    assert [note.text for note in case.notes(ONE)] == ["second"]
    assert case.notes(TWO) == []
    assert case.noted() == {ONE}
    with pytest.raises(NotFoundError, match="no note"):
        case.strike(first.id)


def test_macros_and_saved_filters_have_a_text_and_a_description(case: Case) -> None:
    case.define_macro("loud", "resid_post.norm > $1", "above a norm")
    case.save_filter("the loud ones", "${loud(90)}")
    assert case.macros["loud"].text == "resid_post.norm > $1"
    assert case.macros["loud"].description == "above a norm"
    assert case.filters["the loud ones"].text == "${loud(90)}"
    assert case.define_macro("loud", "resid_post.norm > $1", "above a norm") == 0
    case.define_macro("loud", "resid_pre.norm > $1")
    assert case.macros["loud"].text == "resid_pre.norm > $1"
    assert case.remove_macro("loud") == case.remove_filter("the loud ones") == 1
    assert case.macros == case.filters == {}
    with pytest.raises(NotFoundError, match="it has none"):
        case.remove_macro("loud")


def test_everything_carries_its_author_and_time(case: Case) -> None:
    case.mark([ONE])
    case.note([ONE], "why")
    (mark,), (note,) = case.marks(ONE), case.notes(ONE)
    assert mark.by == note.by == case.by
    assert mark.at < note.at
    assert note.at.endswith("Z")


def test_undo_takes_back_action_after_action_and_redo_brings_them_again(case: Case) -> None:
    case.mark([ONE])
    case.mark([ONE, TWO])
    case.tag([ONE], "x")
    case.note([ONE], "n")
    case.define_macro("m", "bos")
    case.define_macro("m", "not bos")
    case.save_filter("f", "bos")
    steps = []

    def holds() -> object:
        texts = [note.text for note in case.notes(ONE)]
        macros = {name: macro.text for name, macro in case.macros.items()}
        return case.marked(), case.tagged(), texts, macros, sorted(case.filters)

    while True:
        steps.append(holds())
        if not case.undo():
            break
    assert len(steps) == 8
    assert steps[-1] == (set(), set(), [], {}, [])
    assert steps[-2] == ({ONE}, set(), [], {}, [])
    assert steps[2][3] == {"m": "bos"}  # type: ignore[index]
    for before in reversed(steps[:-1]):
        assert case.redo()
        assert holds() == before
    assert case.redo() == []


def test_something_new_ends_redo(case: Case) -> None:
    case.mark([ONE])
    case.undo()
    case.mark([TWO])
    assert case.redo() == []
    case.undo()
    assert case.marked() == set()


def test_undo_is_of_ones_own_actions(capture: Capture, case: Case) -> None:
    case.mark([ONE])
    other = Case.open(capture, write=True, sync=False)
    other.by = "somebody else"
    other.mark([TWO])
    case.undo()
    assert case.marked() == {TWO}
    assert case.undo() == []
    other.undo()
    assert other.marked() == set()


def test_a_struck_note_comes_back_with_its_author_and_time(case: Case) -> None:
    case.note([ONE], "n")
    (note,) = case.notes(ONE)
    case.strike(note.id)
    case.undo()
    assert case.notes(ONE) == [note]


def test_very_many_traces_take_several_events_and_one_undo(case: Case) -> None:
    many = [f"{index:016x}" for index in range(MAX_TRACES + 10)]
    assert case.mark(many) == len(many)
    assert len(case.events()) == 2
    assert len(case.marked()) == len(many)
    assert len(case.undo()) == 2
    assert case.marked() == set()


@pytest.mark.parametrize("name", ["needs-review", "", "a" * 65, "a b", "ä", "a\n"])
def test_a_mark_has_a_name_that_a_filter_can_write(case: Case, name: str) -> None:
    with pytest.raises(UsageError, match="letters"):
        case.mark([ONE], name)
    with pytest.raises(UsageError, match="letters"):
        case.define_macro(name, "bos")


def test_what_is_empty_too_long_or_no_text_is_refused_before_anything_is_written(
    capture: Capture, case: Case
) -> None:
    for wrong in ("", " \n", "x" * 20_000, "\udcff"):
        with pytest.raises(UsageError):
            case.note([ONE], wrong)
        with pytest.raises(UsageError):
            case.tag([ONE], wrong)
        with pytest.raises(UsageError):
            case.save_filter("f", wrong)
        with pytest.raises(UsageError):
            case.save_filter(wrong, "bos")
    with pytest.raises(UsageError, match="a layer needs a token"):
        case.mark([ONE], layer=3)
    with pytest.raises(UsageError, match="from 0"):
        case.mark([ONE], token=-1)
    assert case.events() == []
    assert not (capture.path.parent / "a.case").exists()


def test_a_case_opened_for_reading_writes_nothing(capture: Capture) -> None:
    with pytest.raises(UsageError, match="reading only"):
        Case.open(capture).mark([ONE])


def test_another_reader_sees_what_was_said_when_it_looks_again(capture: Capture, case: Case) -> None:
    reader = Case.open(capture)
    assert reader.version == 0
    case.mark([ONE])
    assert reader.marks(ONE) == []
    assert reader.refresh()
    assert _names(reader, ONE) == ["mark"]
    assert not reader.refresh()
    assert reader.version == 1


def test_two_writers_at_once_have_a_file_each_and_see_each_other(capture: Capture) -> None:
    one, two = (Case.open(capture, write=True, sync=False) for _ in range(2))
    one.mark([ONE], "a")
    two.mark([ONE], "b")
    two.unmark([ONE], "a")
    assert one.refresh()
    assert _names(one, ONE) == _names(two, ONE) == ["b"]
    assert len(list((capture.path.parent / "a.case").iterdir())) == 2


def test_an_event_comes_after_all_that_its_writer_had_read_whatever_the_clocks_say(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from tensorshark.traces.case import log

    one, two = (Case.open(capture, write=True, sync=False) for _ in range(2))
    one.mark([ONE])

    class Slow(log.datetime):  # type: ignore[name-defined, misc]
        @classmethod
        def now(cls, tz: object = None) -> "Slow":
            return super().now(tz) - timedelta(hours=3)  # type: ignore[no-any-return]

    monkeypatch.setattr(log, "datetime", Slow)
    assert two.unmark([ONE]) == 1
    one.refresh()
    assert one.marked() == two.marked() == set()


def test_marks_survive_a_capture_that_grows_and_one_that_is_made_again(tmp_path: Path) -> None:
    capture = write_synthetic(tmp_path / "b.tshark", traces=3)
    third = capture.ids()[2]
    Case.open(capture, write=True, sync=False).mark([third])
    append_synthetic(capture, traces=2)
    assert Case.open(Capture.open(capture.path)).marked() == {third}


def test_merging_two_cases_is_putting_their_files_together(tmp_path: Path) -> None:
    captures = [Capture.create(tmp_path / name) for name in ("a.tshark", "b.tshark")]
    for capture, name in zip(captures, ("mine", "yours"), strict=True):
        Case.open(capture, write=True, sync=False).mark([ONE], name)
    for path in (tmp_path / "b.case").iterdir():
        (tmp_path / "a.case" / path.name).write_bytes(path.read_bytes())
    merged = Case.open(captures[0])
    assert _names(merged, ONE) == ["mine", "yours"]
    assert merged.problems() == []


def test_modes_are_private(capture: Capture, case: Case) -> None:
    case.mark([ONE])
    folder = capture.path.parent / "a.case"
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_where_the_capture_cannot_be_written_the_case_is_in_the_users_state(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorshark.traces.case import log

    def read_only(path: Path) -> bool:  # a test that runs as root finds no folder that it cannot write
        if path.name == "a.case":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return make_dir(path)

    monkeypatch.setattr(log, "make_dir", read_only)
    Case.open(capture, write=True, sync=False).mark([ONE])
    assert Case.open(capture).marked() == {ONE}
    assert [path.name for path in capture.path.parent.iterdir()] == ["a.tshark"]
    _, state = folders(capture.path, capture.uuid)
    assert state.stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_written_the_error_names_both_places(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorshark.traces.case import log

    def full(path: Path) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(log, "make_dir", full)
    with pytest.raises(StorageError, match=r"a\.case: No space .*cases/"):
        Case.open(capture, write=True).mark([ONE])


def test_what_is_said_together_is_undone_at_once(case: Case) -> None:
    case.mark([ONE], "before")
    with case.together():
        case.mark([ONE])
        case.note([ONE, TWO], "n")
        with case.together():
            case.tag([TWO], "t")
    assert len(case.undo()) == 3
    assert _names(case, ONE) == ["before"]
    assert case.notes(TWO) == case.tags(TWO) == []
    assert len(case.redo()) == 3
    assert case.notes(TWO)[0].text == "n"


def test_threads_share_a_case(capture: Capture, case: Case) -> None:
    def say(which: int) -> None:
        for number in range(20):
            case.mark([f"{number:016x}"], f"by_{which}")
            case.marked()
            case.refresh()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(say, range(4)))
    assert len(case.events()) == 80
    assert Case.open(capture).marked("by_3") == {f"{number:016x}" for number in range(20)}
    assert Case.open(capture).problems() == []
