"""Who may lead: one Lease, compare-and-set, and everybody's own monotonic clock.

Promise: a reign has ended in its process before anybody else may begin one. The leader stops
`renew_deadline_s` after it *sent* its last successful renewal; a candidate waits `lease_duration_s`
since *it* saw the record change last. So only the rate of clocks matters, never what they show.
A watch tells a candidate of renewals, so that it need not ask, and of a release; and a leader that
its Lease names it no more, as after a hand has deleted it. It decides nothing: who takes the Lease
has read it by a quorum read, who doubts renews at once, and a watch that is blind costs time.
What a newcomer gets wrong: the times in the Lease are for people; nobody compares them with a
clock. Source: the rules of client-go's leader election; the code is our own because the Python
client's goes on leading when the API server hangs.
"""

import math
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog
import trio

from controller.errors import (
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
)

from .informer import Informer, Source
from .leader_lease import LeaderLease, Record, record_of
from .names import JITTER, KubeNames, KubeTimes
from .parsing import utc_now
from .transport import AnswerLost, Json, Transport, is_conflict

log = structlog.get_logger(__name__)

PAUSE_JITTER_MAX = 0.2  # of retry_s, so that candidates do not ask in step; as client-go
QUIET_PERIODS = 2  # of retry_s without a renewal from the watch: then a candidate looks itself
SOONER = 4  # times sooner than retry_s a renewal that failed is tried again: time is running
TROUBLE = (KubeUnavailable, KubeForbidden, KubeRefused, KubeNotFound)


class LeaseLeadership:
    """`Leadership` on an API server. One task calls `contend`.

    Args:
        jitter: Uniform in [0, 1).
        on_trouble: Told what keeps us from asking, once per change of the text; "" = fine.
    """

    def __init__(
        self,
        transport: Transport,
        names: KubeNames,
        times: KubeTimes,
        *,
        jitter: Callable[[], float] = JITTER,
        now: Callable[[], datetime] = utc_now,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self._names, self._times, self._jitter = names, times, jitter
        self._lease = LeaderLease(transport, names, times, now)
        self._on_trouble = on_trouble or _log_trouble
        self._trouble = ""
        self._former, self._next = "", self._new_identity()
        self._seen: Record | None = None
        self._seen_at_s = self._over_at_s = -math.inf  # it changed; its holder's time is over
        self._is_told = False  # by the watch; else a look found it
        self._freed = trio.Event()
        self._present: _Reign | None = None
        query = (("fieldSelector", f"metadata.name={names.leader_lease}"),)
        source = Source("leader lease", names.leases_path, query)
        self._watch = Informer(
            transport, source, times, _only_record, self._hear, _log_watch_trouble, jitter
        )

    async def contend(self, reign: Callable[[str], Awaitable[None]]) -> None:
        """See `Leadership.contend`. An error of `reign` leaves, in an ExceptionGroup as from any
        nursery, after the Lease was released."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch.run)
            while True:
                held, sent_at_s = await self._win()
                self._former, self._next = self._next, self._new_identity()
                self._present = _Reign(self._lease, self._times, held, sent_at_s)
                await self._present.run(reign)
                self._present = self._seen = None
                await trio.sleep(self._times.retry_s)  # others may be healthier

    async def _win(self) -> tuple[Record, float]:
        """The record that makes us leader, and when its write was sent."""
        while True:
            self._freed = trio.Event()
            won = await self._maybe_win()
            if won is not None:
                return won
            await self._wait_for_a_chance()

    async def _wait_for_a_chance(self) -> None:
        """Block until the watch says that nobody holds it, or until it is time to look."""
        pause_s = self._times.retry_s * (1 + PAUSE_JITTER_MAX * self._jitter())
        looked_at_s = trio.current_time()
        while trio.current_time() < (due_s := self._look_due_s(looked_at_s, pause_s)):
            with trio.move_on_at(due_s):
                await self._freed.wait()
                return

    def _look_due_s(self, looked_at_s: float, pause_s: float) -> float:
        """After a pause; later while the watch tells of renewals; and just when the holder's time
        is over."""
        due_s = looked_at_s + pause_s
        if self._is_told:
            due_s = max(due_s, self._seen_at_s + QUIET_PERIODS * self._times.retry_s)
        return min(due_s, self._over_at_s) if self._over_at_s > looked_at_s else due_s

    async def _maybe_win(self) -> tuple[Record, float] | None:
        """The record that makes us leader and when its write was sent; None: not now."""
        try:
            seen = await self._lease.read()
            if not self._is_vacant(seen):
                self._tell("")
                return None
            sent_at_s = trio.current_time()
            held = await self._lease.take(seen, self._next)
        except TROUBLE as error:
            is_race = isinstance(error, KubeRefused) and is_conflict(error)
            self._tell("" if is_race else str(error))
            return None
        self._tell("")
        return held, sent_at_s

    def _is_vacant(self, seen: Record) -> bool:
        """Note the record, and say whether its holder's time is surely over."""
        self._note(seen, is_told=False)
        # Our former reign has ended (we are here), or a take of ours had its answer lost.
        is_ours = seen.holder in (self._former, self._next)
        return seen.is_free or is_ours or trio.current_time() >= self._over_at_s

    async def _hear(self, told: Record) -> None:
        self._note(told, is_told=True)
        if told.is_free:
            self._freed.set()
        if self._present is not None:
            self._present.hear(told)

    def _note(self, seen: Record, *, is_told: bool) -> None:
        """A change begins the holder's time anew; told late, or out of order, it ends later."""
        if self._seen is not None and seen.claim == self._seen.claim:
            return
        now_s = trio.current_time()
        # A holder with a longer lease than ours (settings being rolled out) is waited for as long.
        wait_s = max(self._times.lease_duration_s, seen.duration_s)
        self._seen, self._is_told = seen, is_told
        self._seen_at_s, self._over_at_s = now_s, now_s + wait_s

    def _new_identity(self) -> str:
        return f"{self._names.pod_name}/{self._names.pod_uid}/{secrets.token_hex(4)}"

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)


class _Reign:
    """One reign: the body in a scope whose deadline the renewals push. Used once."""

    def __init__(
        self, lease: LeaderLease, times: KubeTimes, held: Record, sent_at_s: float
    ) -> None:
        self._lease, self._times, self._held = lease, times, held
        self._sent_at_s = sent_at_s  # of the last write that went through
        self._scope = trio.CancelScope(deadline=sent_at_s + times.renew_deadline_s)
        self._is_lost = False
        self._doubted = trio.Event()

    def hear(self, told: Record) -> None:
        """Renew at once when the Lease names somebody else: an older record that was told late does
        no harm, and where it is true two would lead until the next renewal."""
        if told.holder != self._held.holder:
            self._doubted.set()

    async def run(self, body: Callable[[str], Awaitable[None]]) -> None:
        """Until the body ends, the reign is in doubt, or we are cancelled; then release."""
        identity = self._held.holder
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep)
                    await body(identity)
                    nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(self._times.retry_s, shield=True):
                await self._release()

    async def _keep(self) -> None:
        """Renew every retry period, counted from the question, until the Lease is lost."""
        is_uncertain = False
        due_s = self._sent_at_s + self._times.retry_s
        while True:
            self._doubted = trio.Event()
            with trio.move_on_at(due_s):
                await self._doubted.wait()
            try:
                if is_uncertain and not await self._still_holds():
                    break
                is_uncertain = False
                await self._renew()
                due_s = self._sent_at_s + self._times.retry_s
                continue
            except AnswerLost as error:
                is_uncertain = True  # it may have moved the version: look before the next one
                log.warning("renewal_unanswered", error=str(error))
            except KubeNotFound:
                break
            except (KubeUnavailable, KubeForbidden, KubeRefused) as error:
                if isinstance(error, KubeRefused) and is_conflict(error):
                    break
                log.warning("renewal_failed", error=str(error))
            due_s = trio.current_time() + self._times.retry_s / SOONER
        log.warning("lease_lost", identity=self._held.holder)
        self._is_lost = True
        self._scope.cancel()

    async def _renew(self) -> None:
        sent_at_s = trio.current_time()
        self._held = await self._lease.renew(self._held)
        self._sent_at_s = sent_at_s
        self._scope.deadline = sent_at_s + self._times.renew_deadline_s

    async def _still_holds(self) -> bool:
        """Read the Lease anew; whether it still names this reign."""
        seen = await self._lease.read()
        if seen.holder != self._held.holder:
            return False
        self._held = seen
        return True

    async def _release(self) -> None:
        """Give the Lease back, if it is ours; a renewal that was under way may have moved it."""
        if self._is_lost:
            return
        try:
            try:
                await self._lease.release(self._held)
            except KubeRefused as error:
                if is_conflict(error) and await self._still_holds():
                    await self._lease.release(self._held)
        except TROUBLE as error:
            log.warning("lease_not_released", error=str(error))


def _log_trouble(text: str) -> None:
    (log.error if text else log.info)("leader_lease", trouble=text or "none")


def _only_record(leases: list[Json]) -> Record:
    return record_of(leases[0]) if leases else Record()


def _log_watch_trouble(text: str) -> None:
    (log.warning if text else log.info)("leader_lease_watch", trouble=text or "none")
