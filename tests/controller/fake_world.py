"""A world behind the ports, in memory and in virtual time: ledger, Leases, pods, instances.

It keeps its own books: every role change and every opening of a gateway, in order, so that tests
compare with the world and never with the controller's belief.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve, field

from controller.announcer import Board
from controller.archivist import Retention
from controller.errors import (
    CommandOutcomeUnknown,
    KubeForbidden,
    KubeUnavailable,
    LedgerConflict,
    LedgerOutcomeUnknown,
    MemgraphRefused,
    MemgraphUnreachable,
)
from controller.gateways import Kind, Wish
from controller.pod import Adapters, ControllerPod, PodSettings, Reign
from controller.ports import Carried, ProbeAnswer, StoredArchive, StoredLedger
from gateway import Route
from statemachine.archive import LIMITS, Limits
from statemachine.ids import Incarnation, Instance, Mode, Role, RowStatus, Seq
from statemachine.observations import Container, GatewayFacts, PodFacts, Request, Row
from statemachine.view import Policy

LATENCY_S = 0.002
SILENCE_S = 1.0  # how long a question to a hung instance waits before it fails


@define(eq=False)
class FakeInstance:
    """One Memgraph: role, storage, rows; a new incarnation with every start."""

    name: Instance
    uuid: str
    ip: str
    role: Role = Role.REPLICA
    rows: dict[str, Row] = field(factory=dict)
    is_up: bool = True
    is_hung: bool = False
    restarts: int = 0
    pods: int = 1
    is_deleting: bool = False
    incarnation: Incarnation = Incarnation(0)
    nodes: int = 0
    lost_replies: int = 0
    refuses_registration: int | None = None


@define(eq=False)
class World:
    """Everything outside of the controller pods."""

    instances: dict[Instance, FakeInstance] = field(factory=dict)
    stored: StoredLedger | None = None
    archives: dict[int, StoredArchive] = field(factory=dict)
    before_archive: Callable[[str, int], None] = lambda verb, number: None  # may raise
    after_archive: Callable[[str, int], None] = lambda verb, number: None
    leases: dict[str, GatewayFacts] = field(factory=dict)
    api_is_up: bool = True
    lost_puts: int = 0  # answers of ledger writes to lose after they were carried out
    dropped_puts: int = 0  # ledger writes to lose before they are carried out
    journal: list[tuple[float, str]] = field(factory=list)
    versions: Any = field(factory=lambda: itertools.count(1))
    changed: trio.Event = field(factory=trio.Event)
    leader: str = ""
    takes_back: bool = True  # else who ends a reign by itself holds the Lease anew at once
    leaseless: set[str] = field(factory=set)  # pods whose Lease writes are refused
    deaf: set[str] = field(factory=set)  # pods whose watch of the ledger stays silent
    unlisted: set[str] = field(factory=set)  # pods that are not shown the gateways' Leases
    requests: dict[str, Request] = field(factory=dict)
    lost_closings: int = 0  # removals of requests that are never carried out
    wall_ahead_s: float = 1_800_000_000.0  # the people's clock over the virtual one

    def note(self, text: str) -> None:
        """Into the world's own book."""
        self.journal.append((trio.current_time(), text))

    def stir(self) -> None:
        """Wake every informer."""
        self.changed.set()
        self.changed = trio.Event()

    def add(self, count: int) -> None:
        """Fresh instances, as the boot guard leaves them."""
        for n in range(count):
            name = Instance(f"memgraph-{n}")
            self.instances[name] = FakeInstance(name, f"storage-{n}", f"127.0.1.{n + 1}")
            self._start(self.instances[name])

    def _start(self, i: FakeInstance) -> None:
        i.incarnation = Incarnation(next(self.versions))
        i.is_up, i.role, i.rows = True, Role.REPLICA, {}

    def kill(self, name: str) -> None:
        """SIGKILL: nobody listens there any more."""
        self.instances[Instance(name)].is_up = False
        self.note(f"killed {name}")
        self.stir()

    def restart(self, name: str) -> None:
        """The kubelet starts it again: as REPLICA, by the boot guard."""
        i = self.instances[Instance(name)]
        i.restarts += 1
        self._start(i)
        self.note(f"restarted {name}")
        self.stir()

    def delete(self, name: str) -> None:
        """The pod gets its deletionTimestamp; its process goes on while the preStop hook waits."""
        self.instances[Instance(name)].is_deleting = True
        self.note(f"deleting {name}")
        self.stir()

    def replace(self, name: str) -> None:
        """The hook has returned: the process ends, a new pod of the same name starts."""
        self.kill(name)
        i = self.instances[Instance(name)]
        i.pods, i.is_deleting = i.pods + 1, False
        self.restart(name)

    def ask(self, request: Request) -> None:
        """A person writes a request."""
        self.requests[request.id] = request
        self.stir()

    def wall_s(self) -> float:
        """What people's clocks show."""
        return trio.current_time() + self.wall_ahead_s

    def pods(self) -> tuple[PodFacts, ...]:
        """What the API server says."""
        return tuple(
            PodFacts(
                i.name,
                f"uid-{i.name}-{i.pods}",
                i.ip,
                i.is_up,
                i.is_deleting,
                Container.RUNNING if i.is_up else Container.TERMINATED,
                i.restarts,
            )
            for i in self.instances.values()
        )

    def check_api(self) -> None:
        """Raises while the API server is down."""
        if not self.api_is_up:
            raise KubeUnavailable("the API server is down")


@define(eq=False)
class FakeStore:
    """The ledger's ConfigMap."""

    world: World

    async def read(self) -> StoredLedger | None:
        """A quorum read."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        return self.world.stored

    async def create(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> StoredLedger:
        """POST."""
        return await self._write(None, data, annotations)

    async def replace(
        self, base: StoredLedger, data: Mapping[str, str], annotations: Mapping[str, str]
    ) -> StoredLedger:
        """PUT with resourceVersion."""
        return await self._write(base, data, annotations)

    async def _write(
        self, base: StoredLedger | None, data: Mapping[str, str], annotations: Mapping[str, str]
    ) -> StoredLedger:
        await trio.sleep(LATENCY_S)
        world = self.world
        world.check_api()
        if world.dropped_puts:
            world.dropped_puts -= 1
            raise LedgerOutcomeUnknown("no answer")
        now = world.stored
        if (now is None) != (base is None) or (
            now and base and now.resource_version != base.resource_version
        ):
            raise LedgerConflict("the object has been modified")
        version = str(next(world.versions))
        world.stored = StoredLedger("uid", version, dict(data), dict(annotations))
        world.stir()
        if world.lost_puts:
            world.lost_puts -= 1
            raise LedgerOutcomeUnknown("no answer")
        return world.stored


@define(eq=False)
class FakeArchives:
    """The archives of the ledger; `created_s` by the people's clock."""

    world: World

    async def read(self, number: int) -> StoredArchive | None:
        """See the port."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        return self.world.archives.get(number)

    async def create(self, number: int, data: Mapping[str, str]) -> None:
        """See the port."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        self.world.before_archive("create", number)
        if number in self.world.archives:
            raise LedgerConflict("already exists")
        self.world.archives[number] = StoredArchive(dict(data), self.world.wall_s())
        self.world.after_archive("create", number)

    async def delete(self, number: int) -> None:
        """See the port."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        self.world.before_archive("delete", number)
        self.world.archives.pop(number, None)
        self.world.after_archive("delete", number)


@define(eq=False)
class FakeLeases:
    """Gateway Leases."""

    world: World

    async def put(self, facts: GatewayFacts) -> None:
        """Create or renew."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        if facts.pod in self.world.leaseless:
            raise KubeForbidden("403: update of leases")
        before = self.world.leases.get(facts.pod)
        earlier = before.told_seq if before and not facts.acked_seq else Seq(0)
        stamped = evolve(facts, stamp=str(next(self.world.versions)), earlier_seq=earlier)
        self.world.leases[facts.pod] = stamped
        self.world.stir()

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """All of them."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        return tuple(self.world.leases.values())


@define(eq=False)
class FakeInformers:
    """Pictures after every change."""

    world: World
    pod: str

    async def watch_pods(self, handler: Any, on_trouble: Any) -> None:
        """Instance pods; the controller pods do not matter here."""
        await self._watch(lambda: handler(self.world.pods(), ()))

    async def watch_gateways(self, handler: Any, on_trouble: Any) -> None:
        """Gateway Leases."""

        async def show() -> None:
            if self.pod not in self.world.unlisted:
                await handler(tuple(self.world.leases.values()))

        await self._watch(show)

    async def watch_ledger(self, handler: Any, on_trouble: Any) -> None:
        """The ledger."""

        async def show() -> None:
            if self.pod not in self.world.deaf:
                await handler(self.world.stored)

        await self._watch(show)

    async def _watch(self, show: Callable[[], Awaitable[None]]) -> None:
        while True:
            changed = self.world.changed
            if self.world.api_is_up:
                await show()
            await changed.wait()
            await trio.sleep(LATENCY_S)


@define(eq=False)
class FakeRequests:
    """The ConfigMap of requests."""

    world: World

    async def watch(self, handler: Any, on_trouble: Any) -> None:
        """All of them, after every change."""
        while True:
            changed = self.world.changed
            if self.world.api_is_up:
                await handler(tuple(self.world.requests[k] for k in sorted(self.world.requests)))
            await changed.wait()
            await trio.sleep(LATENCY_S)

    async def close(self, request_id: str) -> None:
        """The entry is gone."""
        await trio.sleep(LATENCY_S)
        self.world.check_api()
        if self.world.lost_closings:
            self.world.lost_closings -= 1
            raise CommandOutcomeUnknown("no answer")
        self.world.requests.pop(request_id, None)
        self.world.note(f"closed {request_id}")
        self.world.stir()


@define(eq=False)
class FakeLeadership:
    """Whoever the world names leads, one reign after the other."""

    world: World
    pod: str
    reigns: int = 0

    async def contend(self, reign: Callable[[str], Awaitable[None]]) -> None:
        """Leads while `world.leader` is this pod."""
        while True:
            while self.world.leader != self.pod:
                await self.world.changed.wait()
            self.reigns += 1
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_lease, scope)
                    await reign(f"{self.pod}/uid/{self.reigns}")
                    if self.world.leader == self.pod and self.world.takes_back:
                        self.world.note(f"{self.pod} gives the Lease back")
                        self.world.leader = ""
                    nursery.cancel_scope.cancel()

    async def _watch_lease(self, scope: trio.CancelScope) -> None:
        while self.world.leader == self.pod:
            await self.world.changed.wait()
        scope.cancel()


@define(eq=False)
class FakePods:
    """Pod deletion and reset tokens."""

    world: World
    tokens: dict[str, int] = field(factory=dict)
    released: dict[str, tuple[int, ...]] = field(factory=dict)

    async def delete_pod(self, name: str, uid: str, grace_s: int | None = None) -> None:
        """The pod goes and comes back with the same data, or empty when a token says so."""
        await trio.sleep(LATENCY_S)
        self.world.kill(name)
        self.world.restart(name)
        instance = self.world.instances[Instance(name)]
        if name in self.tokens:
            instance.uuid, instance.nodes = f"storage-new-{next(self.world.versions)}", 0
            instance.refuses_registration = None

    async def write_reset_token(self, instance: Instance, token: int) -> None:
        """For the init container."""
        await trio.sleep(LATENCY_S)
        self.tokens[instance] = token

    async def withdraw_reset_token(self, instance: Instance) -> None:
        """Not any more."""
        await trio.sleep(LATENCY_S)
        self.tokens.pop(instance, None)

    async def release_copies(self, instance: Instance, tokens: tuple[int, ...]) -> None:
        """What the init container may remove at its next start."""
        await trio.sleep(LATENCY_S)
        self.released[instance] = tokens


@define(eq=False)
class FakeMemgraph:
    """The adapter for one instance: answers from the world, fails as the world says."""

    world: World
    state: FakeInstance

    @property
    def instance(self) -> Instance:
        """Whose adapter this is."""
        return self.state.name

    async def _ask(self) -> FakeInstance:
        if not self.state.is_up:
            await trio.sleep(LATENCY_S)
            raise MemgraphUnreachable("connection refused", refused=True)
        if self.state.is_hung:
            await trio.sleep(SILENCE_S)
            raise MemgraphUnreachable("no answer", refused=False)
        await trio.sleep(LATENCY_S)
        if not self.state.is_up:
            raise MemgraphUnreachable("connection reset", refused=True)
        return self.state

    async def probe(self, *, count_nodes: bool = False) -> ProbeAnswer:
        """All answers."""
        s = await self._ask()
        rows = tuple(s.rows.values()) if s.role is Role.MAIN else None
        count = s.nodes if count_nodes else None
        return ProbeAnswer(s.incarnation, s.role, "3.12.0", s.uuid, self._fresh(rows), count)

    def _fresh(self, rows: tuple[Row, ...] | None) -> tuple[Row, ...] | None:
        return rows and tuple(self._row_now(r) for r in rows)

    def _row_now(self, row: Row) -> Row:
        host = row.address.split(":")[0]
        replica = next(i for i in self.world.instances.values() if i.ip == host)
        works = replica.is_up and not replica.is_hung and replica.role is Role.REPLICA
        return evolve(row, status=RowStatus.READY if works else RowStatus.INVALID)

    async def probe_fresh(self) -> Role:
        """Dial anew."""
        return (await self._ask()).role

    async def ping(self, incarnation: Incarnation) -> Role:
        """On the kept connection."""
        s = await self._ask()
        if s.incarnation != incarnation:
            raise MemgraphUnreachable("another incarnation", refused=True)
        return s.role

    async def _answer(self) -> None:
        if self.state.lost_replies:
            self.state.lost_replies -= 1
            raise CommandOutcomeUnknown("no answer")

    async def demote(self, command: Any) -> Incarnation:
        """REPLICA, registrations gone."""
        s = await self._ask()
        s.role, s.rows = Role.REPLICA, {}
        self.world.note(f"demoted {s.name}")
        await self._answer()
        return s.incarnation

    async def promote(self, command: Any) -> Incarnation:
        """MAIN without registrations."""
        s = await self._ask()
        s.role, s.rows = Role.MAIN, {}
        self.world.note(f"promoted {s.name} in term {command.term}")
        await self._answer()
        return s.incarnation

    async def register(self, command: Any) -> None:
        """A row; an empty replica takes over our storage."""
        s = await self._ask()
        replica = self.world.instances[command.replica]
        if replica.refuses_registration is not None:
            text = (
                f"Couldn't register replica {command.name}. Error: {replica.refuses_registration}"
            )
            raise MemgraphRefused("REGISTER", "Memgraph.ClientError", text)
        if replica.nodes == 0:
            replica.uuid = s.uuid
        row = Row(command.name, command.address, command.mode, RowStatus.READY, 0, 2)
        s.rows[command.name] = row
        self.world.note(f"registered {command.name} on {s.name}")

    async def drop(self, command: Any) -> None:
        """The row is gone."""
        s = await self._ask()
        s.rows.pop(command.name, None)
        self.world.note(f"dropped {command.name} on {s.name}")

    async def mark(self, command: Any) -> Carried:
        """Goes through when every STRICT_SYNC replica is there."""
        s = await self._ask()
        rows = self._fresh(tuple(s.rows.values())) or ()
        strict = [r for r in rows if r.mode is Mode.STRICT_SYNC]
        if any(r.status is not RowStatus.READY for r in strict):
            raise MemgraphRefused("marker", "Memgraph.ClientError", "a replica is not in sync")
        return Carried(tuple(r.name for r in strict))

    async def aclose(self) -> None:
        """Nothing to close."""


@define(eq=False)
class FakeMemgraphs:
    """All adapters."""

    world: World

    def at(self, instance: Instance, host: str) -> FakeMemgraph:
        """The adapter of the instance at this address."""
        state = self.world.instances[instance]
        assert state.ip == host, "dialled an address that is not the pod's"
        return FakeMemgraph(self.world, state)

    @asynccontextmanager
    async def running(self) -> Any:
        """Nothing to open."""
        yield


@define(eq=False)
class FakeGateways:
    """Two gateways without sockets: what is applied to them stands in the world's journal."""

    world: World
    pod: str
    routes: dict[Kind, Route] = field(factory=dict)
    deadline_s: float = 0.0
    confirmed: list[Wish] = field(factory=list)

    def apply(self, kind: Kind, route: Route) -> int:
        """Remember the route; an open RW goes into the journal."""
        before = self.routes.get(kind)
        assert before is None or route.term >= before.term, "a route of an older term"
        self.routes[kind] = route
        to = route.upstreams[0].instance if route.upstreams else "nobody"
        if kind is Kind.RW:
            self.world.note(f"{self.pod} routes writes to {to} in term {route.term}")
        return 0

    def mark(self, number: int, tell: Callable[[int], None]) -> None:
        """There are no sessions: everything is cut at once."""
        tell(number)

    def serve_until(self, deadline_s: float) -> None:
        """The self-fence moves."""
        self.deadline_s = deadline_s

    def confirm(self, wish: Wish, asked_at_s: float) -> None:
        """Sessions may go on."""
        self.confirmed.append(wish)

    async def wait_wishes(self) -> tuple[Wish, ...]:
        """No session is ever dialled here."""
        await trio.sleep_forever()
        raise AssertionError

    def writable(self) -> Instance | None:
        """Whom a client could write to through this gateway now."""
        route = self.routes.get(Kind.RW)
        if route is None or not route.upstreams or trio.current_time() > self.deadline_s:
            return None
        return Instance(route.upstreams[0].instance)


def make_pod(
    world: World,
    name: str,
    policy: Policy,
    limits: Limits = LIMITS,
    retention: Retention = Retention(),  # noqa: B008 - a frozen value
    board: Board | None = None,
) -> tuple[ControllerPod, FakeGateways]:
    """A controller pod of the product on the fakes."""
    gateways = FakeGateways(world, name)
    adapters = Adapters(
        store=FakeStore(world),
        leases=FakeLeases(world),
        informers=FakeInformers(world, name),
        leadership=FakeLeadership(world, name),
        pods=FakePods(world),
        memgraph=FakeMemgraphs(world),
        requests=FakeRequests(world),
        archives=FakeArchives(world),
        board=board,
    )
    settings = PodSettings(name, policy, 7687, 0.25, 4.0, retention=retention, limits=limits)
    pod = ControllerPod(settings, adapters, gateways, Reign(), world.wall_s)  # type: ignore[arg-type]
    return pod, gateways
