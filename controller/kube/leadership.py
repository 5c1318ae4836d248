"""Who may lead: one Lease, compare-and-set, and everybody's own monotonic clock.

Promise: a reign has ended in its process before anybody else may begin one. The leader stops
`renew_deadline_s` after it *sent* its last successful renewal; a candidate waits `lease_duration_s`
since *it* saw the record change last. So only the rate of clocks matters, never what they show.
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
from attrs import evolve, frozen

from controller.errors import (
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
)

from .names import FIELD_MANAGER, JITTER, KubeNames, KubeTimes
from .parsing import mapping, metadata, micro_time, number, text, texts, utc_now, version_of
from .transport import AnswerLost, Json, Transport, is_conflict

log = structlog.get_logger(__name__)

PAUSE_JITTER_MAX = 0.2  # of retry_s, so that candidates do not ask in step; as client-go
TROUBLE = (KubeUnavailable, KubeForbidden, KubeRefused, KubeNotFound)


@frozen
class Record:
    """The Lease as it was read. `version` "" means that there is none."""

    version: str = ""
    holder: str = ""
    duration_s: float = 0.0
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether nobody holds it: never made, deleted, or released."""
        return not self.holder

    @property
    def claim(self) -> tuple[object, ...]:
        """What only its holder changes: a label that somebody edits prolongs nothing."""
        return (self.holder, self.transitions, self.acquired, self.renewed)


def record_of(lease: Json) -> Record:
    """The Lease's record; odd fields claim nothing but the holder."""
    spec = mapping(lease.get("spec"))
    return Record(
        version=version_of(lease),
        holder=text(spec.get("holderIdentity")),
        duration_s=float(number(spec.get("leaseDurationSeconds"))),
        transitions=number(spec.get("leaseTransitions")),
        acquired=text(spec.get("acquireTime")),
        renewed=text(spec.get("renewTime")),
        annotations=tuple(texts(metadata(lease).get("annotations")).items()),
    )


class LeaderLease:
    """The Lease on the API server: what it says, and writes by compare-and-set."""

    def __init__(
        self, transport: Transport, names: KubeNames, times: KubeTimes, now: Callable[[], datetime]
    ) -> None:
        self._transport, self._names, self._times, self._now = transport, names, times, now

    @property
    def _path(self) -> str:
        return f"{self._names.leases_path}/{self._names.leader_lease}"

    async def read(self) -> Record:
        """What it says now, by a quorum read. Raises as `Transport.request`, but for 404."""
        try:
            return record_of(
                await self._transport.request(
                    "GET", self._path, timeout_s=self._times.lease_request_s
                )
            )
        except KubeNotFound:
            return Record()

    async def take(self, seen: Record, identity: str) -> Record:
        """Become the holder if nobody else wrote since `seen`. Raises as `Transport.request`."""
        now = micro_time(self._now())
        transitions = seen.transitions + 1 if seen.version else 0
        return await self._write(
            evolve(seen, holder=identity, acquired=now, transitions=transitions)
        )

    async def renew(self, held: Record) -> Record:
        """Prolong what is ours. Raises as `Transport.request`."""
        return await self._write(held)

    async def release(self, held: Record) -> Record:
        """Let anybody take it at once. Raises as `Transport.request`."""
        return await self._write(evolve(held, holder=""))

    async def _write(self, record: Record) -> Record:
        is_new = not record.version
        duration_s = self._times.lease_duration_s if record.holder else 1  # 0 is refused
        meta: Json = {
            "name": self._names.leader_lease,
            "namespace": self._names.namespace,
            "labels": self._names.labels("leader"),
            "annotations": dict(record.annotations),
        }
        if not is_new:
            meta["resourceVersion"] = record.version
        written = await self._transport.request(
            "POST" if is_new else "PUT",
            self._names.leases_path if is_new else self._path,
            {"fieldManager": FIELD_MANAGER},
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": meta,
                "spec": {
                    "holderIdentity": record.holder,
                    "leaseDurationSeconds": math.ceil(duration_s),
                    "acquireTime": record.acquired or micro_time(self._now()),
                    "renewTime": micro_time(self._now()),
                    "leaseTransitions": record.transitions,
                },
            },
            timeout_s=self._times.lease_request_s,
        )
        return record_of(written)


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
        self._seen_at_s = -math.inf

    async def contend(self, reign: Callable[[str], Awaitable[None]]) -> None:
        """See `Leadership.contend`. An error of `reign` leaves, in an ExceptionGroup as from any
        nursery, after the Lease was released."""
        while True:
            won = await self._maybe_win()
            if won is None:
                await trio.sleep(self._times.retry_s * (1 + PAUSE_JITTER_MAX * self._jitter()))
                continue
            held, sent_at_s = won
            self._former, self._next = self._next, self._new_identity()
            await _Reign(self._lease, self._times, held, sent_at_s).run(reign)
            self._seen = None
            await trio.sleep(self._times.retry_s)  # others may be healthier

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
        now_s = trio.current_time()
        if self._seen is None or seen.claim != self._seen.claim:
            self._seen, self._seen_at_s = seen, now_s
        # A holder with a longer lease than ours (settings being rolled out) is waited for as long.
        wait_s = max(self._times.lease_duration_s, seen.duration_s)
        # Our former reign has ended (we are here), or a take of ours had its answer lost.
        is_ours = seen.holder in (self._former, self._next)
        return seen.is_free or is_ours or now_s - self._seen_at_s >= wait_s

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
        self._scope = trio.CancelScope(deadline=sent_at_s + times.renew_deadline_s)
        self._is_lost = False

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
        """Renew every retry period, until the Lease is lost."""
        is_uncertain = False
        while True:
            await trio.sleep(self._times.retry_s)
            try:
                if is_uncertain and not await self._still_holds():
                    break
                is_uncertain = False
                await self._renew()
            except AnswerLost as error:
                is_uncertain = True  # it may have moved the version: look before the next one
                log.warning("renewal_unanswered", error=str(error))
            except KubeNotFound:
                break
            except (KubeUnavailable, KubeForbidden, KubeRefused) as error:
                if isinstance(error, KubeRefused) and is_conflict(error):
                    break
                log.warning("renewal_failed", error=str(error))
        log.warning("lease_lost", identity=self._held.holder)
        self._is_lost = True
        self._scope.cancel()

    async def _renew(self) -> None:
        sent_at_s = trio.current_time()
        self._held = await self._lease.renew(self._held)
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
