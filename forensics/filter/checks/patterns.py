"""Regular expressions: whether RE2 takes one, and what every match of it holds."""

from __future__ import annotations

import re

from tensorshark.forensics.filter.values.relations import regex
from tensorshark.traces.text import safe_text

_ATOM = re.compile(
    r"""(?P<escaped>\\[^A-Za-z0-9])     # a character that would mean something
      | (?P<anchor>\\[bBAz]|\^|\$)
      | (?P<class>\\[dDsSwW] | \. | \[\^?[A-Za-z0-9_\s-]+\])
      | (?P<plain>[A-Za-z0-9_\s'",;:!@\#%&=<>/~`-])""",
    re.VERBOSE,
)
_REPEAT = re.compile(r"[*+?]|\{[0-9]+(,[0-9]*)?\}")


def refused(pattern: str) -> str:
    """Why RE2 does not take the pattern, or empty."""
    import re2

    try:
        regex(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"not a regular expression that RE2 takes: {safe_text(said, 120)}"
    return ""


def required(pattern: str) -> str:
    """The longest text, of three characters or more, that every match holds as it stands; empty when unsure.

    Understands plain characters, classes and anchors in a row, and gives up at anything else: alternatives,
    groups, flags but a leading (?i), with which capitals do not count in what it returns. That is only a hint
    to the trigram index, so giving up is always right.
    """
    runs, run, at = [""], "", 4 * pattern.startswith("(?i)")
    while at < len(pattern):
        atom = _ATOM.match(pattern, at)
        if atom is None:
            return ""
        at = atom.end()
        literal = (atom["plain"] or "") + (atom["escaped"] or "")[1:]
        if repeat := _REPEAT.match(pattern, at):
            least = repeat[0] == "+"
            runs += [run + literal * least]
            run, at = literal * least, repeat.end()
            if pattern[at : at + 1] == "?":
                at += 1
        elif atom["class"]:
            runs.append(run)
            run = ""
        else:
            run += literal
    longest = max([*runs, run], key=len)
    return longest if len(longest) >= 3 else ""
