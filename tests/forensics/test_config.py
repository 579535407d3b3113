"""The user's settings: macros of config.toml, read when they change, refused in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tensorshark.forensics import config
from tensorshark.forensics.engine import Engine
from tensorshark.traces.case import Case
from tensorshark.traces.errors import FilterError, UsageError
from tensorshark.traces.store import Capture
from tensorshark.traces.synthetic import write_synthetic

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    path = tmp_path / "config.toml"
    monkeypatch.setenv(config.VARIABLE, str(path))

    def written(data: str | bytes) -> Path:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return written


def test_where_the_settings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.path().parts[-2:] == ("tensorshark", "config.toml")
    assert config.macros() == {}
    monkeypatch.setenv(config.VARIABLE, "/nowhere/at/all.toml")
    assert config.path() == Path("/nowhere/at/all.toml")
    assert config.macros() == {}


def test_a_macro_is_a_text_or_a_text_with_a_description(write: Write) -> None:
    write('[macros]\nloud = "resid_post.norm > $1"\nquiet = { text = "bos", description = "x" }\n')
    assert config.macros() == {"loud": ("resid_post.norm > $1", ""), "quiet": ("bos", "x")}


def test_they_are_read_again_when_they_have_changed(write: Write) -> None:
    path = write('[macros]\na = "bos"\n')
    assert config.macros()["a"] == ("bos", "")
    write('[macros]\na = "seq_len > 3"\n')
    os.utime(path, ns=(1, 1))
    assert config.macros()["a"] == ("seq_len > 3", "")
    path.unlink()
    assert config.macros() == {}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("[macros\n", "line 1"),
        ("[macro]\na = 'bos'\n", "there is no setting 'macro'; there is [macros]"),
        ("macros = 3\n", "macros is a table"),
        ("[macros]\na = 3\n", "macro 'a': write a = \"…\""),
        ("[macros]\na = {description = 'x'}\n", "macro 'a': write"),
        ("[macros]\na = {text = 'x', colour = 'x'}\n", "macro 'a': write"),
        ("[macros]\na = {text = 3}\n", "text and description are strings"),
        ("[macros]\na = ' '\n", "1 to 8,192 characters"),
        (f"[macros]\na = '{'x' * 9000}'\n", "1 to 8,192 characters"),
        ("[macros]\n'a-b' = 'x'\n", "letters a-z, digits and _"),
        (b"[macros]\na = '\xff'\n", "not UTF-8"),
        ("#" * (2 << 20), "bytes; settings have at most"),
        ("a = " + "[" * 5000, ""),
        ('[macros]\n"\x1b[2J" = "x"\n'.replace("\x1b", "\\u001b"), "x1b[2J"),
    ],
)
def test_what_cannot_be_meant_is_one_line(write: Write, data: str | bytes, says: str) -> None:
    path = write(data)
    with pytest.raises(UsageError) as caught:
        config.macros()
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_folder_or_a_pipe_is_no_settings_file(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        config.macros()


def test_the_macros_of_the_case_come_first(write: Write, tmp_path: Path) -> None:
    write('[macros]\na = "bos"\nb = "not bos"\n')
    case = Case.open(Capture.create(tmp_path / "a.tshark"), write=True, sync=False)
    case.define_macro("a", "seq_len > 3")
    macros = config.context(case).macros
    assert dict(macros) == {"a": "seq_len > 3", "b": "not bos"}
    assert len(macros) == 2


def test_the_engine_knows_macros_wherever_a_filter_is_typed(write: Write, tmp_path: Path) -> None:
    write('[macros]\nlong = "seq_len > $1"\nlast = "resid_post.norm#3[-1]"\n')
    write_synthetic(tmp_path / "a.tshark", traces=6)
    with Engine(tmp_path / "a.tshark") as engine:
        engine.case.define_macro("longer", "${long(6)}")
        assert engine.select("${longer}").tolist() == engine.select("seq_len > 6").tolist() != []
        assert engine.select("", "${last}").tolist() == engine.select("", "resid_post.norm#3[-1]").tolist()
        assert engine.check("${longer}").words == engine.check("seq_len > 6").words
        assert engine.check("${longest}").state == "bad"
        assert engine.cost("${longer}").index_only
        assert [trace.number for trace in engine.capture.select("${longer}")] == engine.select(
            "seq_len > 6"
        ).tolist()


def test_settings_that_are_broken_stop_only_filters_that_use_macros(write: Write, tmp_path: Path) -> None:
    write("[macros")
    write_synthetic(tmp_path / "a.tshark", traces=2)
    with Engine(tmp_path / "a.tshark") as engine:
        assert engine.select("seq_len > 0").tolist() == [1, 2]
        assert "config.toml" in engine.check("${x}").reason
        with pytest.raises(FilterError, match=r"config\.toml"):
            engine.select("${x}")
