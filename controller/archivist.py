"""Stores what is to be cut off the live ledger, beside the loop, and removes what was given up.

Promise: `look` says that a cut may be made only once its archive was read back with the same bytes;
nothing is deleted before the ledger says that it is given up, and nothing that the chain does not
know as its own. Nothing here is needed for a failover, so nothing here makes the loop wait, and no
damage to an archive touches the live part: it is told as `trouble`. What a newcomer gets wrong: a
number that holds something else is neither an error nor ours to write over; the next one is taken,
and the entry says which it was.
"""

import math
from collections.abc import Callable
from contextlib import aclosing

import structlog
import trio
from attrs import frozen

from controller.archive_walk import parts_before
from controller.errors import (
    ControllerError,
    KubeUnavailable,
    LedgerConflict,
    LedgerOutcomeUnknown,
)
from controller.ports import LedgerArchives
from statemachine.archive import (
    LIMITS,
    RETIRED_AT_ONCE_MAX,
    Cut,
    Limits,
    Part,
    beyond_count,
    cut_at,
    is_due,
    is_urgent,
    next_number,
    segment_end,
)
from statemachine.cluster import Archived
from statemachine.codec import LedgerCorrupt
from statemachine.ids import Seq
from statemachine.ledger import Ledger

log = structlog.get_logger(__name__)

RETRY_S = 5.0  # after the API server was not there
RETRY_LASTING_S = 60.0  # after it refused: people have to act
AUDIT_EVERY_S = 3600.0
AUDIT_PAUSE_S = 0.2  # between two archives that are looked at: 200 of them are no load
PASSED_OVER_MAX = 1000  # numbers that hold something else before we give up for a while


@frozen
class Retention:
    """How much is kept: never more than `kept_max` archives, and none that is older than `age_s`
    when the next one is made; None and infinity: no limit. The newest is always kept. Both limits
    bound what lies in etcd, so that no bad night can fill it."""

    kept_max: int | None = None
    age_s: float = math.inf

    @classmethod
    def of(cls, kept_max: int | None, days: int | None) -> "Retention":
        """As people set it; None: no limit."""
        return cls(kept_max, math.inf if days is None else days * 86_400.0)


@frozen
class Stored:
    """A cut whose archive is there, under this number; `retired` is given up with it."""

    cut: Cut
    number: int
    retired: tuple[int, ...]


class Archivist:
    """One for each reign. The loop calls `look` when it has nothing else to decide."""

    def __init__(
        self,
        archives: LedgerArchives,
        retention: Retention,
        wall: Callable[[], float],
        limits: Limits = LIMITS,
    ) -> None:
        self._archives, self._retention, self._wall = archives, retention, wall
        self._limits = limits
        self._ledger: Ledger | None = None  # as it was looked at last
        self._end: Seq | None = None
        self._stored: Stored | None = None
        self._deleted: frozenset[int] = frozenset()
        self._audit_due_s = -math.inf
        self._wake = trio.Event()
        self.trouble = ""  # what keeps archives from being written or removed
        self.waits = ""  # for whom nothing is cut
        self.damage = ""  # what is wrong with those that are there

    def look(self, ledger: Ledger, cannot_read: tuple[str, ...] = ()) -> Stored | None:
        """What may be cut off this ledger now; None: nothing is due, or it is not stored yet.

        Args:
          cannot_read: pods that would take a cut ledger for a broken one. They are waited for, but
            not until no entry fits any more: without a failover nobody is served by anybody.
        """
        was, self._ledger = self._ledger, ledger
        if was is None or was.cluster.archived != ledger.cluster.archived:
            self._wake.set()
        if not is_due(ledger, self._limits):
            return None
        if self._must_wait(ledger, cannot_read):
            return None
        end = segment_end(ledger, self._limits)
        if self._stored is not None and self._fits(self._stored, ledger, end):
            return self._stored
        if end != self._end:
            self._end = end
            self._wake.set()
        return None

    def _must_wait(self, ledger: Ledger, cannot_read: tuple[str, ...]) -> bool:
        pods = ", ".join(cannot_read)
        waits = f"not cut before these pods of an older version are gone: {pods}" if pods else ""
        if waits != self.waits:
            self.waits = waits
            log.info("ledger_archive_waits", why=waits or "nobody")
        return bool(waits) and not is_urgent(ledger, self._limits)

    def _fits(self, stored: Stored, ledger: Ledger, end: Seq | None) -> bool:
        """Whether it is what would be cut off now: another leader may have cut meanwhile."""
        upto = stored.cut.upto
        is_next = upto == end and stored.number >= next_number(ledger.cluster)
        return is_next and ledger.head_at(upto) == stored.cut.base.head

    def troubles(self) -> dict[str, str]:
        """What people should hear of, by what it is about; "" = fine. None of it stops anything."""
        return {"archiving": self.trouble or self.waits, "archives": self.damage}

    async def run(self) -> None:
        """Until cancelled; whatever was interrupted is done again by whoever leads next."""
        while True:
            self._wake = trio.Event()
            wait_s = await self._work()
            with trio.move_on_after(wait_s):
                await self._wake.wait()

    async def _work(self) -> float:
        """Do what is due; return how long to wait after it when nobody wakes us."""
        try:
            await self._store()
            await self._delete()
            await self._audit()
        except ControllerError as error:
            self._tell(str(error))
            is_passing = isinstance(error, KubeUnavailable | LedgerOutcomeUnknown)
            return RETRY_S if is_passing else RETRY_LASTING_S
        self._tell("")
        return AUDIT_EVERY_S

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            (log.error if trouble else log.info)("ledger_archive", trouble=trouble or "none")

    # -- storing

    async def _store(self) -> None:
        ledger = self._ledger
        if ledger is None or not is_due(ledger, self._limits):
            return
        end = segment_end(ledger, self._limits)
        if end is None or (self._stored and self._fits(self._stored, ledger, end)):
            return
        cut = cut_at(ledger, end)
        number = await self._put(cut, next_number(ledger.cluster))
        retired = await self._to_retire(ledger.cluster.archived, number)
        self._stored = Stored(cut, number, retired)
        log.info("ledger_archive_stored", number=number, upto=cut.upto)

    async def _put(self, cut: Cut, first: int) -> int:
        """The number under which these bytes stand now: the first that holds nothing else."""
        for number in range(first, first + PASSED_OVER_MAX):
            try:
                await self._archives.create(number, cut.data)
            except LedgerConflict:
                log.info("ledger_archive_is_there", number=number)
            found = await self._archives.read(number)
            if found is None:
                raise LedgerOutcomeUnknown(f"archive {number} was stored and is not there")
            if found.data == cut.data:
                return number  # stored by us, before a lost answer, or by another leader
            log.error("ledger_archive_is_foreign", number=number)
        raise LedgerConflict(f"archives {first} and on hold something else")

    # -- giving up

    async def _to_retire(self, archived: Archived | None, number: int) -> tuple[int, ...]:
        """The archives that the settings give up once `number` is there: the oldest, one after the
        other."""
        gone = list(beyond_count(archived, number, self._retention.kept_max))
        if archived is None or math.isinf(self._retention.age_s):
            return tuple(gone)
        for older in range(archived.first + len(gone), number):
            found = await self._archives.read(older)
            is_young = found and self._wall() - found.created_s <= self._retention.age_s
            if is_young or len(gone) >= RETIRED_AT_ONCE_MAX:
                break
            gone.append(older)
        return tuple(gone)

    async def _delete(self) -> None:
        archived = self._ledger.cluster.archived if self._ledger else None
        for number in archived.retired if archived else ():
            if number not in self._deleted:
                await self._delete_own(number)
                self._deleted |= {number}

    async def _delete_own(self, number: int) -> None:
        """Only what our chain goes on from: a number may hold the evidence of an older history."""
        found = await self._archives.read(number)
        if found is None:
            return
        part = Part(number, found.data)
        for later in range(number + 1, number + 1 + 2 * RETIRED_AT_ONCE_MAX):
            follower = await self._archives.read(later)
            if follower is not None and _precedes(part, Part(later, follower.data)):
                await self._archives.delete(number)
                log.info("ledger_archive_deleted", number=number)
                return
        log.error("ledger_archive_not_deleted", number=number, why="it is not of this ledger")

    # -- looking after them

    async def _audit(self) -> None:
        """At first and now and then: whether the archives lead from the first to the live part."""
        ledger = self._ledger
        archived = ledger.cluster.archived if ledger else None
        if ledger is None or ledger.base is None or archived is None:
            return
        if trio.current_time() < self._audit_due_s:
            return
        self.damage = await self._damage(ledger, archived)
        if self.damage:
            log.error("ledger_archive_damaged", what=self.damage)
        self._audit_due_s = trio.current_time() + AUDIT_EVERY_S

    async def _damage(self, ledger: Ledger, archived: Archived) -> str:
        assert ledger.base is not None, "asked by the caller"
        begins, reached = ledger.base, archived.last + 1
        try:
            async with aclosing(parts_before(self._archives, begins, archived)) as parts:
                async for part in parts:
                    reached = part.number
                    if part.base is None:
                        return ""
                    begins = part.base
                    await trio.sleep(AUDIT_PAUSE_S)
        except LedgerCorrupt as error:
            return f"archive {reached} is damaged: {error}"
        if reached == archived.first and archived.first > 1:
            return ""  # older ones were given up
        return f"no archive holds the entries up to {begins.seq} as the chain demands them"


def _precedes(part: Part, later: Part) -> bool:
    try:
        return later.base is not None and part.precedes(later.base)
    except LedgerCorrupt:
        return False
