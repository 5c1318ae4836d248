"""One gateway: receives clients, lets them wait in the hall, and follows the route.

Promise: no byte reaches an upstream that is not of the present route; every client is relayed or
refused with a reason that is counted; past the fence nobody is served. No trio in here: plain
functions on a pump, driven by `step` and `tick`.

What a newcomer gets wrong: a session may end inside any call that touches a socket. Look at its
state after, never before.
"""

from collections.abc import Callable
from typing import Any

from gateway import wire
from gateway.counters import Counters, Tally
from gateway.deadline import Deadline
from gateway.door import Door
from gateway.errors import StaleRoute
from gateway.floor import Floor
from gateway.greeting import Greeter, NotGreeted
from gateway.hall import BROKEN, FULL_MASK, RDHUP, Hall
from gateway.link import JOINED, LEFT, SPOKE, End, Link
from gateway.pump import Pump
from gateway.questions import Questions
from gateway.rates import Rates
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Route, Upstream, UpstreamKey
from gateway.session import GREETING, HELD, RELAYING, Session

TICK_S = 0.05  # how late a time-out may be; the fence is not one: it is checked at every write
DRAIN_TICK_S = 0.01  # while sessions are waited for


class Desk:
    """All sessions of one gateway. See `gateway.gateway.Gateway` for the arguments.

    Args:
      pump: shared with other desks of the same thread; None: one of its own.
    """

    def __init__(
        self,
        kind: Kind,
        limits: Limits,
        *,
        need_confirmation: Callable[[Upstream], None],
        clock: Callable[[], float],
        pump: Pump | None = None,
        on_over: Callable[[Session, Refusal | Ending], None] | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._kind = kind
        self._limits = limits
        self._clock = clock
        self.pump = Pump(clock=clock) if pump is None else pump
        self.pump.mover.bound(limits.buffer_bytes)  # of one pump all desks say the same
        self._owns_pump = pump is None
        self.door = Door(self.pump, clock, self._admit)
        self.deadline = Deadline(kind, clock, self._on_due)
        self.session_bytes_max = limits.session_bytes_max
        self._tally = Tally()
        self.questions = Questions(need_confirmation)
        self.floor = Floor(
            self.pump,
            self._tally,
            clock,
            limits.idle_timeout_s,
            self._on_broken,
            on_over,
            self.deadline.fence_of,
        )
        self._rates = Rates(limits.rate_per_s, limits.rate_burst) if limits.rate_per_s else None
        has_to_greet = limits.greets or limits.upstream_tls is not None
        self._greeter = Greeter(limits, self.pump, on_trouble) if has_to_greet else None
        self.hall = Hall(
            self.pump,
            limits,
            self._tally,
            clock,
            self.questions,
            self._greeter,
            deadline=self.deadline,
            begin=self.floor.begin,
            on_over=on_over,
        )
        self._wants_peer = self._rates is not None or on_over is not None
        self._route: Route | None = None
        self._was_due = False  # when upstreams were looked at last

    # ---------------------------------------------------------------- driven by the owner

    def step(self, timeout_s: float = 0) -> int:
        """One batch of the pump; then ask the verifier. For an owner with a single desk."""
        self.keep_fence()
        events = self.pump.step(timeout_s)
        self.ask()
        return events

    @property
    def tick_s(self) -> float:
        """How long until `tick` wants to be called again."""
        is_close = self.floor.is_draining or self.floor.is_last_call
        return DRAIN_TICK_S if is_close else TICK_S

    def tick(self) -> None:
        """Do what time has made due."""
        now_s = self._clock()
        self.keep_fence()
        self.door.tick(now_s)
        if self._greeter is not None:
            self._greeter.tick(now_s)
        self.hall.tick(now_s)
        self.floor.tick(now_s)
        self.ask()

    def leave(self, until_s: float) -> None:
        """See `Gateway.leave`."""
        now_s = self._clock()
        self.door.leave(now_s, now_s + (until_s - now_s) / 2)
        self.hall.leave(until_s)
        self.floor.leave(until_s)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is served, and nobody waits."""
        return not self.hall.waiting and not self.floor.sessions

    @property
    def has_left(self) -> bool:
        """Whether it is empty, and nobody can come any more."""
        return self.is_empty and not self.door.is_open

    def close(self) -> None:
        """End everything; nothing stays open."""
        self.door.close()
        self._clear(Ending.SHUTDOWN, Refusal.SHUTDOWN)
        if self._owns_pump:
            self.pump.close()

    # ---------------------------------------------------------------- told from outside

    def apply(self, route: Route) -> int:
        """See `Gateway.apply`."""
        old = self._route
        if old is not None and route.term < old.term:
            raise StaleRoute(f"route of term {route.term}, present is {old.term}")
        is_new_reign = self._kind is Kind.RW and old is not None and route.term > old.term
        allowed = frozenset[UpstreamKey]() if is_new_reign else route.keys
        gone = [s for s in self.floor.sessions if s.key not in allowed]
        self._route, self._tally.term = route, route.term
        cut = 0
        if route.drain_until_s is None:
            cut = self.floor.cut(gone, Ending.CUT)
        else:
            self.floor.drain(gone, route.drain_until_s)
        self._open(route, allowed)
        return cut

    def _open(self, route: Route, allowed: frozenset[UpstreamKey]) -> None:
        """Let new clients go where they may go now; who was on the way elsewhere begins again."""
        self._was_due = self.deadline.is_due
        if self._kind is Kind.RO:
            self.floor.keep_fences(route.upstreams, is_due=self._was_due)
        upstreams = tuple(u for u in route.upstreams if self.deadline.may_serve(u))
        if route.is_held:
            upstreams = ()
        self.hall.is_routed = bool(upstreams)
        self.hall.targets.follow(upstreams, self._clock())
        self.hall.start_over(allowed.intersection(upstream.key for upstream in upstreams))

    def confirm(self, key: UpstreamKey, asked_at_s: float) -> None:
        """See `Gateway.confirm`."""
        self.keep_fence()
        self.hall.confirm(key, asked_at_s)

    def ask(self) -> None:
        """Ask the verifier what has come up since the last time."""
        self.questions.ask()

    @property
    def is_settled(self) -> bool:
        """Whether every session that the present route does not allow has ended."""
        return not self.floor.is_draining

    def serve_until(self, deadline_s: float | None) -> None:
        """See `Gateway.serve_until`."""
        self.keep_fence()  # what was over stays over, even if nobody looked in time
        self.deadline.set(deadline_s)
        self.keep_fence()
        if self._was_due and self._route is not None:
            self._open(self._route, self._route.keys)

    def counters(self) -> Counters:
        """The present numbers, running sessions included."""
        hall, floor = self.hall, self.floor
        return self._tally.counters(
            active=len(hall.waiting) + len(floor.sessions) - len(hall.held),
            held=len(hall.held),
            sessions=hall.targets.sessions(),
            running=floor.running,
            term=None if self._route is None else self._route.term,
        )

    # ---------------------------------------------------------------- waiting clients

    def _admit(self, client: int, address: Any, now_s: float) -> None:
        self._tally.accepted += 1
        session = Session(client, now_s, self)
        is_full = len(self.hall.waiting) + len(self.floor.sessions) >= self._limits.connections_max
        self.hall.waiting[session] = None
        if self._wants_peer:
            session.peer = address[0]
        if self.deadline.closes_all:
            self.hall.refuse(session, Refusal.SELF_FENCE)
        elif is_full:
            self.hall.refuse(session, Refusal.MAX_CONNECTIONS)
        elif self._greeter is not None:
            session.state = GREETING
            self.pump.watch_end(session.client, FULL_MASK)
            self._greet(self._greeter, session)
        else:
            self._welcome(session, now_s)

    def _greet(self, greeter: Greeter, session: Session) -> None:
        try:
            is_done = greeter.advance(session)
        except NotGreeted as refused:
            self.hall.refuse(session, refused.reason)
            return
        if is_done:
            session.client.flags |= SPOKE
            session.move(HELD)
            self._welcome(session, self._clock())

    def _welcome(self, session: Session, now_s: float) -> None:
        if self._rates is not None and not self._rates.may_enter(session.peer, now_s):
            self.hall.refuse(session, Refusal.RATE_LIMIT)
        else:
            self.hall.welcome(session, now_s)

    def on_waiting(self, end: End, event: int) -> None:
        """An event of a session that was not relayed when its batch began."""
        session = end.link
        assert isinstance(session, Session)
        if end.flags & JOINED:  # meanwhile it is
            self.pump.mover.on_event(end, event)
        elif session.state is RELAYING and session.secure is not None:
            session.secure.on_event(end, event)
        elif end is session.client:
            self._on_waiting_client(session, event)
        else:
            self.hall.on_upstream(session, event)

    def _on_waiting_client(self, session: Session, event: int) -> None:
        session.client.flags |= SPOKE | LEFT if event & RDHUP else SPOKE
        if event & BROKEN or (event & RDHUP and wire.has_hung_up(session.client.sock)):
            self.hall.refuse(session, Refusal.CLIENT_LEFT)
        elif session.state is GREETING and self._greeter is not None:
            self._greet(self._greeter, session)

    def on_end(self, link: Link, reason: Ending) -> None:
        """Of a relayed session."""
        assert isinstance(link, Session)
        self.floor.over(link, reason)

    def _on_broken(self, session: Session) -> None:
        assert session.target is not None
        self.questions.add(session.target.key, session.target.upstream)

    # ---------------------------------------------------------------- the fence

    def keep_fence(self) -> None:
        """End what may not go on if the time for it is over."""
        if self._kind is Kind.RW:
            if (self.hall.waiting or self.floor.sessions) and self.deadline.is_due:
                self._on_due()
        elif self.deadline.is_due and not self._was_due:
            self._on_due()

    def _on_due(self) -> None:
        """RW: nobody is served. RO: only those are whose upstream cannot have become main."""
        if self._kind is Kind.RW:
            self._clear(Ending.SELF_FENCE, Refusal.SELF_FENCE)
        elif self._route is not None:
            self._open(self._route, self._route.keys)

    def _clear(self, ending: Ending, refusal: Refusal) -> None:
        self.floor.cut(tuple(self.floor.sessions), ending)
        for session in list(self.hall.waiting):
            self.hall.refuse(session, refusal)
