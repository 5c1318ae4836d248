"""The ledger as one process holds it: the last verified copy, and how it is read and appended to.

Promise: what is in here was verified, and what `append` returned True for is in the ConfigMap. A
reading that is broken, cut or somebody else's never replaces a verified copy; it is told as
`trouble` and, by the leader, written over (S16). What a newcomer gets wrong: a PUT without an
answer is neither done nor undone; absence at a re-read is no proof either (S1), so after one the
caller has to append something before it commands anything (`is_uncertain`).
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from controller.errors import LedgerConflict, LedgerOutcomeUnknown
from controller.ports import LedgerStore, StoredLedger
from statemachine.codec import LedgerCorrupt
from statemachine.events import Event
from statemachine.ledger import Ledger, fold_on

log = structlog.get_logger(__name__)


def utc_now() -> str:
    """Wall time as the ledger shows it, for people: no decision looks at it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Chronicle:
    """Owned by the loop, which alone appends. `ledger` is the verified copy, `trouble` what is
    wrong with the stored one ("" = nothing)."""

    def __init__(self, store: LedgerStore, by: str, now: Callable[[], str] = utc_now) -> None:
        self._store, self._by, self._now = store, by, now
        self._stored: StoredLedger | None = None
        self.ledger = Ledger()
        self.trouble = ""
        self.is_uncertain = False
        self.was_read = False

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
            self._stored = None
            self._tell("the ledger was deleted" if known.seq else "")

    def take_picture(self, stored: StoredLedger | None) -> None:
        """Take in what a watch showed. It may be old: a mere prefix of our copy says nothing."""
        if stored is not None and self.was_read:
            self._take(stored, known=None)

    def _take(self, stored: StoredLedger, known: Ledger | None) -> None:
        try:
            found = fold_on(self.ledger, stored.data)
        except LedgerCorrupt as error:
            self._refuse(stored, str(error))
            return
        if found.continues(self.ledger):
            self.ledger, self._stored = found, stored
            self._tell("")
        elif not self.ledger.continues(found):
            self._refuse(stored, f"it does not go on from entry {self.ledger.seq}")
        elif known is not None and found.seq < known.seq:
            self._refuse(stored, f"its tail is cut: {found.seq} of {known.seq} entries")

    def _refuse(self, stored: StoredLedger, what: str) -> None:
        self._stored = stored
        self._tell(f"the stored ledger is not ours: {what}")

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            log.error("ledger_trouble", what=trouble) if trouble else log.info("ledger_verified")

    async def append(self, event: Event) -> bool:
        """Whether the event is in the ledger now. False: another wrote first, or the answer was
        lost and it is not there (then `is_uncertain`); decide anew.

        Raises:
            KubeUnavailable, KubeForbidden, KubeRefused: it was certainly not written.
            IllegalTransition, InvariantViolated: a bug; nothing was written.
        """
        entry_id = secrets.token_hex(8)
        wanted = self.ledger.append(event, at=self._now(), by=self._by, entry_id=entry_id)
        try:
            self._stored = await self._write(wanted)
        except LedgerConflict:
            await self.read()
            return False
        except LedgerOutcomeUnknown:
            self.is_uncertain = True
            await self.read()
            if not self.ledger.has_entry(entry_id):
                return False
        else:
            self.ledger = wanted
        self.is_uncertain = False
        self._tell("")
        return True

    async def restore(self) -> None:
        """Write the verified copy over a ledger that was edited, cut or deleted. The caller leads,
        has seen no gateway with a higher seq, and goes on with a new barrier (S16).

        Raises what `append` raises for a write; LedgerConflict is taken as: read again.
        """
        try:
            self._stored = await self._write(self.ledger)
        except (LedgerConflict, LedgerOutcomeUnknown):
            await self.read()
            return
        log.warning("ledger_restored", seq=self.ledger.seq, was=self.trouble)
        self._tell("")

    async def _write(self, ledger: Ledger) -> StoredLedger:
        if self._stored is None:
            return await self._store.create(ledger.data, ledger.annotations)
        return await self._store.replace(self._stored, ledger.data, ledger.annotations)
