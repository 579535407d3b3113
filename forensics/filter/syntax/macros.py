"""Macros: `${loud(90)}` stands for the text saved as `loud`, with 90 where that says `$1`.

    ${name}     ${name(a, b)}     ${name;a;b}

Textual, as in C: what comes out is read as if it had been typed, so a macro of several terms wants
parentheses of its own. Macros may use macros. Within quotes nothing is expanded, but `$1` is.

Every character of what comes out remembers where it was typed: an argument there, all else at its `${…}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tensorshark.traces.errors import FilterError, UsageError
from tensorshark.traces.text import safe_text

MAX_TEXT = 8192
"""Characters that a filter may have once its macros are expanded; `parser` has the same."""
MAX_DEPTH = 8
"""Macros within macros."""
_MAX_WORK = 16 * MAX_TEXT
"""Characters looked at in all."""

_OPENS, _CLOSES = "([{", ")]}"
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*(?:\"|$)|'(?:\\.|[^'\\])*(?:'|$)", re.DOTALL)
_NEXT = re.compile(rf"{_STRING.pattern}|(?P<macro>\$\{{)", re.DOTALL)
_NAME = re.compile(r"\s*([A-Za-z0-9_]*)\s*")
_ARGUMENT = re.compile(r"\$([1-9])")


class Origin(NamedTuple):
    """Where a character was typed."""

    start: int
    stop: int
    macro: str
    """The macro as typed whose text it is part of, or whose argument; empty for what stands as typed."""


class Said(NamedTuple):
    """Text, and where each of its characters was typed."""

    text: str
    origins: list[Origin]

    def part(self, start: int, stop: int) -> Said:
        return Said(self.text[start:stop], self.origins[start:stop])


class Expanded:
    """A filter without macros, and the way back to what was typed."""

    def __init__(self, typed: str, said: Said | None) -> None:
        self.typed = typed
        self.text = typed if said is None else said.text
        self._origins = None if said is None else said.origins

    def place(self, column: int, length: int) -> tuple[int, int, str]:
        """Column and length in what was typed, and the macro that the column is in."""
        if self._origins is None:
            return column, length, ""
        if column >= len(self._origins):
            return len(self.typed.rstrip()) if self.text.strip() else 0, length, ""
        first = self._origins[column]
        covered = self._origins[column : max(column + 1, column + length)]
        stop = max(origin.stop for origin in covered)
        start = min(origin.start for origin in covered)
        alone = all(origin.macro == first.macro for origin in covered)
        return start, stop - start, first.macro if alone else ""

    def error(self, error: FilterError) -> FilterError:
        """The same about what was typed."""
        if self._origins is None:
            return error
        column, length, macro = self.place(error.column, error.length)
        reason = f"in ${{{macro}}}: {error.reason}" if macro else error.reason
        return FilterError(reason, self.typed, column, length, error.incomplete and not macro)


def expand(text: str, macros: Mapping[str, str]) -> Expanded:
    """`text` without its macros. Raises FilterError, and nothing else."""
    if "${" not in text or len(text) > MAX_TEXT:  # too long is said by the parser
        return Expanded(text, None)
    typed = Said(text, [Origin(at, at + 1, "") for at in range(len(text))])
    return Expanded(text, _Expansion(text, macros).of(typed, ()))


class _Expansion:
    """Of one text."""

    def __init__(self, typed: str, macros: Mapping[str, str]) -> None:
        self.typed = typed
        self.macros = macros
        self.work = 0

    def of(self, said: Said, within: tuple[str, ...]) -> Said:
        """`said` without macros; `within` are the macros that it comes out of, the outermost first."""
        self.work += len(said.text)
        texts, origins, at = [], list[Origin](), 0
        for found in self._macros(said):
            start, stop, made = found.start, found.stop, self._called(said, found, within)
            texts += [said.text[at:start], made.text]
            origins += said.origins[at:start]
            origins += made.origins
            at = stop
            if len(origins) > MAX_TEXT or self.work > _MAX_WORK:
                place = said.origins[start]
                reason = f"the macros come to more than {MAX_TEXT:,} characters"
                raise FilterError(reason, self.typed, place.start, max(1, place.stop - place.start))
        texts.append(said.text[at:])
        return Said("".join(texts), origins + said.origins[at:])

    def _macros(self, said: Said) -> list[_Call]:
        """The macros that `said` uses, one after the other."""
        found, at = list[_Call](), 0
        while match := _NEXT.search(said.text, at):
            at = match.end()
            if match["macro"]:
                call = self._call(said, match.start())
                found.append(call)
                at = call.stop
        return found

    def _call(self, said: Said, start: int) -> _Call:
        """The macro that begins at `start`."""
        name = _NAME.match(said.text, start + 2)
        assert name is not None, "it matches everywhere"
        at = name.end()
        sign = said.text[at : at + 1]
        arguments: list[Said] = []
        if sign in ("(", ";"):
            at, arguments = self._arguments(said, at + 1, start, *((",", ")") if sign == "(" else (";", "}")))
            at -= sign == ";"  # the } that ends the arguments ends the macro
            while said.text[at : at + 1].isspace():
                at += 1
        if said.text[at : at + 1] != "}":
            raise self._broken(said, start, at, name[1])
        if not name[1]:
            raise self._error("a macro has a name: ${name} or ${name(a, b)}", said, start, at + 1)
        return _Call(start, at + 1, name[1], name.start(1), arguments)

    def _arguments(self, said: Said, at: int, opened: int, comma: str, end: str) -> tuple[int, list[Said]]:
        """The arguments that begin at `at`, and where the text goes on behind their end."""
        arguments, begun, depth = list[Said](), at, 0
        while at < len(said.text):
            sign = said.text[at]
            if string := _STRING.match(said.text, at):
                at = string.end()
                continue
            if depth == 0 and sign in (comma, end):
                arguments.append(_stripped(said.part(begun, at)))
                begun = at + 1
                if sign == end:
                    only = arguments[0].text if len(arguments) == 1 else "more"
                    return at + 1, arguments if only else []
            depth += (sign in _OPENS) - (sign in _CLOSES)
            at += 1
        raise self._broken(said, opened, at, "")

    def _called(self, said: Said, call: _Call, within: tuple[str, ...]) -> Said:
        """What a macro with its arguments stands for."""
        try:
            body = self.macros.get(call.name)
            if body is None:
                raise self._unknown(said, call)
        except UsageError as error:  # the user's settings cannot be read
            raise self._error(str(error), said, call.start, call.stop) from None
        count = max((int(number) for number in _ARGUMENT.findall(body)), default=0)
        if count != len(call.arguments):
            takes = "no argument" if count == 0 else f"{count} argument{'s' * (count > 1)}"
            given = f"{len(call.arguments)} {'is' if len(call.arguments) == 1 else 'are'} given"
            raise self._error(f"${{{call.name}}} takes {takes}; {given}", said, call.start, call.stop)
        if len(within) == MAX_DEPTH:
            chain = " -> ".join(dict.fromkeys((*within, call.name)))
            reason = f"macros more than {MAX_DEPTH} levels deep: {chain}"
            raise self._error(reason, said, call.start, call.stop)
        outer = within[0] if within else call.name
        place = Origin(said.origins[call.start].start, said.origins[call.stop - 1].stop, outer)
        texts, origins, at = [], list[Origin](), 0
        for match in _ARGUMENT.finditer(body):
            argument = call.arguments[int(match[1]) - 1]
            texts += [body[at : match.start()], argument.text]
            origins += [place] * (match.start() - at)
            origins += [origin._replace(macro=outer) for origin in argument.origins]
            at = match.end()
            if len(origins) > MAX_TEXT:
                break
        texts.append(body[at:])
        origins += [place] * (len(body) - at)
        if len(origins) > MAX_TEXT:
            reason = f"the macros come to more than {MAX_TEXT:,} characters"
            raise self._error(reason, said, call.start, call.stop)
        return self.of(Said("".join(texts), origins), (*within, call.name))

    def _unknown(self, said: Said, call: _Call) -> FilterError:
        import difflib

        name = safe_text(call.name, 40)
        near = difflib.get_close_matches(call.name, list(self.macros), n=1, cutoff=0.5)
        have = ", ".join(f"${{{known}}}" for known in sorted(self.macros)[:8])
        remedy = f"did you mean ${{{near[0]}}}?" if near else f"there are {have}"
        if not self.macros:
            remedy = "none is defined; `tensorshark macro` defines them"
        return self._error(f"there is no macro ${{{name}}}; {remedy}", said, call.start, call.stop)

    def _broken(self, said: Said, start: int, at: int, name: str) -> FilterError:
        """A macro that does not end, or not where it should."""
        if at >= len(said.text):
            error = self._error("the macro is not closed; expected }", said, start, len(said.text))
            error.incomplete = not said.origins[start].macro
            return error
        sign = safe_text(said.text[at])
        return self._error(f"{sign} is unexpected in a macro; expected }}", said, at, at + 1)

    def _error(self, reason: str, said: Said, start: int, stop: int) -> FilterError:
        """About a stretch of `said`, told of what was typed."""
        column, length, macro = Expanded(self.typed, said).place(start, stop - start)
        return FilterError(
            f"in ${{{macro}}}: {reason}" if macro else reason, self.typed, column, max(1, length)
        )


class _Call(NamedTuple):
    """One macro in a text."""

    start: int
    stop: int
    name: str
    named: int
    """Where the name stands."""
    arguments: list[Said]


def _stripped(said: Said) -> Said:
    start = len(said.text) - len(said.text.lstrip())
    return said.part(start, max(start, len(said.text.rstrip())))
