"""The relay of one pod: sessions of clients, in place of sockets, by the routes that it is told.

Promise: the route semantics of `gateway`: an older term is refused, a new term cuts every RW
session, a session is used only after the verifier has answered a question asked after it was
dialled, and after the deadline no answer reaches a client; of RO none of an instance that may have
become main. A reply that waited in a frozen process meets the deadline before it goes on (S6). What
a newcomer gets wrong: nothing here is believed by the checkers but what a client was told.
"""

from collections.abc import Callable, Iterable
from enum import Enum

import trio
from attrs import define, field

from controller.gateways import Kind
from gateway import Route, StaleRoute, Upstream

from . import replication
from .actors import Freezer
from .memgraph import Died, Instances, Memgraph, Refused, Unconfirmed
from .network import Network

HOP_S = 0.0005


class Outcome(Enum):
    """What a client knows of its write."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@define(eq=False)
class Session:
    """One client, joined to one process of an instance."""

    upstream: Upstream
    term: int
    instance: Memgraph
    process: int
    dialled_at_s: float
    kind: Kind = Kind.RW
    is_confirmed: bool = False
    is_cut: bool = False
    changed: trio.Event = field(factory=lambda: trio.Event())

    def stir(self) -> None:
        """Wake who waits for it."""
        self.changed.set()
        self.changed = trio.Event()


class Relay:
    """A process of its own (`actor`), or part of its controller's."""

    def __init__(
        self,
        pod: str,
        actor: str,
        instances: Instances,
        network: Network,
        freezer: Freezer,
        on_open: Callable[[str, Route], None],
        on_led: Callable[[str], None],
    ) -> None:
        self.pod, self.actor = pod, actor
        self._instances, self._network, self._freezer = instances, network, freezer
        self._on_open, self._on_led = on_open, on_led
        self.on_wish: Callable[[Kind, Upstream], None] = lambda kind, upstream: None
        self.routes: dict[Kind, Route] = {}
        self.sessions: set[Session] = set()
        self.readings: set[Session] = set()
        self.closed_at_s = 0.0  # when RW was last told to be closed
        self.deadline_s = float("-inf")  # of RW, and of readers of who may become main
        self.is_dead = False
        self._noted: Route | None = None  # of RW, the last by which somebody could write
        self._routed = trio.Event()

    @property
    def is_apart(self) -> bool:
        """Whether it is a process of its own."""
        return self.actor.endswith("/relay")

    # -- what it is told

    def apply(self, kind: Kind, route: Route) -> int:
        """As Gateway.apply."""
        before = self.routes.get(kind)
        if before is not None and route.term < before.term:
            raise StaleRoute(f"route of term {route.term}, present is {before.term}")
        self._keep_fence()
        self.routes[kind] = route
        if kind is Kind.RO:
            return self._cut_all(s for s in self.readings if s.upstream.key not in route.keys)
        if not route.upstreams:
            self.closed_at_s = trio.current_time()
        is_new_reign = before is not None and route.term > before.term
        cut = self._cut_all(
            s for s in self.sessions if is_new_reign or s.upstream.key not in route.keys
        )
        if route.upstreams:
            self._note_opening()
            self._stir()
        return cut

    def _note_opening(self) -> None:
        """Whom clients are led to now. A route that waits behind the deadline leads nobody: what a
        frozen relay was told long ago it hears when it thaws, and what closes it right after."""
        route = self.routes.get(Kind.RW)
        if route is not None and self.writable() is not None and route is not self._noted:
            self._noted = route
            self._on_open(self.pod, route)
            if not self._freezer.catches_up(self.actor):
                self._on_led(route.upstreams[0].instance)

    def _cut_all(self, sessions: Iterable[Session]) -> int:
        gone = list(sessions)
        for session in gone:
            self._cut(session)
        return len(gone)

    def _stir(self) -> None:
        self._routed.set()
        self._routed = trio.Event()

    def serve_until(self, deadline_s: float) -> None:
        """As Gateway.serve_until: what was over stays over, even if nobody looked in time."""
        self._keep_fence()
        self.deadline_s = deadline_s
        self._note_opening()
        self._stir()

    def confirm(self, kind: Kind, upstream: Upstream, asked_at_s: float) -> None:
        """As Gateway.confirm."""
        self._keep_fence()
        for session in self.sessions if kind is Kind.RW else self.readings:
            if session.upstream.key == upstream.key and session.dialled_at_s <= asked_at_s:
                session.is_confirmed = True
                session.stir()

    def writable(self) -> Upstream | None:
        """Whom a client could write to through it at this moment."""
        route = self.routes.get(Kind.RW)
        is_over = self.is_dead or trio.current_time() >= self.deadline_s
        return route.upstreams[0] if route and route.upstreams and not is_over else None

    def may_acknowledge(self, instance: Memgraph | None = None, process: int = 0) -> bool:
        """Whether a client may yet hear, by any session or by one that it could get, that something
        was committed (by this process of this instance; None: by anybody)."""
        upstream = self.writable()
        if upstream is not None and (instance is None or upstream.instance == instance.name):
            return True
        if self.is_dead or trio.current_time() >= self.deadline_s:
            return False
        return any(
            instance is None or (s.instance is instance and s.process == process)
            for s in self.sessions
        )

    def readable(self) -> tuple[Upstream, ...]:
        """Whom a client could read from through it at this moment."""
        route = self.routes.get(Kind.RO)
        is_over = trio.current_time() >= self.deadline_s
        everybody = route.upstreams if route and not self.is_dead else ()
        return tuple(u for u in everybody if not (is_over and u.may_become_main))

    def end(self) -> None:
        """The process is gone."""
        self.is_dead = True
        self._cut_all((*self.sessions, *self.readings))
        self._routed.set()

    # -- what clients do

    async def connect(self) -> Session | None:
        """A confirmed session; None: it was not to be had. The caller sets the time limit."""
        while not self.is_dead:
            upstream = self.writable()
            if upstream is None:
                await self._routed.wait()
                await trio.sleep(HOP_S)
                continue
            await self._freezer.wait_thawed(self.actor)
            session = await self._dial(upstream)
            if session is not None and await self._confirmed(session):
                self._on_led(upstream.instance)
                return session
            await trio.sleep(0.05)
        return None

    async def read_from(self, upstream: Upstream) -> Session | None:
        """A confirmed session for reads. The caller sets the time limit."""
        await self._freezer.wait_thawed(self.actor)
        session = await self._dial(upstream, Kind.RO)
        return session if session is not None and await self._confirmed(session) else None

    async def _dial(self, upstream: Upstream, kind: Kind = Kind.RW) -> Session | None:
        await trio.sleep(HOP_S)
        instance = self._instances.hosts.get(upstream.host)
        route = self.routes.get(kind)
        if instance is None or not self._network.joins(self.pod, instance.name):
            return None
        if not instance.is_up or route is None or upstream.key not in route.keys or self.is_dead:
            return None
        now_s = trio.current_time()
        session = Session(upstream, route.term, instance, instance.process, now_s, kind)
        (self.sessions if kind is Kind.RW else self.readings).add(session)
        return session

    async def _confirmed(self, session: Session) -> bool:
        while not session.is_confirmed and not session.is_cut:
            self.on_wish(session.kind, session.upstream)
            with trio.move_on_after(0.25):
                await session.changed.wait()
        return not session.is_cut

    async def read(self, session: Session) -> bool:
        """One query. False: no answer, the session is over."""
        await self._pass_on(session)
        instance = session.instance
        await trio.sleep(HOP_S)
        is_reached = self._network.joins(self.pod, instance.name) and not instance.is_hung
        await self._pass_on(session)
        return is_reached and not session.is_cut and instance.process == session.process

    async def write(self, session: Session, write: int) -> Outcome:
        """One transaction. Unknown whenever no answer came; the caller sets the time limit."""
        await self._pass_on(session)
        instance = session.instance
        await trio.sleep(HOP_S)
        if session.is_cut or instance.process != session.process:
            return Outcome.UNKNOWN
        if not self._network.carries(self.pod, instance.name):
            await session.changed.wait()
            return Outcome.UNKNOWN
        outcome = await self._commit(session, write)
        await trio.sleep(HOP_S)
        if not self._network.carries(instance.name, self.pod):
            await session.changed.wait()
            return Outcome.UNKNOWN
        await self._pass_on(session)
        return Outcome.UNKNOWN if session.is_cut else outcome

    async def _commit(self, session: Session, write: int) -> Outcome:
        """The process does it; that its client leaves meanwhile ends nothing over there."""
        ended, outcome = trio.Event(), [Outcome.UNKNOWN]

        async def run() -> None:
            try:
                session.instance.check(session.process)
                await replication.commit(session.instance, write)
                outcome[0] = Outcome.OK
            except Unconfirmed:
                outcome[0] = Outcome.UNKNOWN
            except Refused:
                outcome[0] = Outcome.FAILED
            except Died:
                outcome[0] = Outcome.UNKNOWN
            ended.set()

        self._instances.spawn(run)
        await ended.wait()
        return outcome[0]

    async def _pass_on(self, session: Session) -> None:
        """A batch of bytes through this process: not while frozen, never after the deadline."""
        await self._freezer.wait_thawed(self.actor)
        self._keep_fence()
        if session.instance.process != session.process:
            self._cut(session)

    def leave(self, session: Session) -> None:
        """The client goes."""
        self._discard(session)

    def _discard(self, session: Session) -> None:
        (self.sessions if session.kind is Kind.RW else self.readings).discard(session)

    def _keep_fence(self) -> None:
        if trio.current_time() >= self.deadline_s:
            self._cut_all(self.sessions)
            self._cut_all(s for s in self.readings if s.upstream.may_become_main)

    def _cut(self, session: Session) -> None:
        session.is_cut = True
        self._discard(session)
        session.stir()
