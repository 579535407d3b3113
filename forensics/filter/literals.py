"""Dates, and patterns: which instants a date means, whether RE2 takes a pattern, what its matches hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tensorshark.forensics.filter.relations import Matches
from tensorshark.traces.text import safe_text

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?P<seconds>:[0-9]{2})?)(?P<fraction>\.[0-9]{1,6})?"
    r"(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_ATOM = re.compile(
    r"""(?P<escaped>\\[^A-Za-z0-9])     # a character that would mean something
      | (?P<anchor>\\[bBAz]|\^|\$)
      | (?P<class>\\[dDsSwW] | \. | \[\^?[A-Za-z0-9_\s-]+\])
      | (?P<plain>[A-Za-z0-9_\s'",;:!@\#%&=<>/~`-])""",
    re.VERBOSE,
)
_REPEAT = re.compile(r"[*+?]|\{")


def date(said: str) -> tuple[str, str] | None:
    """`2026-08-01`, `2026-08-01T10:03Z` … -> first instant, first instant after; None when it is none.

    Without an offset it is UTC. Both instants are written as manifests write them, so they sort as text.
    """
    match = _DATE.fullmatch(said)
    if match is None:
        return None
    fraction = (match["fraction"] or "")[1:]
    size = timedelta(days=1)
    if fraction:
        size = timedelta(microseconds=10 ** (6 - len(fraction)))
    elif match["clock"]:
        size = timedelta(seconds=1) if match["seconds"] else timedelta(minutes=1)
    clock = (match["clock"] or "00:00") + f".{fraction:0<6}" * bool(fraction)
    try:
        start = datetime.fromisoformat(f"{match['day']}T{clock}{match['offset'] or 'Z'}").astimezone(UTC)
        stop = start + size
    except (ValueError, OverflowError):
        return None
    return _instant(start), _instant(stop)


def _instant(when: datetime) -> str:
    return when.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def refused(relation: Matches) -> str:
    """Why RE2 does not take the pattern, or empty."""
    import re2

    try:
        relation.regex  # noqa: B018  compiles
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"not a regular expression that RE2 takes: {safe_text(said, 120)}"
    return ""


def required(pattern: str) -> str:
    """The longest text, of three characters or more, that every match holds as it stands; empty when unsure.

    Understands plain characters, classes and anchors in a row, and gives up at anything else: alternatives,
    groups, flags. What it returns is only a hint to the trigram index, so giving up is always right.
    """
    runs, run, at = [""], "", 0
    while at < len(pattern):
        atom = _ATOM.match(pattern, at)
        if atom is None:
            return ""
        at = atom.end()
        literal = (atom["plain"] or "") + (atom["escaped"] or "")[1:]
        if _REPEAT.match(pattern, at):
            if pattern[at] == "{":
                return ""
            least = pattern[at] == "+"
            runs += [run + literal * least]
            run, at = literal * least, at + 1
            if pattern[at : at + 1] == "?":
                at += 1
        elif atom["class"]:
            runs.append(run)
            run = ""
        else:
            run += literal
    longest = max([*runs, run], key=len)
    return longest if len(longest) >= 3 else ""
