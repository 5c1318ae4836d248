"""Reads archives backwards from a snapshot, each checked against what follows it.

Promise: a part is handed out only if its last line is the one that the chain demands there. What a
newcomer gets wrong: a number that holds something else is passed over, for it was when the history
was written; it is a gap only if no lower number holds what is wanted.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from attrs import frozen

from controller.ports import LedgerArchives
from statemachine.archive import Part
from statemachine.cluster import Archived
from statemachine.codec import LedgerCorrupt
from statemachine.snapshot import Snapshot


@frozen
class Bridge:
    """The parts between a position and the live part, oldest first. `gap` says what is missing
    before the first of them, "" = nothing; `is_given_up`: by the settings, as the ledger says;
    `missing`: numbers that the ledger counts on and that are not there."""

    parts: tuple[Part, ...]
    gap: str = ""
    is_given_up: bool = False
    missing: tuple[int, ...] = ()


async def parts_before(
    archives: LedgerArchives,
    base: Snapshot,
    archived: Archived,
    on_missing: Callable[[int], None] = lambda number: None,
) -> AsyncGenerator[Part, None]:
    """Newest first: the parts that lead to `base`, as far as they are there; `on_missing` hears of
    the numbers that are not. Raises LedgerCorrupt for a snapshot that cannot be read, and what
    `LedgerArchives.read` raises."""
    wanted: Snapshot | None = base
    for number in range(archived.last, archived.first - 1, -1):
        if wanted is None:
            return
        found = await archives.read(number)
        if found is None:
            on_missing(number)
        part = Part(number, found.data if found else {})
        if part.precedes(wanted):
            wanted = part.base
            yield part


async def bridge_to(
    archives: LedgerArchives, base: Snapshot, archived: Archived, seq: int
) -> Bridge:
    """What leads from entry `seq` to `base`. Raises what `LedgerArchives.read` raises."""
    parts: list[Part] = []
    missing: list[int] = []
    begins: Snapshot | None = base
    try:
        async with aclosing(parts_before(archives, base, archived, missing.append)) as found:
            async for part in found:
                begins = part.base
                parts.insert(0, part)
                if begins is None or begins.seq <= seq:
                    return Bridge(tuple(parts))
    except LedgerCorrupt as error:
        return Bridge(tuple(parts), f"an archive is damaged: {error}")
    if begins is None or begins.seq <= seq:
        return Bridge(tuple(parts))
    reaches_first = parts[0].number == archived.first if parts else False
    is_given_up = reaches_first and archived.first > 1
    gap = f"no archive ends with entry {begins.seq}{_told(missing)}"
    return Bridge(tuple(parts), gap, is_given_up, tuple(sorted(missing)))


NAMED_MAX = 5


def _told(missing: list[int]) -> str:
    """Of the newest numbers: "; not there: 000007, 000006 and 3 more"."""
    named = ", ".join(f"{number:06d}" for number in missing[:NAMED_MAX])
    more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
    return f"; not there: {named}{more}" if missing else ""
