"""Between the fold and the gateways of one pod: what may be relayed, and what is acknowledged.

Promise (S6, S7): a cut comes before its acknowledgement. RW opens to an incarnation only after:
connect, then a quorum read of the head, then role, storage UUID and a row for every other member of
the sync set; and nothing opens without the pod's `standing`. What a newcomer gets wrong: the ledger
alone opens nothing.
"""

import math
from collections.abc import Awaitable, Callable

import structlog
import trio
from attrs import frozen

from controller.chronicle import utc_now
from controller.errors import ControllerError
from controller.gateways import Gateways, Kind, Wish
from controller.ports import GatewayLeases, MemgraphInstance
from controller.readers import lag_of, may_become_main, may_read, share_of
from controller.standing import Standing
from controller.verify import has_rows_for_sync_set, why_not_main
from gateway import Route, Upstream
from statemachine.cluster import Cluster
from statemachine.ids import Incarnation, Instance, Role, Seq, Term
from statemachine.ledger import FORMAT
from statemachine.observations import Failure, GatewayFacts, ProbeAnswered
from statemachine.route import Routes, route
from statemachine.view import View

log = structlog.get_logger(__name__)

DEAF = "no replica is left that cannot have become main: the ledger's head is not confirmed"
DOUBTS_MAX = 64  # doubted incarnations remembered; older ones are gone by then
DRAIN_S = 0.2  # clients of a planned change may end what they have begun
RETRY_S = 0.1  # after a verification failed


@frozen
class Target:
    """Whom RW shall reach: a change of any field needs a new verification."""

    term: Term
    instance: Instance
    host: str


@frozen
class Verified:
    """An incarnation that answered as the main which the ledger means, and when it was asked."""

    target: Target
    upstream: Upstream
    asked_at_s: float


class Gatekeeper:
    """One for each controller pod. `follow` is called by the loop after each event and turn."""

    def __init__(
        self,
        *,
        pod: str,
        bolt_port: int,
        self_fence_s: float,
        leases: GatewayLeases,
        reach: Callable[[Instance], MemgraphInstance | None],
        read_head: Callable[[], Awaitable[float | None]],
        gateways: Gateways,
        suspect: Callable[[Instance], None] = lambda instance: None,
        read_max_lag: int | None = None,
    ) -> None:
        self._read_max_lag = read_max_lag
        self._pod, self._bolt_port = pod, bolt_port
        self._reach, self._read_head = reach, read_head
        self._gateways, self._suspect = gateways, suspect
        self._cluster = Cluster()
        self._view: View | None = None
        self.standing = Standing(
            self_fence_s=self_fence_s,
            leases=leases,
            read_head=read_head,
            gateways=gateways,
            facts=self._facts,
        )
        self._target: Target | None = None
        self._verified: Verified | None = None
        self._applied: dict[Kind, Route] = {}
        self._doubts: dict[tuple[str, int], float] = {}  # upstream -> when a session doubted it
        self._marked = self._acked = Seq(0)
        self._drain: tuple[Term, float] | None = None  # of the last planned change, and until when
        self._wake_verify = trio.Event()
        self.opened_term, self.opened_at = 0, ""  # of RW, last; wall time, for people

    # -- what the loop tells

    def follow(self, cluster: Cluster, view: View) -> None:
        """Cut what the fold forbids, at once; open what is verified; wake who has to act."""
        self._cluster, self._view = cluster, view
        routes = route(cluster, view)
        self._follow_rw(routes, view)
        readers = self._readers(routes, view)
        reason = "" if readers else DEAF if self.standing.is_fenced else "no replica"
        self._apply(Kind.RO, Route(int(routes.term), readers, reason))
        if cluster.seq > self._marked:
            self._marked = cluster.seq
            self._gateways.mark(int(cluster.seq), self._acknowledge)
        self.standing.publish()

    def _acknowledge(self, seq: int) -> None:
        """After the cut, never before: the gateways say when every session has ended."""
        self._acked = Seq(seq)
        self.standing.publish()

    def _facts(self) -> GatewayFacts:
        rw = self._applied.get(Kind.RW)
        return GatewayFacts(
            pod=self._pod,
            stamp="",
            acked_seq=self._acked,
            rw_open=bool(rw and rw.upstreams),
            term=Term(rw.term if rw else 0),
            vantage=self._view.vantage() if self._view else {},
            ledger_format=FORMAT,
        )

    def _follow_rw(self, routes: Routes, view: View) -> None:
        host = self._host(routes.main, view) if routes.main else ""
        wanted = Target(routes.term, routes.main, host) if routes.main and host else None
        if wanted != self._target:
            self._target, self._verified = wanted, None
            self._wake_verify.set()
        if self._verified is not None and not self._still_holds(self._verified, view):
            log.warning("upstream_unverified", instance=self._verified.upstream.instance)
            self._verified = None
            self._wake_verify.set()
        upstreams = (self._verified.upstream,) if self._verified and self.standing.may_open else ()
        reason = "" if upstreams else routes.reason or "the main is being verified"
        until_s = self._drain_until_s(routes.term)
        self._apply(Kind.RW, Route(int(routes.term), upstreams, reason, drain_until_s=until_s))

    def _drain_until_s(self, term: Term) -> float | None:
        """In a planned change the main is well: sessions end between two requests, the rest a
        moment later. The acknowledgement waits for them, and all that follows for it (S4, S5)."""
        moved = self._cluster.change
        if moved is None or not moved.is_planned or not moved.needs_drain or moved.is_drained:
            return None
        if self._drain is None or self._drain[0] != term:
            self._drain = (term, trio.current_time() + DRAIN_S)
        return self._drain[1]

    def _host(self, instance: Instance | None, view: View) -> str:
        pod = view.instance(instance).pod if instance else None
        return pod.ip if pod else ""

    def _still_holds(self, verified: Verified, view: View) -> bool:
        """Whether nothing that was asked since speaks against the incarnation: DEMOTE and PROMOTE
        keep the process and its connections, so role and rows are looked at again and again."""
        seen = view.instance(Instance(verified.upstream.instance))
        is_gone = seen.failure in (Failure.REFUSED, Failure.NO_ADDRESS)
        if is_gone and (seen.failed_at_s or 0.0) > verified.asked_at_s:
            return False
        answer = seen.answer
        if answer is None or answer.asked_at_s <= verified.asked_at_s:
            return True
        if answer.incarnation != verified.upstream.incarnation or answer.role is not Role.MAIN:
            return False
        is_older_than_the_fold = answer.asked_at_s < view.folded_at_s
        return is_older_than_the_fold or has_rows_for_sync_set(self._cluster, answer.rows or ())

    def _readers(self, routes: Routes, view: View) -> tuple[Upstream, ...]:
        """Readers of the ledger that answer this pod as REPLICA (or as the main, where the user
        allowed that) in a known incarnation; while the head cannot be confirmed only those that
        nobody can have made main meanwhile (S14); the relay is told which, for the time in which
        this process hangs."""
        found = []
        for instance in sorted(routes.readers):
            role = Role.MAIN if instance == routes.main else Role.REPLICA
            answer = view.instance(instance).answer
            host = self._host(instance, view)
            if host and answer is not None and self._may_read(instance, role, answer, view):
                found.append(
                    Upstream(
                        instance,
                        answer.incarnation,
                        host,
                        self._bolt_port,
                        share_of(lag_of(self._cluster, view, instance)),
                        may_become_main(view, instance),
                    )
                )
        return tuple(found)

    def _may_read(self, instance: Instance, role: Role, answer: ProbeAnswered, view: View) -> bool:
        failure = view.instance(instance).failure
        ours = answer.storage_uuid in ("", self._cluster.storage_uuid)
        doubted_s = self._doubts.get((instance, answer.incarnation), -math.inf)
        fits = answer.role is role and ours and answer.asked_at_s > doubted_s
        applied = self._applied.get(Kind.RO)
        was_read = applied is not None and any(u.instance == instance for u in applied.upstreams)
        near = may_read(self._cluster, view, instance, self._read_max_lag, was_read)
        is_deaf = self.standing.is_fenced and may_become_main(view, instance)
        return self.standing.may_open and failure is None and fits and near and not is_deaf

    def _apply(self, kind: Kind, wanted: Route) -> None:
        if self._applied.get(kind) == wanted:
            return
        cut = self._gateways.apply(kind, wanted)
        before = self._applied.get(kind)
        if kind is Kind.RW and wanted.upstreams:
            self.opened_term, self.opened_at = wanted.term, utc_now()
        self._applied[kind] = wanted
        if cut or before is None or before.upstreams != wanted.upstreams:
            to = [f"{u.instance}#{u.incarnation}" for u in wanted.upstreams]
            log.info("route", kind=kind.value, term=wanted.term, to=to, why=wanted.reason, cut=cut)

    # -- tasks

    async def run(self) -> None:
        """Keeps the Lease, the head and the verification up until cancelled."""
        await self.standing.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.standing.keep)
            nursery.start_soon(self._keep_verified)
            nursery.start_soon(self._keep_confirming_sessions)

    async def _keep_verified(self) -> None:
        while True:
            self._wake_verify = trio.Event()
            target = self._target
            if target is not None and self._verified is None and not await self._verify(target):
                with trio.move_on_after(RETRY_S):
                    await self._wake_verify.wait()
                continue
            await self._wake_verify.wait()

    async def _verify(self, target: Target) -> bool:
        """Connect, then read the head, then ask: in this order (S7)."""
        reached = self._reach(target.instance)
        if reached is None:
            return False
        try:
            connected = await reached.probe()
            if await self._read_head() is None or self._target != target:
                return False
            asked_at_s = trio.current_time()
            answer = await reached.probe()
        except ControllerError as error:
            log.info("not_verified", instance=target.instance, why=str(error))
            return False
        if answer.incarnation != connected.incarnation or self._target != target:
            return False
        if wrong := why_not_main(self._cluster, answer):
            log.info("not_verified", instance=target.instance, why=wrong)
            return False
        upstream = Upstream(target.instance, answer.incarnation, target.host, self._bolt_port)
        self._verified = Verified(target, upstream, asked_at_s)
        if self._view is not None:
            self.follow(self._cluster, self._view)
        return True

    async def _keep_confirming_sessions(self) -> None:
        """Answer the gateways' wish for a confirmation of freshly dialled sessions (S7)."""
        async with trio.open_nursery() as nursery:
            while True:
                for wish in await self._gateways.wait_wishes():
                    nursery.start_soon(self._confirm, wish)

    async def _confirm(self, wish: Wish) -> None:
        upstream = wish.upstream
        reached = self._reach(Instance(upstream.instance))
        asked_at_s = trio.current_time()
        try:
            if reached is None:
                return
            role = await reached.ping(Incarnation(upstream.incarnation))
        except ControllerError as error:
            self._doubt(upstream, str(error))
        else:
            if role is self._expected_role(wish):
                self._gateways.confirm(wish, asked_at_s)
            else:
                self._doubt(upstream, f"it says {role.value}")

    def _expected_role(self, wish: Wish) -> Role:
        is_fallback = self._target is not None and wish.upstream.instance == self._target.instance
        return Role.MAIN if wish.kind is Kind.RW or is_fallback else Role.REPLICA

    def _doubt(self, upstream: Upstream, why: str) -> None:
        """Use the upstream no more until a newer probe or verification vouches for it."""
        log.info("not_confirmed", instance=upstream.instance, why=why)
        if len(self._doubts) >= DOUBTS_MAX:
            self._doubts.clear()
        self._doubts[upstream.instance, upstream.incarnation] = trio.current_time()
        self._suspect(Instance(upstream.instance))
        if self._verified is not None and self._verified.upstream == upstream:
            self._verified = None
            self._wake_verify.set()
        if self._view is not None:
            self.follow(self._cluster, self._view)
