"""One table of fields: complete, unambiguous, and open for what analyzers declare."""

import msgspec
import pytest

from tensorshark.forensics.filter import check, parse
from tensorshark.forensics.filter import fields as module
from tensorshark.forensics.filter.fields import (
    FIELDS,
    PROVIDERS,
    fields,
    find,
    label,
    nearest,
    quote,
)
from tensorshark.traces.index import Index
from tensorshark.traces.sites import SITES, STAT_FIELDS


def test_every_statistic_and_site_is_a_field() -> None:
    table = {info.name: info for info in FIELDS}
    assert set(STAT_FIELDS) | set(SITES) <= set(table)
    assert all(table[name].axes == axes for name, axes in STAT_FIELDS.items())


def test_names_are_unique_and_readable() -> None:
    names = [name for info in FIELDS for name in (info.name, *info.aliases)]
    assert len(set(names)) == len(names)
    for info in FIELDS:
        assert info.help and not info.help.endswith(".")
        assert find(info.name) == info
        if not info.name.endswith(".*"):
            assert check(f"has({info.name})").state == "ok"
        if "head" in info.axes and info.type == "number":
            assert "." in info.name, "so that `any(name:3)` is not taken for `any(variable: …)`"


@pytest.mark.parametrize(
    "key", ["category", "a.b", "odd key", 'quote"\\', "nul\0", "ünï", "esc\x1b", "🦈", "x-y", "1"]
)
def test_any_label_key_can_be_written(key: str) -> None:
    info = label(key)
    assert find(f"label.{key}") == info
    asked = parse(f'{info.name} == "v"').predicate
    assert asked is not None
    (leaf,) = asked.leaves()
    assert leaf.values[0].field.key == key  # type: ignore[attr-defined]
    assert info.name.isprintable() and info.noun.isprintable()


@pytest.mark.parametrize(
    "text", ["", "plain", 'both " and \\', "nul\0 esc\x1b", "\u202e", "🦈\U000e0041", "\n\t"]
)
def test_quoted_text_reads_back(text: str) -> None:
    assert quote(text).isprintable()
    words = parse(f"prompt == {quote(text)}").predicate
    assert words is not None
    (leaf,) = words.leaves()
    assert leaf.relation.constant == text  # type: ignore[attr-defined]


def test_labels_of_a_capture_with_how_many_have_them(odd_index: Index) -> None:
    found = {info.name: info.traces for info in fields(odd_index) if info.kind == "label"}
    assert found == {'label."odd key"': 6, "label.category": 23, "label.split": 12}
    assert "label.*" in {info.name for info in fields()}


def test_nearest() -> None:
    assert nearest("resid_pst.norm") == "resid_post.norm"
    assert nearest("entropy") == "attn.entropy"
    assert nearest("qqq") is None
    assert nearest("labl.category") == nearest("labels.category") == "label.category"
    assert nearest("lable") == "label.NAME"
    assert nearest("marks.odd") == "mark.odd"
    assert nearest("tcp.port") is None


def test_fields_of_analyzers_come_in_through_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = msgspec.structs.replace(FIELDS[0], name="made.up", kind="analyzer", source="analyzer made")
    monkeypatch.setattr(module, "PROVIDERS", [*PROVIDERS, lambda: [made]])
    assert find("made.up") == made
    assert made in fields()
    assert check("norms.growth > 3").state == "ok"
