"""When: what people write for a moment, and what the ledger's clocks say of one.

Promise: a moment is always of one meaning: a number is an entry, everything else a time; a time
without a zone is UTC, as the ledger's are. What a newcomer gets wrong: each leader writes by its
own clock, so the order of entries is the order of events, and their times are only nearly so.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from controller.cli.exits import USAGE, Problem

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WANTED = "wants an entry's number, a time such as 2026-03-01T12:00:00Z, or 90s, 15m, 2h, 3d ago"


@frozen
class Since:
    """From where on: entries after `seq`, and not before `at`."""

    seq: int = 0
    at: datetime | None = None

    def has(self, entry: dict[str, Any]) -> bool:
        """Whether this entry is asked for; one whose time cannot be read is."""
        if entry["seq"] <= self.seq:
            return False
        written = time_of(entry)
        return self.at is None or written is None or written >= self.at


def since_of(text: str, now: datetime) -> Since:
    """Of "" (all), "40", "2h", "2026-03-01", "2026-03-01T12:00:00Z". Raises Problem."""
    if not text:
        return Since()
    return (
        Since(int(text)) if text.isascii() and text.isdecimal() else Since(0, time_from(text, now))
    )


def time_from(text: str, now: datetime) -> datetime:
    """A time, or how long ago. Raises Problem."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if ago:
        return now - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(f"{text!r}: {WANTED}", USAGE) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def time_of(entry: dict[str, Any]) -> datetime | None:
    """When it was written, by its leader's clock."""
    try:
        found = datetime.fromisoformat(entry["at"])
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def last_before(entries: Iterable[dict[str, Any]], at: datetime) -> tuple[int, str]:
    """The last entry that was written at this time or before; 0: none was. And what makes that
    doubtful: entries before it whose clock was later; "" = nothing."""
    last, later = 0, list[int]()
    for entry in entries:
        written = time_of(entry)
        if written is not None and written > at:
            later.append(entry["seq"])
        else:
            last = entry["seq"]
    earlier = [seq for seq in later if seq < last]
    if not earlier:
        return last, ""
    numbers = ", ".join(map(str, earlier[:5]))
    return (
        last,
        f"the leaders' clocks disagree: entries {numbers} stand before it with a later time",
    )
