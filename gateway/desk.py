"""Receives clients and finds each an upstream: greet, limit, hold, dial, wait for the verifier.

Promise: no byte reaches an upstream that is not of the present route, or that the verifier has
not confirmed after the session was dialled; every client is relayed or refused with a reason that
is counted. No trio in here: plain functions on a pump, driven by `step` and `tick`.

What a newcomer gets wrong: a session may end inside any call that touches a socket. Look at its
state after, never before.
"""

import select
from collections.abc import Callable
from itertools import count
from types import MappingProxyType
from typing import Any

from gateway import wire
from gateway.counters import Counters, Tally
from gateway.door import Door
from gateway.errors import StaleRoute
from gateway.floor import Floor
from gateway.greeting import Greeter, NotGreeted
from gateway.link import ARMED, JOINED, LEFT, NEVER, SPOKE, End, Fence, Link, Socket
from gateway.pump import RELAY_MASK, Pump
from gateway.rates import Rates
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Route, Upstream, UpstreamKey
from gateway.session import Session, State
from gateway.targets import Target, Targets

CONFIRM_AGAIN_S = 0.25  # a lost question costs a moment, not the session
TICK_S = 0.05  # how late a time-out may be; the fence is not one: it is checked at every write
DRAIN_TICK_S = 0.01  # while sessions are waited for
BROKEN = select.EPOLLERR | select.EPOLLHUP
IN, RDHUP = select.EPOLLIN, select.EPOLLRDHUP
FULL_MASK = IN | select.EPOLLOUT | RDHUP | select.EPOLLET  # once, for dial and relay


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
        self._need_confirmation = need_confirmation
        self._clock = clock
        self._on_over = on_over
        self.pump = Pump(clock=clock) if pump is None else pump
        self._owns_pump = pump is None
        self.door = Door(self.pump, clock, self._admit)
        self.fence = Fence(self._fence) if kind is Kind.RW else None
        self.session_bytes_max = limits.session_bytes_max
        self._tally = Tally()
        self.floor = Floor(
            self.pump, self._tally, clock, limits.idle_timeout_s, self._on_broken, on_over
        )
        self._targets = Targets()
        self._rates = Rates(limits.rate_per_s, limits.rate_burst) if limits.rate_per_s else None
        has_to_greet = limits.greets or limits.upstream_tls is not None
        self._greeter = Greeter(limits, self.pump, on_trouble) if has_to_greet else None
        self._wants_peer = self._rates is not None or on_over is not None
        self._route: Route | None = None
        self._numbers = count()
        self._waiting: dict[int, Session] = {}  # greeting, held, dialling or unconfirmed
        self._held: dict[int, Session] = {}  # those of the waiting that nobody dials for
        self._questions: dict[UpstreamKey, Upstream] = {}
        self._asking: set[UpstreamKey] = set()  # those whose answer is awaited
        self._ask_again_at_s = 0.0

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
        return DRAIN_TICK_S if self.floor.is_draining else TICK_S

    def tick(self) -> None:
        """Do what time has made due."""
        now_s = self._clock()
        self.keep_fence()
        self.door.tick(now_s)
        if self._greeter is not None:
            self._greeter.tick(now_s)
        for session in list(self._waiting.values()):
            self._look_at_clock(session, now_s)
        self._release(now_s)
        if now_s >= self._ask_again_at_s:
            self._ask_again_at_s = now_s + CONFIRM_AGAIN_S
            self._asking.clear()
            for session in self._waiting.values():
                self._question(session)
        self.floor.tick(now_s)
        self.ask()

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
        self._route = route
        cut = 0
        if route.drain_until_s is None:
            cut = self.floor.cut(gone, Ending.CUT)
        else:
            self.floor.drain(gone, route.drain_until_s)
        self._targets.follow(() if route.is_held else route.upstreams, self._clock())
        astray = [
            session
            for session in self._waiting.values()
            if session.target is not None and (route.is_held or session.key not in allowed)
        ]
        self._start_over(astray)
        return cut

    @property
    def is_settled(self) -> bool:
        """Whether every session that the present route does not allow has ended."""
        return not self.floor.is_draining

    def confirm(self, key: UpstreamKey, asked_at_s: float) -> None:
        """See `Gateway.confirm`."""
        self.keep_fence()
        self._asking.discard(key)
        for session in list(self._waiting.values()):
            if session.state is not State.UNCONFIRMED or session.key != key:
                continue
            if session.touched_at_s <= asked_at_s:
                del self._waiting[session.number]
                self.floor.begin(session)
            else:
                self._question(session)

    def serve_until(self, deadline_s: float | None) -> None:
        """See `Gateway.serve_until`."""
        if self.fence is None:
            return
        self.keep_fence()  # what was over stays over, even if nobody looked in time
        self.fence.at_s = NEVER if deadline_s is None else deadline_s
        self.keep_fence()

    def counters(self) -> Counters:
        """The present numbers, running sessions included."""
        tally = self._tally
        running_up, running_down = self.floor.bytes_both_ways
        return Counters(
            accepted=tally.accepted,
            active=len(self._waiting) + len(self.floor.sessions) - len(self._held),
            held=len(self._held),
            refused=tally.frozen_refused(),
            ended=tally.frozen_ended(),
            cut=tally.cut,
            dial_failures=tally.dial_failures,
            bytes_up=tally.bytes_up + running_up,
            bytes_down=tally.bytes_down + running_down,
            sessions=MappingProxyType(self._targets.sessions()),
            term=None if self._route is None else self._route.term,
            durations_s=tally.durations_s.frozen(),
            waits_s=tally.waits_s.frozen(),
        )

    # ---------------------------------------------------------------- waiting clients

    def _admit(self, client: Socket, address: Any) -> None:
        self._tally.accepted += 1
        now_s = self._clock()
        session = Session(next(self._numbers), client, now_s, self)
        is_full = len(self._waiting) + len(self.floor.sessions) >= self._limits.connections_max
        self._waiting[session.number] = session
        self.pump.watch_end(session.client, RELAY_MASK if self._greeter is None else FULL_MASK)
        if self._wants_peer:
            session.peer = address[0]
        fence = self.fence
        if fence is not None and now_s >= fence.at_s:
            self._refuse(session, Refusal.SELF_FENCE)
        elif is_full:
            self._refuse(session, Refusal.MAX_CONNECTIONS)
        elif self._greeter is not None:
            session.state = State.GREETING
            self._greet(self._greeter, session)
        else:
            self._welcome(session, now_s)

    def _greet(self, greeter: Greeter, session: Session) -> None:
        try:
            is_done = greeter.advance(session)
        except NotGreeted as refused:
            self._refuse(session, refused.reason)
            return
        if is_done:
            session.client.flags |= SPOKE
            session.move(State.HELD)
            self._welcome(session, self._clock())

    def _welcome(self, session: Session, now_s: float) -> None:
        """Dial for him, unless he comes too often, or others wait before him."""
        if self._rates is not None and not self._rates.may_enter(session.peer, now_s):
            self._refuse(session, Refusal.RATE_LIMIT)
        elif self._held or not self._maybe_dial(session, now_s):
            self._held[session.number] = session
            self._bound_hold(session)

    def _bound_hold(self, session: Session) -> None:
        if session.state is State.HELD and len(self._held) > self._limits.hold_max:
            self._refuse(session, Refusal.HOLD_FULL)

    def on_waiting(self, end: End, event: int) -> None:
        """An event of a session that was not relayed when its batch began."""
        session = end.link
        assert isinstance(session, Session)
        if end.flags & JOINED:  # meanwhile it is
            self.pump.mover.on_event(end, event)
        elif session.state is State.RELAYING and session.secure is not None:
            session.secure.on_event(end, event)
        elif end is session.client:
            self._on_waiting_client(session, event)
        elif session.state is State.DIALLING:
            self._on_dialled(session, event)
        elif event & (BROKEN | RDHUP):
            self._on_dial_failed(session)
        else:
            end.flags |= SPOKE

    def _on_waiting_client(self, session: Session, event: int) -> None:
        session.client.flags |= SPOKE | LEFT if event & RDHUP else SPOKE
        if event & BROKEN or (event & RDHUP and wire.has_hung_up(session.client.sock)):
            self._refuse(session, Refusal.CLIENT_LEFT)
        elif session.state is State.GREETING and self._greeter is not None:
            self._greet(self._greeter, session)

    def _look_at_clock(self, session: Session, now_s: float) -> None:
        if session.number not in self._waiting:
            return  # ended by what happened to one before it
        is_greeting = session.state is State.GREETING
        if is_greeting and now_s >= session.arrived_at_s + self._limits.greeting_s:
            self._refuse(session, Refusal.GREETING_TIMEOUT)
            return
        if now_s >= session.arrived_at_s + self._limits.hold_s:
            self._refuse(session, self._why_still_waiting(session))
            return
        waits_until_s = session.touched_at_s + self._limits.connect_timeout_s
        if session.state is State.DIALLING and now_s >= waits_until_s:
            self._on_dial_failed(session)

    def _why_still_waiting(self, session: Session) -> Refusal:
        if session.state is State.UNCONFIRMED:
            return Refusal.UNCONFIRMED
        is_routed = self._route is not None and self._route.upstreams and not self._route.is_held
        return Refusal.DIAL_FAILED if is_routed else Refusal.NO_ROUTE

    def _refuse(self, session: Session, reason: Refusal) -> None:
        self._held.pop(session.number, None)
        self._hang_up(session)
        session.move(State.REFUSED)
        del self._waiting[session.number]
        self._tally.refused[reason] += 1
        self.pump.forget(session.client.sock)
        session.client.sock.close()
        session.is_open = False
        if self._on_over is not None:
            self._on_over(session, reason)

    # ---------------------------------------------------------------- dialling

    def _release(self, now_s: float) -> None:
        """Dial for held clients in order of arrival, while an upstream can be chosen."""
        if not self._held or not self._targets.has_choice(now_s) or self.is_fenced:
            return
        for number in sorted(self._held):
            session = self._held.get(number)
            if session is not None and not self._maybe_dial(session, now_s):
                return

    def _maybe_dial(self, session: Session, now_s: float) -> bool:
        """False when no upstream can be chosen now."""
        target = self._targets.choose(now_s)
        if target is not None:
            self._dial(session, target, now_s)
        return target is not None

    def _dial(self, session: Session, target: Target, now_s: float) -> None:
        try:
            sock, is_under_way = wire.dial(target.upstream)
        except OSError:  # ours, not the upstream's: give back the descriptor that we can
            self._targets.unanswered(target, now_s)
            self._refuse(session, Refusal.NO_DESCRIPTORS)
            return
        session.move(State.DIALLING)
        self._held.pop(session.number, None)
        session.target, session.upstream = target, End(sock, session)
        session.upstream.flags |= ARMED
        session.touched_at_s = now_s
        target.sessions += 1
        if session.secure is not None and self._greeter is not None:
            name = self._greeter.name_of(target.upstream.instance)
            session.secure.dialled(sock, self._greeter.upstream_context, name)
        self.pump.watch_end(session.upstream, FULL_MASK)
        if not is_under_way:
            self._on_dial_failed(session)

    def _on_dialled(self, session: Session, event: int) -> None:
        assert session.upstream is not None
        assert session.target is not None
        upstream = session.target.upstream
        if event & (BROKEN | RDHUP) or wire.has_met_itself(session.upstream.sock, upstream):
            self._on_dial_failed(session)
            return
        if session.secure is not None and not self._has_shaken_hands(session):
            return
        if event & IN:
            session.upstream.flags |= SPOKE
        session.move(State.UNCONFIRMED)
        session.touched_at_s = self._clock()
        self._question(session)
        if session.target.retry_at_s is not None:
            self._targets.answered(session.target, session.touched_at_s)
            self._release(session.touched_at_s)

    def _has_shaken_hands(self, session: Session) -> bool:
        """With the upstream; False when that goes on, or failed and was dealt with."""
        assert session.secure is not None
        assert session.secure.upstream is not None
        try:
            return session.secure.upstream.handshake()
        except OSError:
            self._on_dial_failed(session)
            return False

    def _on_dial_failed(self, session: Session) -> None:
        """Refused, timed out, or gone before it was used: the next upstream, or back to hold."""
        assert session.target is not None
        self._tally.dial_failures += 1
        self._targets.failed(session.target, self._clock())
        self._start_over([session])

    def _start_over(self, sessions: list[Session]) -> None:
        """Back to hold, and out again at once where an upstream can be chosen."""
        for session in sessions:
            self._hang_up(session)
            session.move(State.HELD)
            self._held[session.number] = session
        self._release(self._clock())
        for session in sessions:
            self._bound_hold(session)

    def _hang_up(self, session: Session) -> None:
        if session.upstream is None or session.target is None:
            return
        self._targets.unanswered(session.target, self._clock())
        session.target.sessions -= 1
        self.pump.forget(session.upstream.sock)
        session.upstream.sock.close()
        session.target = session.upstream = None

    # ---------------------------------------------------------------- the verifier

    def _question(self, session: Session) -> None:
        if session.state is State.UNCONFIRMED and session.target is not None:
            upstream = session.target.upstream
            self._questions[upstream.key] = upstream

    def ask(self) -> None:
        """Ask the verifier what has come up since the last time: about each upstream one question
        at a time, so that a storm of clients makes large batches, not many questions."""
        if not self._questions or self._questions.keys() <= self._asking:
            return
        for key in self._questions.keys() - self._asking:
            self._asking.add(key)
            self._need_confirmation(self._questions.pop(key))

    def on_end(self, link: Link, reason: Ending) -> None:
        """Of a relayed session."""
        assert isinstance(link, Session)
        self.floor.over(link, reason)

    def _on_broken(self, session: Session) -> None:
        assert session.target is not None
        upstream = session.target.upstream
        self._questions[upstream.key] = upstream

    # ---------------------------------------------------------------- the fence

    @property
    def is_fenced(self) -> bool:
        """Whether the time in which clients may be answered is over."""
        fence = self.fence
        return fence is not None and self._clock() >= fence.at_s

    def keep_fence(self) -> None:
        """End everything if that time is over."""
        if (self._waiting or self.floor.sessions) and self.is_fenced:
            self._fence()

    def _fence(self) -> None:
        self._clear(Ending.SELF_FENCE, Refusal.SELF_FENCE)

    def _clear(self, ending: Ending, refusal: Refusal) -> None:
        self.floor.cut(tuple(self.floor.sessions), ending)
        for session in list(self._waiting.values()):
            self._refuse(session, refusal)
