"""Fields as they are typed: what is written is what was read."""

import pytest

from tensorshark.forensics.filter.columns import expression
from tensorshark.forensics.filter.values.typed import typed


@pytest.mark.parametrize(
    "text",
    [
        "resid_post.norm",
        "resid_post.norm#12[-1]",
        "resid_post.norm#-1",
        "attn.entropy#[0,4,8-12]:3[prompt[-1]]",
        "attn.entropy:[0-3][2,5]",
        "attn.entropy#[8:12][::2]",
        "attn.entropy[-4:]",
        "token[user.2]",
        "mean(attn.entropy#3[-1])",
        "$resid_post.norm#1[response[0]]",
        "lens.p#4[all]",
    ],
)
def test_it_is_said_as_it_was_typed(text: str) -> None:
    value = expression(text, {})
    (field,) = value.parts if text.startswith("mean") else (value,)
    assert typed(field) == text
