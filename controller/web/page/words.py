"""How numbers and times are said to people.

Promise: an age is said coarsely enough not to flicker, and finely enough to tell fresh from old.
"""

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
COARSE_FROM = 2  # of the next unit: below 120 s seconds are said
BYTES_STEP = 1024
NOTHING = "-"


def age(seconds: float | None) -> str:
    """`now`, `3 s`, `12 min`, `5 h`, `3 d`."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return "now"
    for unit_s, word in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= COARSE_FROM * unit_s:
            return f"{seconds / unit_s:.0f} {word}"
    return f"{seconds:.0f} s"


def took(seconds: float | None) -> str:
    """A duration that was measured: `0.9 s`, `250 ms`."""
    if seconds is None:
        return NOTHING
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def size(count: int) -> str:
    """`12 B`, `3.4 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < BYTES_STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= BYTES_STEP
    return f"{value:.1f} TiB"


def clock(at: str) -> str:
    """The time of day of a ledger's time, to the millisecond; what is no time stays as it is."""
    day, separator, rest = at.partition("T")
    return rest.rstrip("Z").split("+")[0] if separator and day else at


def day(at: str) -> str:
    """Its date."""
    return at.partition("T")[0]


def plain(word: str) -> str:
    """`main_lost` as people read it."""
    return word.replace("_", " ")


def lag(behind: int | None) -> str:
    """Storage timestamps by the main's word."""
    if behind is None:
        return NOTHING
    if behind == 0:
        return "none"
    return f"{-behind:,} behind" if behind < 0 else f"{behind:,} ahead of the main"
