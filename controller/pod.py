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
from controller.errors import ControllerError, MemgraphUnreachable
from controller.executor import Executor
from controller.gatekeeper import Gatekeeper
from controller.gateways import Gateways
from controller.inheritance import Inheritance
from controller.loop import HeadRead, LedgerSeen, Loop
from controller.measures import KubeTally
from controller.ports import (
    GatewayLeases,
    Informers,
    Leadership,
    LedgerArchives,
    LedgerStore,
    MemgraphInstance,
    MemgraphInstances,
    PodControl,
    Requests,
    StoredLedger,
)
from controller.prober import Prober
from controller.recollection import Recollection
from controller.tally import Tally
from statemachine import commands as c
from statemachine.archive import LIMITS, Limits
from statemachine.cluster import Cluster
from statemachine.commands import Command
from statemachine.ids import Instance, Phase
from statemachine.observations import (
    CommandEnded,
    GatewayFacts,
    GatewaysListed,
    PodFacts,
    PodsListed,
    Request,
    RequestsListed,
)
from statemachine.view import Policy, View

log = structlog.get_logger(__name__)

REIGN_NOTE_S = 0.1  # how often the reign's deadline is noted for the checks before a command


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
    """Joins the parts; owns no state of its own but the probers."""

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
        self.troubles: dict[str, str] = {}
        chronicle = Chronicle(adapters.store, by=settings.name, archives=adapters.archives)
        view = View(settings.policy, me=settings.name, started_at_s=trio.current_time())
        self.loop = Loop(chronicle, view, wall)
        self.gatekeeper = Gatekeeper(
            pod=settings.name,
            bolt_port=settings.bolt_port,
            self_fence_s=settings.self_fence_s,
            leases=adapters.leases,
            reach=self._reach,
            read_head=self._read_head,
            gateways=gateways,
            suspect=self._look_at,
            read_max_lag=settings.read_max_lag,
        )
        self.loop.followers.append(self.gatekeeper.follow)
        self.loop.followers.append(self._start_probers)
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
        self.loop.after_command = self._after_command
        self._probers: dict[Instance, Prober] = {}
        self._pods_seen: dict[Instance, PodFacts | None] = {}
        self._nursery: trio.Nursery | None = None
        self._candidacy = trio.CancelScope()

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
            self._nursery = nursery
            nursery.start_soon(self.loop.run)
            if self.announcer is not None:
                nursery.start_soon(self.announcer.run)
            nursery.start_soon(self._watch_pods)
            nursery.start_soon(self._watch_gateways)
            nursery.start_soon(self._watch_ledger)
            nursery.start_soon(self._watch_requests)
            nursery.start_soon(
                self.loop.chronicle.keep_up, partial(self._trouble, "archives of the ledger")
            )
            nursery.start_soon(self.recollection.run)
            nursery.start_soon(self.gatekeeper.run)
            nursery.start_soon(self._contend)

    def all_troubles(self) -> dict[str, str]:
        """What keeps this pod from the API server, by what it was about; "" = fine."""
        return {
            **self.troubles,
            "append": self.loop.trouble,
            "gateway lease": self.gatekeeper.standing.trouble,
            **(self.loop.archivist.troubles() if self.loop.archivist else {}),
        }

    # -- informers

    def _trouble(self, what: str, text: str) -> None:
        if self.troubles.get(what, "") == text:
            return
        self.troubles[what] = text
        log.error("kube_trouble", what=what, text=text) if text else log.info("kube_ok", what=what)

    async def _watch_pods(self) -> None:
        async def listed(
            instances: tuple[PodFacts, ...], controllers: tuple[PodFacts, ...]
        ) -> None:
            self.loop.report(PodsListed(trio.current_time(), instances, controllers))

        await self._adapters.informers.watch_pods(listed, partial(self._trouble, "pods"))

    async def _watch_gateways(self) -> None:
        async def listed(gateways: tuple[GatewayFacts, ...]) -> None:
            self.loop.report(GatewaysListed(trio.current_time(), gateways))

        await self._adapters.informers.watch_gateways(listed, partial(self._trouble, "gateways"))

    async def _watch_ledger(self) -> None:
        async def seen(stored: StoredLedger | None) -> None:
            self.loop.report(LedgerSeen(stored))

        await self._adapters.informers.watch_ledger(seen, partial(self._trouble, "ledger"))

    async def _watch_requests(self) -> None:
        async def listed(requests: tuple[Request, ...]) -> None:
            self.loop.report(RequestsListed(trio.current_time(), requests))

        if self._adapters.requests is not None:
            await self._adapters.requests.watch(listed, partial(self._trouble, "requests"))

    async def _read_head(self) -> float | None:
        """A quorum read, folded by the loop: when it was sent; None if it failed."""
        sent_at_s, known = trio.current_time(), self.loop.chronicle.ledger
        try:
            stored = await self._adapters.store.read()
        except ControllerError as error:
            self._trouble("head of the ledger", str(error))
            return None
        self._trouble("head of the ledger", "")
        folded = trio.Event()
        self.loop.report(HeadRead(stored, known, folded.set))
        with trio.move_on_after(self._settings.self_fence_s):
            await folded.wait()
        # A head that does not go on from ours confirms nothing: writes close in time, our Lease
        # stops moving, and the leader does not wait for us for ever (S6, S16).
        is_confirmed = folded.is_set() and not self.loop.chronicle.trouble
        return sent_at_s if is_confirmed else None

    # -- instances

    def _reach(self, instance: Instance) -> MemgraphInstance | None:
        pod = self.loop.view.instance(instance).pod
        if pod is None or not pod.ip:
            return None  # no socket is opened for a pod without IP (scenario 6)
        return self._adapters.memgraph.at(instance, pod.ip)

    def _reach_now(self, instance: Instance) -> MemgraphInstance:
        reached = self._reach(instance)
        if reached is None:
            raise MemgraphUnreachable(f"{instance} has no IP", refused=True)
        return reached

    def _start_probers(self, cluster: Cluster, view: View) -> None:
        """One prober for each instance that was ever seen; it asks at once when the API server
        says something new of the pod."""
        assert self._nursery is not None, "the loop runs in the nursery"
        for seen in view.instances:
            if seen.instance not in self._probers:
                prober = Prober(
                    seen.instance,
                    reach=self._reach,
                    report=self.loop.report,
                    interval_s=self._settings.probe_interval_s,
                    in_hurry=self._in_hurry,
                    count_nodes=self._count_nodes,
                )
                self._probers[seen.instance] = prober
                self._nursery.start_soon(prober.run)
            elif self._pods_seen.get(seen.instance) != seen.pod:
                self._look_at(seen.instance)
            self._pods_seen[seen.instance] = seen.pod

    def _in_hurry(self) -> bool:
        """While something is under way the next answer is waited for."""
        leads = bool(self.loop.view.identity)
        return leads and self.loop.cluster.phase is not Phase.OPERATIONAL

    def _count_nodes(self, instance: Instance) -> bool:
        """Only where emptiness matters: in BOOTSTRAP, and for a storage that is not ours."""
        cluster = self.loop.cluster
        if cluster.phase is Phase.BOOTSTRAP:
            return True
        return self.loop.view.storage_uuid(instance) not in ("", cluster.storage_uuid)

    def _after_command(self, ended: CommandEnded) -> None:
        """Look at once at whom a command has touched."""
        for instance in touched_by(ended.command):
            self._look_at(instance)

    def _look_at(self, instance: Instance) -> None:
        if instance in self._probers:
            self._probers[instance].prod()

    # -- leading

    def step_down(self) -> None:
        """Lead no more, and give back the Lease; everything else goes on."""
        self._candidacy.cancel()

    async def _contend(self) -> None:
        with self._candidacy:
            await self._adapters.leadership.contend(self._reign)

    async def _reign(self, identity: str) -> None:
        """Leads until cancelled: the moment the Lease is in doubt."""
        executor = Executor(
            memgraph=self._reach_now,
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
                while True:
                    self._reign_state.note()
                    await trio.sleep(REIGN_NOTE_S)
        finally:
            self._reign_state.end()
            self.loop.reign("", None)
            log.info("not_leading", identity=identity)

    def _make_archivist(self) -> Archivist | None:
        archives, settings = self._adapters.archives, self._settings
        if archives is None:
            return None
        return Archivist(archives, settings.retention, self._wall, settings.limits)


def touched_by(command: Command) -> tuple[Instance, ...]:
    """The instances whose answers a command may have changed."""
    match command:
        case c.Register():
            return (command.main, command.replica)
        case c.Drop() | c.Mark():
            return (command.main,)
        case c.Demote() | c.Promote():
            return (command.instance,)
        case _:
            return ()
