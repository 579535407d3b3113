"""From prompts to token ids: BOS policy, chat template, spans, and every token's text.

We tokenise ourselves and hand ids to the model, so that what was fed is what is recorded. No text ever gets
two BOS tokens: not from the tokenizer and the policy together, not from a chat template that has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tensorshark.forensics.capture import template
from tensorshark.forensics.capture.loading import LoadedModel
from tensorshark.forensics.capture.prompts import Prompt, checked_text
from tensorshark.forensics.capture.settings import CaptureSettings
from tensorshark.traces.errors import UntrustedError, UsageError
from tensorshark.traces.manifest import Expert, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True)
class Prepared:
    """A prompt as the model will read it."""

    prompt: Prompt
    text: str
    """What was tokenised: the prompt, or the rendered chat template."""
    ids: list[int]
    bos_added: bool
    """True when the policy (not the text or its template) put a BOS token first."""
    spans: list[Span]
    experts: list[Expert]


@dataclass(frozen=True)
class Refused:
    """A prompt that cannot be captured."""

    where: str
    reason: str


class Tokens:
    """A model's tokenizer under one BOS policy."""

    def __init__(self, model: LoadedModel, settings: CaptureSettings) -> None:
        self._tokenizer: Any = model.tokenizer
        self._bos: int | None = model.tokenizer.bos_token_id
        self._policy = settings.bos
        self._chat = settings.chat
        self._template = model.chat_template
        limits = [limit for limit in (settings.max_tokens, model.max_positions) if limit]
        self._limit = min(limits, default=0)
        embeddings: Any = model.hf.get_input_embeddings()
        self._embeddings: int = embeddings.weight.shape[0]
        if self._policy == "always" and self._bos is None:
            raise UsageError(f"{model.source.name} has no BOS token; use --bos auto")
        if self._chat and self._template is None:
            raise UsageError(f"{model.source.name} has no chat template; leave --chat away")

    def prepare(self, prompts: Sequence[Prompt]) -> list[Prepared | Refused]:
        """Each prompt's ids, or why it cannot be captured; in order."""
        out: list[Prepared | Refused] = []
        for prompt, text in zip(prompts, self._texts(prompts), strict=True):
            if isinstance(text, str):
                out.append(self._prepare(prompt, text, is_chat=self._is_chat(prompt)))
            else:
                out.append(text)
        return out

    def _is_chat(self, prompt: Prompt) -> bool:
        return self._chat or bool(prompt.messages)

    def _texts(self, prompts: Sequence[Prompt]) -> list[str | Refused]:
        """What to tokenise: plain text as it is, conversations rendered."""
        texts: list[str | Refused] = []
        chats: dict[int, Sequence[tuple[str, str]]] = {}
        for number, prompt in enumerate(prompts):
            try:
                for part in (prompt.text, *(content for _, content in prompt.messages)):
                    checked_text(part, "the prompt")
                if self._is_chat(prompt):
                    if self._template is None:
                        raise UsageError("the model has no chat template for its messages")
                    chats[number] = prompt.messages or (("user", prompt.text),)
                texts.append(prompt.text)
            except (UntrustedError, UsageError) as error:
                texts.append(Refused(prompt.where, str(error)))
        if chats and self._template is not None:
            rendered = template.render(
                self._template, list(chats.values()), self._tokenizer.special_tokens_map
            )
            for number, text in zip(chats, rendered, strict=True):
                texts[number] = text
        return texts

    def _prepare(self, prompt: Prompt, text: str, is_chat: bool) -> Prepared | Refused:
        plain: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        ids, bos_added = self._with_bos(text, plain, is_chat)
        if not ids:
            return Refused(prompt.where, "the prompt has no tokens")
        if max(ids) >= self._embeddings:
            return Refused(prompt.where, f"token {max(ids)} is not among the model's {self._embeddings:,}")
        experts = self._bos_expert(ids)
        if self._limit and len(ids) > self._limit:
            said = f"cut from {len(ids):,} to {self._limit:,} tokens; the end is missing"
            experts.append(Expert(severity="warn", code="truncated", text=said))
            ids = ids[: self._limit]
        spans = [Span(name="prompt", start=0, stop=len(ids))]
        if is_chat and prompt.messages:
            spans += self._turns(prompt, text, offset=int(bos_added), stop=len(ids))
        return Prepared(prompt, text, ids, bos_added, spans, experts)

    def _with_bos(self, text: str, plain: list[int], is_chat: bool) -> tuple[list[int], bool]:
        """Ids under the policy, and whether it added a BOS token."""
        has_bos = self._bos is not None and plain[:1] == [self._bos]
        if self._policy == "always" and self._bos is not None and not has_bos:
            return [self._bos, *plain], True
        if self._policy != "auto" or is_chat:
            return plain, False
        ids: list[int] = self._tokenizer(text).input_ids
        added = self._bos is not None and ids[:1] == [self._bos] and ids[1 : len(plain) + 1] == plain
        if added and has_bos:
            return ids[1:], False
        return ids, added and not has_bos

    def _bos_expert(self, ids: list[int]) -> list[Expert]:
        """A note where the model's own habit and TransformerLens's (always a BOS) feed different ids."""
        if self._bos is None or self._adds_bos():
            return []
        if ids[0] != self._bos:
            said = "no BOS token, as the model's tokenizer has it; TransformerLens would add one"
        elif self._policy == "always":
            said = "a BOS token that the model's own tokenizer does not add; states differ from --bos auto"
        else:
            return []
        return [Expert(severity="note", code="bos", text=said)]

    def _adds_bos(self) -> bool:
        ids: list[int] = self._tokenizer("a").input_ids
        return ids[:1] == [self._bos]

    def _turns(self, prompt: Prompt, text: str, offset: int, stop: int) -> list[Span]:
        """`system`, `user`, `user.2`, …: the tokens of each turn's content, found in the rendered text."""
        if not self._tokenizer.is_fast:
            return []
        places = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        spans: list[Span] = []
        counts: dict[str, int] = {}
        cursor = 0
        for role, content in prompt.messages:
            counts[role] = counts.get(role, 0) + 1
            begin = text.find(content.strip(), cursor)
            if role not in _ROLES or begin < 0 or not content.strip():
                continue
            cursor = begin + len(content.strip())
            inside = [n for n, (a, b) in enumerate(places, offset) if a < cursor and b > begin and n < stop]
            if inside:
                name = role if counts[role] == 1 else f"{role}.{counts[role]}"
                spans.append(Span(name=name, start=inside[0], stop=inside[-1] + 1))
        return spans


def vocabulary(tokenizer: PreTrainedTokenizerBase, size: int) -> list[str]:
    """The text of every id below `size`, as it reads after another token (a leading space stays).

    Decoding an id alone loses the space of SentencePiece tokens, so each is decoded after an anchor. Bytes
    that are no character by themselves read as U+FFFD; ids that the tokenizer does not have are empty.
    """
    known = min(len(tokenizer), size)
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    anchor: list[int] = tokenizer("a", add_special_tokens=False).input_ids[-1:]
    if not anchor:
        return [*_decode(tokenizer, [[n] for n in range(known)], options), *[""] * (size - known)]
    [before] = _decode(tokenizer, [anchor], options)
    pairs = _decode(tokenizer, [[*anchor, n] for n in range(known)], options)
    texts = [pair.removeprefix(before) for pair in pairs]
    return [*texts, *[""] * (size - known)]


def _decode(tokenizer: Any, rows: list[list[int]], options: dict[str, Any]) -> list[str]:
    return list(tokenizer.batch_decode(rows, **options))
