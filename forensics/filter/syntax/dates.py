"""Dates: which instants `2026-08-01` means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?P<seconds>:[0-9]{2})?)(?P<fraction>\.[0-9]{1,6})?"
    r"(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


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
