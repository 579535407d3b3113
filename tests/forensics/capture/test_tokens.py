"""BOS policies, chat templates, spans, and the text of every token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.prompts import Prompt
from tensorshark.forensics.capture.settings import CaptureSettings
from tensorshark.forensics.capture.tiny import write_tiny_model
from tensorshark.forensics.capture.tokens import Prepared, Refused, Tokens, vocabulary
from tensorshark.traces.errors import UsageError

from .conftest import loaded

pytestmark = pytest.mark.model

CHAT = (("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"))


def prepare(model: LoadedModel, *prompts: Prompt, **settings: Any) -> list[Prepared | Refused]:
    return Tokens(model, CaptureSettings(**settings)).prepare(prompts)


def ids(model: LoadedModel, prompt: Prompt, **settings: Any) -> list[int]:
    [prepared] = prepare(model, prompt, **settings)
    assert isinstance(prepared, Prepared), prepared
    return prepared.ids


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The same model with a tokenizer that adds a BOS token to plain text, and with one that does not."""
    top = tmp_path_factory.mktemp("tokens")
    return {adds: write_tiny_model(top / str(adds), "llama", adds_bos=adds) for adds in (False, True)}


@pytest.fixture
def plain(folders: dict[bool, Path], home: Path) -> LoadedModel:
    """Its tokenizer adds nothing."""
    return loaded(folders[False])


@pytest.fixture
def adding(folders: dict[bool, Path], home: Path) -> LoadedModel:
    """Its tokenizer puts a BOS token first."""
    return loaded(folders[True])


def test_bos_policies(plain: LoadedModel, adding: LoadedModel) -> None:
    bos = plain.tokenizer.bos_token_id
    text = Prompt("Hi")
    own = plain.tokenizer("Hi").input_ids
    assert ids(plain, text, bos="auto") == own
    assert ids(plain, text, bos="always") == [bos, *own]
    assert ids(plain, text, bos="never") == own
    assert ids(adding, text, bos="auto") == adding.tokenizer("Hi").input_ids == [bos, *own]
    assert ids(adding, text, bos="always") == [bos, *own]
    assert ids(adding, text, bos="never") == own


@pytest.mark.parametrize("policy", ["auto", "always", "never"])
def test_never_two_bos_tokens(plain: LoadedModel, adding: LoadedModel, policy: str) -> None:
    """Not in a text that starts with one, not in a chat template that does."""
    for model in (plain, adding):
        bos = model.tokenizer.bos_token_id
        for prompt in (Prompt("<s>Hi"), Prompt(messages=CHAT)):
            found = ids(model, prompt, bos=policy)
            assert found[0] == bos != found[1]


def test_the_manifest_says_who_added_the_bos(plain: LoadedModel, adding: LoadedModel) -> None:
    def added(model: LoadedModel, prompt: Prompt, bos: str) -> bool:
        [prepared] = prepare(model, prompt, bos=bos)
        assert isinstance(prepared, Prepared)
        return prepared.bos_added

    assert added(plain, Prompt("Hi"), "always")
    assert not added(plain, Prompt("<s>Hi"), "always")
    assert not added(plain, Prompt("Hi"), "auto")
    assert added(adding, Prompt("Hi"), "auto")
    assert not added(adding, Prompt("<s>Hi"), "auto")
    assert not added(adding, Prompt(messages=CHAT), "auto")


def test_an_expert_says_where_auto_and_always_differ(plain: LoadedModel, adding: LoadedModel) -> None:
    def codes(model: LoadedModel, bos: str) -> list[str]:
        [prepared] = prepare(model, Prompt("Hi"), bos=bos)
        assert isinstance(prepared, Prepared)
        return [expert.code for expert in prepared.experts]

    assert codes(plain, "auto") == codes(plain, "always") == ["bos"]
    assert codes(adding, "auto") == codes(adding, "always") == []


def test_always_needs_a_bos_token(tmp_path: Path, home: Path) -> None:
    model = loaded(write_tiny_model(tmp_path / "m", "llama"))
    model.tokenizer.bos_token = None
    with pytest.raises(UsageError, match="has no BOS token; use --bos auto"):
        prepare(model, Prompt("Hi"), bos="always")


def test_chat_text_is_hugging_faces(plain: LoadedModel, smollm2: Path) -> None:
    """Rendered once, with the opening of the answer, and tokenised as Hugging Face does it."""
    for model in (plain, loaded(smollm2)):
        messages = [{"role": role, "content": content} for role, content in CHAT[1:]]
        [prepared] = prepare(model, Prompt(messages=CHAT[1:]))
        assert isinstance(prepared, Prepared)
        tokenizer: Any = model.tokenizer
        expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert prepared.text == expected
        assert (
            prepared.ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        )
        [single] = prepare(model, Prompt("Hi"), chat=True)
        assert isinstance(single, Prepared)
        assert single.text == tokenizer.apply_chat_template(
            messages[:1], tokenize=False, add_generation_prompt=True
        )


def test_spans_are_the_turns(plain: LoadedModel) -> None:
    [prepared] = prepare(plain, Prompt(messages=CHAT))
    assert isinstance(prepared, Prepared)
    read = {
        span.name: plain.tokenizer.decode(prepared.ids[span.start : span.stop])
        for span in prepared.spans
        if span.name != "prompt"
    }
    assert read == {"system": "Be kind.", "user": "Hi", "assistant": "Hello", "user.2": "Bye"}
    assert prepared.spans[0].start == 0 and prepared.spans[0].stop == len(prepared.ids)


def test_spans_move_with_an_added_bos(tmp_path: Path, home: Path) -> None:
    template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    model = loaded(write_tiny_model(tmp_path / "m", "llama", template=template))
    [prepared] = prepare(model, Prompt(messages=CHAT), bos="always")
    assert isinstance(prepared, Prepared) and prepared.bos_added
    span = next(span for span in prepared.spans if span.name == "assistant")
    assert model.tokenizer.decode(prepared.ids[span.start : span.stop]) == "Hello"


def test_long_prompts_are_cut_and_say_so(plain: LoadedModel) -> None:
    """At the model's own limit (64), or at a smaller one that was asked for."""
    for settings, limit in (({}, 64), ({"max_tokens": 5}, 5), ({"max_tokens": 999}, 64)):
        [prepared] = prepare(plain, Prompt("x" * 100), **settings)
        assert isinstance(prepared, Prepared)
        assert len(prepared.ids) == limit == prepared.spans[0].stop
        assert prepared.experts[-1].code == "truncated"
        assert f"from 100 to {limit}" in prepared.experts[-1].text


def test_what_cannot_be_captured_is_refused_and_the_others_go_on(plain: LoadedModel) -> None:
    prompts = [Prompt("", where="a:1"), Prompt("\ud800", where="a:2"), Prompt("ok"), Prompt("\x00\x1b[31m")]
    empty, surrogate, fine, control = prepare(plain, *prompts)
    assert empty == Refused("a:1", "the prompt has no tokens")
    assert isinstance(surrogate, Refused) and surrogate.where == "a:2" and "surrogate" in surrogate.reason
    assert isinstance(fine, Prepared) and isinstance(control, Prepared)
    assert len(control.ids) == 6


def test_messages_need_a_template(tmp_path: Path, home: Path) -> None:
    model = loaded(write_tiny_model(tmp_path / "m", "llama", template=None))
    [refused] = prepare(model, Prompt(messages=CHAT))
    assert isinstance(refused, Refused) and "no chat template" in refused.reason
    with pytest.raises(UsageError, match="has no chat template"):
        prepare(model, Prompt("Hi"), chat=True)


def test_the_vocabulary_spells_every_text(smollm2: Path) -> None:
    """Joining the tokens of an ASCII text gives the text, leading spaces included."""
    model = loaded(smollm2)
    vocab = vocabulary(model.tokenizer, model.vocab)
    assert len(vocab) == model.vocab == 49152
    text = "The capital of France is\n  Paris."
    assert "".join(vocab[n] for n in model.tokenizer(text).input_ids) == text
    assert vocab[1] == "<|im_start|>"


def test_sentencepiece_tokens_keep_their_space(home: Path) -> None:
    """Decoded alone, such a token loses it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = {"▁a": 0, "▁cat": 1, "s": 2, "a": 3, "<unk>": 4, "▁": 5}
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=4))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert fast.decode([1]) == "cat"
    assert vocabulary(fast, 8)[:3] == [" a", " cat", "s"]
    assert vocabulary(fast, 8)[6:] == ["", ""]


def test_every_architectures_ids_are_embedded(tiny: Callable[[str], Path], home: Path) -> None:
    """A tokenizer that knows more tokens than the model has embeddings would crash the pass."""
    model = loaded(tiny("llama"))
    model.tokenizer.add_tokens([f"<extra{n}>" for n in range(60)])
    [refused] = prepare(model, Prompt("<extra59>"))
    assert isinstance(refused, Refused) and "not among the model's 300" in refused.reason
