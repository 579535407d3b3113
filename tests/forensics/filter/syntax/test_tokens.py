"""Token literals: the byte-level alphabet and the others, back to what a token reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.forensics.filter.syntax.tokens import alphabet, text_of


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        ("Ġthe", " the"),
        ("the", "the"),
        ("Ċ", "\n"),
        ("ĉ", "\t"),
        ("čĊ", "\r\n"),
        ("Ä", None),
        ("Ã©", "é"),
        ("ĠæĹ¥æľ¬", " 日本"),
        ("â", None),
        ("▁the", " the"),
        ("▁▁▁", "   "),
        ("▁é", " é"),
        ("<0x0A>", "\n"),
        ("<0xE9>", None),
        ("<|im_start|>", "<|im_start|>"),
        ("日本", "日本"),
        ("", ""),
        ("a b", "a b"),
    ],
)
def test_what_a_token_reads(spelled: str, text: str | None) -> None:
    assert text_of(spelled) == text


def test_every_byte_has_one_character_that_can_be_seen() -> None:
    assert sorted(alphabet().values()) == list(range(256))
    assert all(sign.isprintable() and not sign.isspace() for sign in alphabet())


@given(st.text().filter(lambda text: "▁" not in text))
def test_what_is_spelled_in_bytes_reads_as_the_text(text: str) -> None:
    signs = {byte: sign for sign, byte in alphabet().items()}
    spelled = "".join(signs[byte] for byte in text.encode())
    if not spelled.startswith("<0x"):
        assert text_of(spelled) == text


@pytest.mark.model
def test_the_alphabet_is_that_of_transformers() -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert alphabet() == {sign: byte for byte, sign in bytes_to_unicode().items()}
