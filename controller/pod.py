"""One controller pod: every part but the adapters, joined. Real adapters and fakes plug in alike.

What a newcomer gets wrong: every pod runs the same parts, leader or not; a standby observes, folds
and serves its gateways too. Only `_reign` runs on the leader alone.
"""

import math
import time
from collections.abc import Callable
from functools import partial

import structlog
import trio
from attrs import field, frozen

from controller.announcer import Announcer, Board
from controller.archivist import Archivist, Retention
from controller.chronicle import Chronicle
from controller.entries import NewEntries
from controller.executor import Executor
from controller.gatekeeper import Gatekeeper
from controller.gateways import Gateways
from controller.inheritance import Inheritance
from controller.lookout import Lookout
from controller.loop import Loop
from controller.measures import KubeTally
from controller.ports import (
    GatewayLeases,
    Informers,
    Leadership,
    LedgerArchives,
    LedgerStore,
    MemgraphInstances,
    PodControl,
    Requests,
)
from controller.recollection import Recollection
from controller.tally import Tally
from controller.watches import Watches
from statemachine.archive import LIMITS, Limits
from statemachine.cluster import Cluster
from statemachine.ids import Term
from statemachine.view import Policy, View

log = structlog.get_logger(__name__)

REIGN_NOTE_S = 0.1  # how often the reign's deadline is noted for the checks before a command
UNFIT_S = 5.0  # a leader that cannot go on from the stored ledger, nor restore it: longer than that


@frozen
class Adapters:
    """The outside, by its ports."""

    store: LedgerStore
    leases: GatewayLeases
    informers: Informers
    leadership: Leadership
    pods: PodControl
    memgraph: MemgraphInstances
    requests: Requests | None = None  # None: nobody can ask for anything
    archives: LedgerArchives | None = None  # None: the ledger is never cut
    board: Board | None = None  # None: nothing is announced
    kube_tally: KubeTally | None = None


@frozen
class PodSettings:
    """What this room needs of the settings. Durations in seconds."""

    name: str
    policy: Policy
    bolt_port: int
    probe_interval_s: float
    self_fence_s: float
    read_max_lag: int | None = None  # storage timestamps
    retention: Retention = field(factory=Retention)
    limits: Limits = LIMITS


class Reign:
    """Whether this process may still act as leader: asked right before every statement (S9)."""

    def __init__(self) -> None:
        self._deadline_s = -math.inf
        self._term: Term | None = None

    def present_term(self) -> Term | None:
        """Of our own fold: a role command of another one is not sent any more (S2)."""
        return self._term

    def follow(self, cluster: Cluster, view: View) -> None:
        """A follower of the loop."""
        self._term = cluster.term

    def is_on(self) -> bool:
        """Whether the Lease was surely ours a moment ago and still is by our own clock."""
        return trio.current_time() < self._deadline_s

    def note(self) -> None:
        """Called within the reign: its scope's deadline only ever grows."""
        self._deadline_s = trio.current_effective_deadline()

    def end(self) -> None:
        """From now on it is off."""
        self._deadline_s = -math.inf


class ControllerPod:
    """Joins the parts; owns no state of its own."""

    def __init__(
        self,
        settings: PodSettings,
        adapters: Adapters,
        gateways: Gateways,
        reign: Reign,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._adapters, self.gateways = settings, adapters, gateways
        self._reign_state, self._wall = reign, wall
        chronicle = Chronicle(adapters.store, by=settings.name, archives=adapters.archives)
        view = View(settings.policy, me=settings.name, started_at_s=trio.current_time())
        self.loop = Loop(chronicle, view, wall)
        self.watches = Watches(
            self.loop,
            adapters.informers,
            adapters.requests,
            adapters.store,
            settings.self_fence_s,
        )
        self.lookout = Lookout(
            adapters.memgraph,
            lambda: (self.loop.cluster, self.loop.view),
            self.loop.report,
            settings.probe_interval_s,
        )
        self.gatekeeper = Gatekeeper(
            pod=settings.name,
            bolt_port=settings.bolt_port,
            self_fence_s=settings.self_fence_s,
            leases=adapters.leases,
            reach=self.lookout.reach,
            read_head=self.watches.read_head,
            gateways=gateways,
            suspect=self.lookout.look_at,
            read_max_lag=settings.read_max_lag,
        )
        self.loop.followers.append(reign.follow)
        self.loop.followers.append(self.gatekeeper.follow)
        self.loop.followers.append(self.lookout.follow)
        self.tally = Tally(
            NewEntries(chronicle),
            lambda: self.loop.refusals,
            lambda: (self.gatekeeper.opened_term, self.gatekeeper.opened_at),
        )
        self.loop.followers.append(self.tally.follow)
        self.loop.observers.append(self.tally.observed)
        self.recollection = Recollection(chronicle, adapters.archives)
        self.loop.followers.append(self.recollection.follow)
        self.announcer = self._make_announcer(adapters)
        announcer = self.announcer
        inherit = announcer.inherit if announcer else (lambda old: None)
        inheritance = Inheritance(chronicle, settings.name, inherit)
        self.loop.followers.append(inheritance.follow)
        if announcer is not None:
            self.loop.followers.append(announcer.follow)
        self.loop.after_command = self.lookout.after_command
        self.loop.succeeded = self._end_reign
        self._candidacy = trio.CancelScope()
        self._succeeded = trio.Event()

    def _make_announcer(self, adapters: Adapters) -> Announcer | None:
        if adapters.board is None:
            return None
        chronicle = self.loop.chronicle
        return Announcer(
            adapters.board,
            NewEntries(chronicle),
            self._settings.name,
            lambda: chronicle.trouble,
            adapters.kube_tally or KubeTally(),
        )

    async def run(self) -> None:
        """Runs until cancelled, or until a bug ends it; gateways are run by the caller."""
        async with trio.open_nursery() as nursery:
            self.lookout.start(nursery)
            nursery.start_soon(self.loop.run)
            if self.announcer is not None:
                nursery.start_soon(self.announcer.run)
            self.watches.start(nursery)
            nursery.start_soon(
                self.loop.chronicle.keep_up, partial(self.watches.tell, "archives of the ledger")
            )
            nursery.start_soon(self.recollection.run)
            nursery.start_soon(self.gatekeeper.run)
            nursery.start_soon(self._contend)

    def all_troubles(self) -> dict[str, str]:
        """What keeps this pod from the API server, by what it was about; "" = fine."""
        return {
            **self.watches.troubles,
            "append": self.loop.trouble,
            "gateway lease": self.gatekeeper.standing.trouble,
            **(self.loop.archivist.troubles() if self.loop.archivist else {}),
        }

    # -- leading

    def step_down(self) -> None:
        """Lead no more, and give back the Lease; everything else goes on."""
        self._candidacy.cancel()

    def _end_reign(self) -> None:
        """At once: another leads. Who holds the Lease is found out by contending anew."""
        self._reign_state.end()
        self._succeeded.set()

    async def _contend(self) -> None:
        with self._candidacy:
            await self._adapters.leadership.contend(self._reign)

    async def _reign(self, identity: str) -> None:
        """Leads until cancelled: the moment the Lease is in doubt. Returns when another leads by
        the ledger, or when this pod cannot go on from it, for another one may be able to."""
        self._succeeded = trio.Event()
        executor = Executor(
            memgraph=self.lookout.reach_now,
            gateways=self._adapters.leases,
            pods=self._adapters.pods,
            requests=self._adapters.requests,
            report=self.loop.report,
            place=lambda: (self.loop.cluster.seq, self.loop.cluster.term),
        )
        archivist = self._make_archivist()
        log.info("leading", identity=identity)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(executor.run)
                if archivist is not None:
                    nursery.start_soon(archivist.run)
                self._reign_state.note()
                self.loop.reign(identity, executor, archivist)
                await self._lead_while_fit()
                nursery.cancel_scope.cancel()
        finally:
            self._reign_state.end()
            self.loop.reign("", None)
            log.info("not_leading", identity=identity)

    async def _lead_while_fit(self) -> None:
        chronicle, fit_s = self.loop.chronicle, trio.current_time()
        while not self._succeeded.is_set():
            self._reign_state.note()
            with trio.move_on_after(REIGN_NOTE_S):
                await self._succeeded.wait()
            if not chronicle.trouble:
                fit_s = trio.current_time()
            elif trio.current_time() - fit_s >= UNFIT_S:
                log.warning("steps_down", why=chronicle.trouble)
                return

    def _make_archivist(self) -> Archivist | None:
        archives, settings = self._adapters.archives, self._settings
        if archives is None:
            return None
        return Archivist(archives, settings.retention, self._wall, settings.limits)
