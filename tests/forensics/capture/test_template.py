"""Chat templates run in a child that cannot loop for ever, eat the memory or reach out of the sandbox."""

from __future__ import annotations

import pytest

from tensorshark.forensics.capture import template
from tensorshark.traces.errors import UntrustedError

pytestmark = pytest.mark.model

HELLO = (("user", "Hello"),)


def test_an_answer_is_opened_unless_there_is_one() -> None:
    text = "{{ bos_token }}{{ messages[-1].content }}{% if add_generation_prompt %}>{% endif %}"
    both = template.render(text, [HELLO, (*HELLO, ("assistant", "Hi"))], {"bos_token": "<s>"})
    assert both == ["<s>Hello>", "<s>Hi"]


def test_a_loop_is_stopped() -> None:
    """The range of a template is capped by the sandbox; two of them inside each other are not."""
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(UntrustedError, match="processor time; stopped"):
        template.render(endless, [HELLO], {}, cpu_seconds=2)


def test_memory_is_limited() -> None:
    with pytest.raises(UntrustedError, match=r"the chat template failed: more than .* bytes of memory"):
        template.render("{% set a = 'A' * 3000000000 %}{{ a }}", [HELLO], {})


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ raise_exception('no system role') }}",
        "{% if %}",
    ],
)
def test_a_template_that_fails_says_why(text: str) -> None:
    with pytest.raises(UntrustedError, match=r"the chat template failed: \w*Error"):
        template.render(text, [HELLO], {})
