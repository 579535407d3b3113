"""Runs the tables that lark made: text in, parse tree out, and at any point what may come next.

An LALR(1) parser is a stack of states. A token either moves to a next state, or first folds the topmost
entries into one by a rule; the tables say which (Aho, Sethi, Ullman 1986, section 4.7). There is no
recursion, so depth costs nothing but memory.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import msgspec

END = "$END"
"""The terminal after the last one."""
GLUED = "$GLUED"
"""Of a word that has no blank before it where one is missing: `"injection"and`."""
_APART = frozenset({"STRING", "LABEL", "NUMBER", "DATE"})
"""Terminals that no word may follow without a blank."""


class Tables(msgspec.Struct, frozen=True):
    """tables.json, made by `tables`."""

    scanner: str
    """A regular expression with one named group per terminal."""
    words: dict[str, str]
    """Names that are words of the language -> their terminal."""
    rules: list[tuple[str, int]]
    """(what a rule makes, of how many symbols)."""
    states: list[dict[str, int] | int]
    """By state: symbol -> next state, or -1 minus a rule to fold by; that alone where it is always so."""
    start: int
    end: int


class Token(msgspec.Struct, frozen=True):
    """One word or sign."""

    terminal: str
    text: str
    start: int
    """First character, 0-based."""
    stop: int
    """One past the last character."""


class Branch(msgspec.Struct, frozen=True):
    """What a rule made of its parts. Rules and terminals that begin with `_` are not among the children."""

    rule: str
    children: list[Any]
    """Tokens and branches."""
    start: int
    stop: int


class Stuck(Exception):  # noqa: N818  not an error yet: whoever parses says what it means
    """The text cannot go on like this."""

    def __init__(self, token: Token, accepts: set[str]) -> None:
        super().__init__(token.text)
        self.token = token
        """The first one that does not fit; END, or of no terminal where nothing can be read."""
        self.accepts = accepts
        """Terminals that would have fitted."""


@functools.cache
def tables() -> Tables:
    """The filter language's."""
    return msgspec.json.decode(Path(__file__).with_name("tables.json").read_bytes(), type=Tables)


@functools.cache
def _scanner() -> re.Pattern[str]:
    return re.compile(rf"\s*(?:{tables().scanner})")


def scan(text: str) -> list[Token]:
    """The words and signs of a text, as far as it can be read."""
    found, at, words = [], 0, tables().words
    while match := _scanner().match(text, at):
        terminal, at = match.lastgroup or "", match.end()
        said = match[terminal]
        terminal = words.get(said, terminal) if terminal == "NAME" else terminal
        found.append(Token(terminal, said, at - len(said), at))
    return found


_BLANK = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z0-9_]+")


class Parser:
    """One text being read."""

    def __init__(self) -> None:
        self._tables = tables()
        self._states = [self._tables.start]
        self._parts: list[tuple[list[Any], int, int]] = []
        """Per state above the first: what it stands for, and from where to where."""

    def read(self, text: str) -> None:
        """Take in all of `text`, which may go on. Raises Stuck."""
        at, scanner, words = 0, _scanner(), self._tables.words
        while match := scanner.match(text, at):
            terminal = match.lastgroup or ""
            at = match.end()
            said = match[terminal]
            if terminal == "NAME":
                terminal = words.get(said, terminal)
            self._take(Token(terminal, said, at - len(said), at))
            word = _WORD.match(text, at) if terminal in _APART else None
            if word and (terminal != "DATE" or word[0] in words):
                raise Stuck(Token(GLUED, word[0], at, word.end()), self.accepts())
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere
        if at < len(text):
            raise Stuck(Token("", text[at], at, at + 1), self.accepts())

    def finish(self, length: int) -> Branch:
        """The tree of the whole text, `length` characters. Raises Stuck."""
        self._take(Token(END, "", length, length))
        assert self._states[-1] == self._tables.end, "END was taken"
        branch: Branch = self._parts[0][0][0]
        return branch

    def accepts(self) -> set[str]:
        """Terminals that may come next."""
        tokens = {symbol for row in self._tables.states if isinstance(row, dict) for symbol in row}
        return {token for token in tokens if token.isupper() and self._leads(token)}

    def _leads(self, terminal: str) -> bool:
        """Whether the terminal can be taken: folds are tried on a copy of the states."""
        states = list(self._states)
        while states[-1] != self._tables.end:
            action = self._action(states[-1], terminal)
            if action is None or action >= 0:
                return action is not None
            self._fold(states, action)
        return terminal == END

    def _take(self, token: Token) -> None:
        while token.terminal != END or self._states[-1] != self._tables.end:
            action = self._action(self._states[-1], token.terminal)
            if action is None:
                raise Stuck(token, self.accepts())
            if action >= 0:
                self._states.append(action)
                kept = [] if token.terminal.startswith("_") else [token]
                self._parts.append((kept, token.start, token.stop))
                return
            origin, size = self._fold(self._states, action)
            parts = self._parts[-size:]
            del self._parts[-size:]
            start, stop = parts[0][1], parts[-1][2]
            children = [child for made, _, _ in parts for child in made]
            made = children if origin.startswith("_") else [Branch(origin, children, start, stop)]
            self._parts.append((made, start, stop))

    def _fold(self, states: list[int], action: int) -> tuple[str, int]:
        """Replace the states of a rule's parts by that of what it makes."""
        origin, size = self._tables.rules[-1 - action]
        del states[-size:]
        row = self._tables.states[states[-1]]
        assert isinstance(row, dict), "a state before something that was made goes on"
        states.append(row[origin])
        return origin, size

    def _action(self, state: int, terminal: str) -> int | None:
        row = self._tables.states[state]
        return row if isinstance(row, int) else row.get(terminal)
