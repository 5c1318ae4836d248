"""Receives clients and finds each an upstream: limit, hold, dial, wait for the verifier, relay.

Promise: no byte reaches an upstream that is not of the present route, or that the verifier has
not confirmed after the session was dialled; every client is relayed or refused with a reason that
is counted. No trio in here: plain functions on a pump, driven by `step` and `tick`.

What a newcomer gets wrong: a session may end inside any call that touches a socket. Look at its
state after, never before.
"""

import select
import socket
from collections.abc import Callable
from itertools import count
from types import MappingProxyType

from gateway import wire
from gateway.counters import Counters, Tally
from gateway.door import Door
from gateway.errors import StaleRoute
from gateway.link import Link
from gateway.pump import NEVER, Pump
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Route, Upstream, UpstreamKey
from gateway.session import Session, State
from gateway.targets import Target, Targets

CONFIRM_AGAIN_S = 0.25  # a lost question costs a moment, not the session
IDLE_SWEEPS = 10  # in one idle timeout: a session may outlive it by a tenth
HUNG_UP = select.EPOLLRDHUP | select.EPOLLET
CONNECTED = select.EPOLLOUT | select.EPOLLET
BROKEN = select.EPOLLERR | select.EPOLLHUP


class Desk:
    """All sessions of one gateway. See `gateway.gateway.Gateway` for the arguments."""

    def __init__(
        self,
        kind: Kind,
        limits: Limits,
        *,
        need_confirmation: Callable[[Upstream], None],
        clock: Callable[[], float],
    ) -> None:
        self._kind = kind
        self._limits = limits
        self._need_confirmation = need_confirmation
        self._clock = clock
        bytes_max = limits.session_bytes_max
        self.pump = Pump(clock=clock, on_fence=self._fence, link_bytes_max=bytes_max)
        self.door = Door(self.pump, clock, self._admit)
        self._tally = Tally()
        self._targets = Targets()
        self._route: Route | None = None
        self._numbers = count()
        self._waiting: dict[int, Session] = {}  # held, dialling or unconfirmed
        self._relaying: dict[int, Session] = {}
        self._held: dict[int, Session] = {}  # those of the waiting that nobody dials for
        self._questions: dict[UpstreamKey, Upstream] = {}
        self._ask_again_at_s = 0.0
        self._sweep_at_s = 0.0

    # ---------------------------------------------------------------- driven by the owner

    def step(self, timeout_s: float = 0) -> int:
        """One batch of the pump; then ask the verifier, once for each upstream."""
        self._keep_fence()
        events = self.pump.step(timeout_s)
        self._ask()
        return events

    def tick(self) -> None:
        """Do what time has made due. To be called every few ten milliseconds."""
        now_s = self._clock()
        self._keep_fence()
        self.door.tick(now_s)
        for session in list(self._waiting.values()):
            self._look_at_clock(session, now_s)
        self._release(now_s)
        if now_s >= self._ask_again_at_s:
            self._ask_again_at_s = now_s + CONFIRM_AGAIN_S
            for session in self._waiting.values():
                self._question(session)
        self._sweep(now_s)
        self._ask()

    def close(self) -> None:
        """End everything; nothing stays open."""
        self.door.close()
        self._clear(Ending.SHUTDOWN, Refusal.SHUTDOWN)
        self.pump.close()

    # ---------------------------------------------------------------- told from outside

    def apply(self, route: Route) -> int:
        """See `Gateway.apply`."""
        old = self._route
        if old is not None and route.term < old.term:
            raise StaleRoute(f"route of term {route.term}, present is {old.term}")
        is_new_reign = self._kind is Kind.RW and old is not None and route.term > old.term
        allowed = frozenset[UpstreamKey]() if is_new_reign else route.keys
        gone = [s for s in self._relaying.values() if s.key not in allowed]
        self._reset(gone, Ending.CUT)
        self._tally.cut += len(gone)
        self._route = route
        self._targets.follow(route.upstreams)
        astray = [
            session
            for session in self._waiting.values()
            if session.state is not State.HELD and session.key not in allowed
        ]
        self._start_over(astray)
        return len(gone)

    def confirm(self, upstream: Upstream, asked_at_s: float) -> None:
        """See `Gateway.confirm`."""
        self._keep_fence()
        for session in list(self._waiting.values()):
            if (
                session.state is State.UNCONFIRMED
                and session.key == upstream.key
                and session.dialled_at_s <= asked_at_s
            ):
                self._relay(session)

    def serve_until(self, deadline_s: float | None) -> None:
        """See `Gateway.serve_until`."""
        self._keep_fence()  # what was over stays over, even if nobody looked in time
        self.pump.fence_at_s = NEVER if deadline_s is None else deadline_s
        self._keep_fence()

    def counters(self) -> Counters:
        """The present numbers, running sessions included."""
        tally = self._tally
        links = [s.link for s in self._relaying.values() if s.link is not None]
        return Counters(
            accepted=tally.accepted,
            active=len(self._waiting) + len(self._relaying) - len(self._held),
            held=len(self._held),
            refused=tally.frozen_refused(),
            ended=tally.frozen_ended(),
            cut=tally.cut,
            dial_failures=tally.dial_failures,
            bytes_up=tally.bytes_up + sum(link.client.delivered_bytes for link in links),
            bytes_down=tally.bytes_down + sum(link.upstream.delivered_bytes for link in links),
            sessions=MappingProxyType(self._targets.sessions()),
            term=None if self._route is None else self._route.term,
        )

    # ---------------------------------------------------------------- waiting clients

    def _admit(self, client: socket.socket) -> None:
        self._tally.accepted += 1
        now_s = self._clock()
        session = Session(next(self._numbers), client, now_s)
        is_full = len(self._waiting) + len(self._relaying) >= self._limits.connections_max
        self._waiting[session.number] = session
        self._held[session.number] = session
        self.pump.watch(client, HUNG_UP, lambda event: self._on_waiting_client(session, event))
        if self.pump.is_fenced():
            self._refuse(session, Refusal.SELF_FENCE)
        elif is_full:
            self._refuse(session, Refusal.MAX_CONNECTIONS)
        else:
            if len(self._held) == 1:  # otherwise others are before him, and cannot be served
                self._maybe_dial(session, now_s)
            self._bound_hold(session)

    def _bound_hold(self, session: Session) -> None:
        if session.state is State.HELD and len(self._held) > self._limits.hold_max:
            self._refuse(session, Refusal.HOLD_FULL)

    def _on_waiting_client(self, session: Session, event: int) -> None:
        if event & BROKEN or wire.has_hung_up(session.client):
            self._refuse(session, Refusal.CLIENT_LEFT)

    def _look_at_clock(self, session: Session, now_s: float) -> None:
        if session.number not in self._waiting:
            return  # ended by what happened to one before it
        if now_s >= session.arrived_at_s + self._limits.hold_s:
            self._refuse(session, self._why_still_waiting(session))
            return
        waits_until_s = session.dialled_at_s + self._limits.connect_timeout_s
        if session.state is State.DIALLING and now_s >= waits_until_s:
            self._on_dial_failed(session)

    def _why_still_waiting(self, session: Session) -> Refusal:
        if session.state is State.UNCONFIRMED:
            return Refusal.UNCONFIRMED
        is_routed = self._route is not None and self._route.upstreams
        return Refusal.DIAL_FAILED if is_routed else Refusal.NO_ROUTE

    def _refuse(self, session: Session, reason: Refusal) -> None:
        self._held.pop(session.number, None)
        self._hang_up(session)
        session.move(State.REFUSED)
        del self._waiting[session.number]
        self._tally.refused[reason] += 1
        self.pump.forget(session.client)
        session.client.close()

    # ---------------------------------------------------------------- dialling

    def _release(self, now_s: float) -> None:
        """Dial for held clients in order of arrival, while an upstream can be chosen."""
        if not self._held or not self._targets.has_choice(now_s) or self.pump.is_fenced():
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
        del self._held[session.number]
        session.target, session.upstream, session.dialled_at_s = target, sock, now_s
        target.sessions += 1
        self.pump.watch(sock, CONNECTED, lambda event: self._on_dialled(session, event))
        if not is_under_way:
            self._on_dial_failed(session)

    def _on_dialled(self, session: Session, event: int) -> None:
        assert session.upstream is not None
        assert session.target is not None
        if event & BROKEN or not wire.is_connected(session.upstream):
            self._on_dial_failed(session)
            return
        session.move(State.UNCONFIRMED)
        session.dialled_at_s = self._clock()
        self.pump.watch(session.upstream, HUNG_UP, lambda _event: self._on_dial_failed(session))
        self._question(session)
        if session.target.retry_at_s is not None:
            self._targets.answered(session.target)
            self._release(session.dialled_at_s)

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
        self.pump.forget(session.upstream)
        wire.reset(session.upstream)
        session.target = session.upstream = None

    # ---------------------------------------------------------------- the verifier

    def _question(self, session: Session) -> None:
        if session.state is State.UNCONFIRMED and session.target is not None:
            upstream = session.target.upstream
            self._questions[upstream.key] = upstream

    def _ask(self) -> None:
        if self._questions:
            upstreams = tuple(self._questions.values())
            self._questions.clear()
            for upstream in upstreams:
                self._need_confirmation(upstream)

    # ---------------------------------------------------------------- relaying

    def _relay(self, session: Session) -> None:
        assert session.upstream is not None
        session.move(State.RELAYING)
        del self._waiting[session.number]
        self._relaying[session.number] = session
        session.active_at_s = self._clock()
        session.link = self.pump.join(
            session.client,
            session.upstream,
            lambda link, reason: self._on_end(session, link, reason),
        )

    def _on_end(self, session: Session, link: Link, reason: Ending) -> None:
        assert session.target is not None
        session.move(State.ENDED)
        del self._relaying[session.number]
        session.target.sessions -= 1
        self._tally.ended[reason] += 1
        self._tally.bytes_up += link.client.delivered_bytes
        self._tally.bytes_down += link.upstream.delivered_bytes
        if reason in (Ending.UPSTREAM_CLOSED, Ending.UPSTREAM_ERROR):
            # A process that dies closes all its sessions long before the next probe of it.
            upstream = session.target.upstream
            self._questions[upstream.key] = upstream

    def _reset(self, sessions: list[Session], reason: Ending) -> None:
        for session in sessions:
            if session.link is not None:
                self.pump.reset(session.link, reason)

    def _sweep(self, now_s: float) -> None:
        """End what moved no byte for the idle timeout. Compares totals: nothing per message."""
        timeout_s = self._limits.idle_timeout_s
        if timeout_s is None or now_s < self._sweep_at_s:
            return
        self._sweep_at_s = now_s + timeout_s / IDLE_SWEEPS
        idle = []
        for session in self._relaying.values():
            assert session.link is not None
            if session.link.delivered_bytes != session.seen_bytes:
                session.seen_bytes = session.link.delivered_bytes
                session.active_at_s = now_s
            elif now_s >= session.active_at_s + timeout_s:
                idle.append(session)
        self._reset(idle, Ending.IDLE_TIMEOUT)

    # ---------------------------------------------------------------- the fence

    def _keep_fence(self) -> None:
        if (self._waiting or self._relaying) and self.pump.is_fenced():
            self._fence()

    def _fence(self) -> None:
        self._clear(Ending.SELF_FENCE, Refusal.SELF_FENCE)

    def _clear(self, ending: Ending, refusal: Refusal) -> None:
        self._reset(list(self._relaying.values()), ending)
        for session in list(self._waiting.values()):
            self._refuse(session, refusal)
