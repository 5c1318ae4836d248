"""The ledger as one process holds it: the last verified copy, and how it is read and appended to.

Promise: what is in here was verified, and what `append` returned True for is in the ConfigMap. A
reading that is broken, cut or somebody else's never replaces a verified copy; it is told as
`trouble` and, by the leader, written over (S16). A reading that begins behind our copy, because we
were away while older entries were archived, is taken once the archives lead from our last entry to
it; until then it is trouble too, but never written over (`is_behind`): it may well be the truth.

One line is held less firmly than the others: the last one, when another pod wrote it. Nothing
behind it vouches for it, so it may have been edited by a hand before we first saw it. It gives way
to a ledger that agrees with everything before it and in which a barrier follows the line in its
place: the leader has restored what it wrote.

Whoever can write the ConfigMap can forge a whole history, and a pod that starts with no memory
takes it as it is, if it is consistent; a tail that was merely edited or cut breaks the seal in the
object's annotations. A running pod does not: a forged history would have to
contain the entry that the pod holds. What a newcomer gets wrong: a PUT without an answer is neither
done nor undone; absence at a re-read is no proof either (S1), so after one the caller has to append
something before it commands anything (`is_uncertain`).
"""

import secrets
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
import trio

from controller.archive_walk import Bridge, bridge_to
from controller.crossing import Refused, Stuck, corrects_last, crossed
from controller.errors import ControllerError, LedgerConflict, LedgerOutcomeUnknown
from controller.ports import LedgerArchives, LedgerStore, StoredLedger
from statemachine.codec import LedgerCorrupt
from statemachine.events import Event
from statemachine.ids import Seq
from statemachine.ledger import Ledger, fold, fold_on, why_gone
from statemachine.seal import broken_seal, unheld
from statemachine.snapshot import Snapshot

log = structlog.get_logger(__name__)

HELD_MAX = 8  # older copies: a watch shows what was stored before our newest entries
CATCH_UP_S = 0.25  # between two looks whether our copy is behind
CATCH_UP_LASTING_S = 5.0  # after one that was in vain


def utc_now() -> str:
    """Wall time as the ledger shows it, for people: no decision looks at it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Chronicle:
    """Owned by the loop, which alone appends. `ledger` is the verified copy, `trouble` what is
    wrong with the stored one ("" = nothing). Without `archives` a copy that was left behind cannot
    be caught up with."""

    def __init__(
        self,
        store: LedgerStore,
        by: str,
        now: Callable[[], str] = utc_now,
        archives: LedgerArchives | None = None,
    ) -> None:
        self._store, self._by, self._now, self._archives = store, by, now, archives
        self._stored: StoredLedger | None = None
        self._ahead: StoredLedger | None = None  # what begins behind our copy, not verified yet
        self._why_behind: dict[Seq, str] = {}  # where it begins -> what an attempt has found
        self._own_seq = Seq(0)  # our own last entry: no hand was between
        self.ledger = Ledger()
        self._held = deque((self.ledger,), HELD_MAX)  # the last verified copies, newest last
        self.trouble = ""
        self.missing: tuple[int, ...] = ()  # archives for want of which this copy stays behind
        self.is_uncertain = False
        self._attempted = Ledger()  # what a write of unknown outcome would have made of our copy
        self.was_read = False
        self._told_seq = Seq(0)  # by the gateways' Leases: so many entries have been there

    @property
    def is_behind(self) -> bool:
        """Whether what is stored begins behind our copy: `catch_up` may verify it."""
        return self._ahead is not None

    @property
    def restorable(self) -> Ledger:
        """What `restore` would write. A write of unknown outcome belongs to it: once what is stored
        is broken nobody can look whether it was carried out, and others may go by it already."""
        is_open = self.is_uncertain and self._attempted.continues(self.ledger)
        return self._attempted if is_open else self.ledger

    @property
    def unheld_seq(self) -> Seq:
        """An entry that was written, no longer stands there, and that this process does not hold
        either, by the seal of what is stored; 0 = none."""
        if self._stored is None:
            return Seq(0)
        data, annotations = self._stored.data, self._stored.annotations
        return unheld(self.ledger, self.restorable, data, annotations)

    async def read(self) -> None:
        """Take in a quorum read.

        Raises KubeUnavailable, KubeForbidden: nothing changed.
        """
        known = self.ledger
        self.take_head(await self._store.read(), known)

    def take_head(self, stored: StoredLedger | None, known: Ledger) -> None:
        """Take in a quorum read: `known`, the verified copy when it was asked for, has to stand in
        it, or else the ledger was cut."""
        self.was_read = True
        if stored is not None:
            self._take(stored, known)
        elif self.ledger is known:  # else somebody created it meanwhile
            self._stored = self._ahead = None
            self._tell(why_gone(self.ledger.seq, self._told_seq))

    def hear(self, told_seq: Seq) -> None:
        """A gateway's Lease tells of so many entries, perhaps since before we were there."""
        self._told_seq = max(self._told_seq, told_seq)
        if self.was_read and self._stored is None and not (self.ledger.seq or self.is_behind):
            self._tell(why_gone(self.ledger.seq, self._told_seq))

    def take_picture(self, stored: StoredLedger | None) -> None:
        """Take in what a watch showed. It may be old: a mere prefix of our copy says nothing."""
        if stored is not None and self.was_read:
            self._take(stored, known=None)

    def _take(self, stored: StoredLedger, known: Ledger | None) -> None:
        try:
            found = fold_on(self._newest_within(stored), stored.data)
        except LedgerCorrupt as error:
            self._refuse(stored, str(error))
            return
        if edited := broken_seal(found.seq, found.head, stored.annotations):
            self._refuse(stored, edited)
        elif found.continues(self.ledger):
            self._accept(stored, found)
        elif corrects_last(self.ledger, self._own_seq, found):
            self._tell_dropped()
            self._accept(stored, found)
        elif found.base_seq >= self.ledger.seq:
            self._fall_behind(stored, found)
        elif not self._may_be_older(found):
            self._refuse(stored, f"it does not go on from entry {self.ledger.seq}")
        elif known is not None and found.seq < known.seq:
            self._refuse(stored, f"its tail is cut: {found.seq} of {known.seq} entries")

    def _newest_within(self, stored: StoredLedger) -> Ledger:
        """Our newest copy whose lines all stand in there, so that only what follows is verified."""
        if self._held[-1] is not self.ledger:
            self._held.append(self.ledger)
        within = (x for x in reversed(self._held) if x.data.items() <= stored.data.items())
        return next(within, self.ledger)

    def _may_be_older(self, found: Ledger) -> bool:
        """Whether it is a beginning of our copy, as far as we still hold it."""
        return self.ledger.continues(found) or found.seq < self.ledger.base_seq

    def _accept(self, stored: StoredLedger, found: Ledger) -> None:
        self.ledger, self._stored, self._ahead, self.missing = found, stored, None, ()
        self._tell("")

    def _refuse(self, stored: StoredLedger, what: str) -> None:
        self._stored, self._ahead, self.missing = stored, None, ()
        self._tell(f"the stored ledger is not ours: {what}")

    def _fall_behind(self, stored: StoredLedger, found: Ledger) -> None:
        self._ahead = stored
        seq, begins = self.ledger.seq, found.base_seq
        why = self._why_behind.get(begins) or f"it begins after {begins}"
        self._tell(f"this pod knows the ledger up to {seq}, and {why}")

    def _tell_dropped(self) -> None:
        log.warning("ledger_last_line_dropped", seq=self.ledger.seq, head=self.ledger.head)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            log.error("ledger_trouble", what=trouble) if trouble else log.info("ledger_verified")

    async def catch_up(self) -> None:
        """Verify what is stored through the archives, and take it. When they show another history
        than ours, it is refused like any other. When one that should be there is missing nobody
        can tell: it is told which, and looked for again, until a person puts them back or restarts
        this pod, which then takes the ledger as it is.

        Raises KubeUnavailable, KubeForbidden, KubeRefused: nothing changed; try again.
        """
        ahead, known = self._ahead, self.ledger
        if ahead is None or self._archives is None:
            return
        live = fold(ahead.data)
        archived = live.cluster.archived
        if live.base is None or archived is None:
            return
        way = await bridge_to(self._archives, live.base, archived, known.seq - 1)
        newer = self._ahead
        if newer is None or self.ledger is not known:
            return  # another reading came meanwhile
        found = fold(newer.data)
        if found.base == live.base:
            self._cross(newer, found, way)

    async def keep_up(self, on_trouble: Callable[[str], None]) -> None:
        """Catches up whenever this copy is behind, until cancelled; `on_trouble` hears what keeps
        it from that ("" = nothing)."""
        while True:
            try:
                await self.catch_up()
            except ControllerError as error:
                on_trouble(str(error))
            else:
                on_trouble("")
            await trio.sleep(CATCH_UP_LASTING_S if self.is_behind else CATCH_UP_S)

    def _cross(self, stored: StoredLedger, live: Ledger, way: Bridge) -> None:
        """Take what is stored, if this way leads to it from our copy."""
        found = crossed(self.ledger, self._own_seq, live, way)
        if isinstance(found, Refused):
            self._refuse(stored, found.why)
        elif isinstance(found, Stuck):
            self._why_behind = {live.base_seq: found.why}
            self.missing = way.missing
            self._fall_behind(stored, live)
        else:
            if found.drops_last:
                self._tell_dropped()
            if way.gap:
                log.warning("ledger_taken_over_a_gap", seq=live.seq, gap=way.gap)
            log.info("ledger_caught_up", was=self.ledger.seq, seq=live.seq, archives=len(way.parts))
            self._accept(stored, live)

    async def append(self, event: Event, cut: Snapshot | None = None) -> bool:
        """Whether the event is in the ledger now. False: another wrote first, or the answer was
        lost and it is not there (then `is_uncertain`); decide anew.

        Args:
            cut: The same write takes the entries up to this snapshot out of the live part; the
                caller has seen them in an archive, and the event says so.

        Raises:
            KubeUnavailable, KubeForbidden, KubeRefused: it was certainly not written.
            IllegalTransition, InvariantViolated: a bug; nothing was written.
        """
        entry_id = secrets.token_hex(8)
        wanted = self.ledger.append(event, at=self._now(), by=self._by, entry_id=entry_id)
        wanted = wanted if cut is None else wanted.cut(cut)
        try:
            self._stored = await self._write(wanted)
        except LedgerConflict:
            await self.read()
            return False
        except LedgerOutcomeUnknown:
            self.is_uncertain, self._attempted = True, wanted
            await self.read()
            if not self.ledger.has_entry(entry_id):
                return False
        else:
            self.ledger = wanted
        self._own_seq = self.ledger.seq
        self.is_uncertain = False
        self._tell("")
        return True

    async def restore(self) -> None:
        """Write the verified copy over a ledger that was edited, cut or deleted. The caller leads,
        has seen no gateway with a higher seq and no `unheld_seq`, and goes on with a new barrier
        (S16).

        Raises what `append` raises for a write; LedgerConflict is taken as: read again.
        """
        restorable = self.restorable
        try:
            self._stored = await self._write(restorable)
        except (LedgerConflict, LedgerOutcomeUnknown):
            await self.read()
            return
        self.ledger = restorable
        self._own_seq = self.ledger.seq
        log.warning("ledger_restored", seq=self.ledger.seq, was=self.trouble)
        self._tell("")

    async def _write(self, ledger: Ledger) -> StoredLedger:
        if self._stored is None:
            return await self._store.create(ledger.data, ledger.annotations)
        return await self._store.replace(self._stored, ledger.data, ledger.annotations)
