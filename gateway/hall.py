"""Clients that wait: each is dialled for, confirmed by the verifier, and handed on, or refused.

Promise: held clients are dialled for in order of arrival; no byte reaches an upstream that the
verifier has not confirmed after the session was dialled; a refusal of one upstream costs a client
no more than a dial. Every refusal has a reason and is counted.

What a newcomer gets wrong: a session may end inside any call that touches a socket. Look at its
state after, never before.
"""

import select
from collections.abc import Callable, Iterable

from gateway import wire
from gateway.counters import Tally
from gateway.deadline import Deadline
from gateway.greeting import Greeter
from gateway.link import ARMED, NEVER, SPOKE, End
from gateway.pump import Pump
from gateway.questions import Questions
from gateway.reasons import Ending, Refusal
from gateway.route import Limits, UpstreamKey
from gateway.session import DIALLING, GREETING, HELD, REFUSED, UNCONFIRMED, Session
from gateway.targets import Target, Targets

CONFIRM_AGAIN_S = 0.25  # a lost question costs a moment, not the session
BROKEN = select.EPOLLERR | select.EPOLLHUP
IN, RDHUP = select.EPOLLIN, select.EPOLLRDHUP
GONE = BROKEN | RDHUP
FULL_MASK = IN | select.EPOLLOUT | RDHUP | select.EPOLLET  # once, for dial and relay


class Hall:
    """Owned by the desk.

    Args:
      greeter: knows the TLS of upstreams; None: in the clear.
      deadline: past it held clients are not dialled for, if it closes the gateway.
      begin: takes over a session that is confirmed.
      on_over: told about each refusal; None: nobody wants to know.

    Attributes:
      waiting: greeting, held, dialling or unconfirmed, in order of arrival.
      held: those of the waiting that nobody dials for.
      is_routed: whether there is an upstream that new clients may go to.
    """

    def __init__(
        self,
        pump: Pump,
        limits: Limits,
        tally: Tally,
        clock: Callable[[], float],
        questions: Questions,
        greeter: Greeter | None,
        *,
        deadline: Deadline,
        begin: Callable[[Session, float], None],
        on_over: Callable[[Session, Refusal | Ending], None] | None,
    ) -> None:
        self._pump, self._limits, self._tally, self._clock = pump, limits, tally, clock
        self._questions, self._greeter = questions, greeter
        self._deadline, self._begin, self._on_over = deadline, begin, on_over
        self.targets = Targets()
        self.waiting: dict[Session, None] = {}
        self.held: dict[Session, None] = {}
        self.is_routed = False
        self._ask_again_at_s = 0.0
        self._closes_at_s = NEVER

    def leave(self, until_s: float) -> None:
        """Nobody waits longer than this."""
        self._closes_at_s = until_s

    def tick(self, now_s: float) -> None:
        """Do what time has made due."""
        for session in list(self.waiting):
            self._look_at_clock(session, now_s)
        self._release(now_s)
        if now_s >= self._ask_again_at_s:
            self._ask_again_at_s = now_s + CONFIRM_AGAIN_S
            self._questions.forget()
            for session in self.waiting:
                self._question(session)

    def start_over(self, allowed: Iterable[UpstreamKey]) -> None:
        """Clients that were found an upstream which is not allowed any more begin again."""
        keys = frozenset(allowed)
        self._start_over([s for s in self.waiting if s.target is not None and s.key not in keys])

    def confirm(self, key: UpstreamKey, asked_at_s: float) -> None:
        """See `Gateway.confirm`."""
        self._questions.answered(key)
        now_s, target = self._clock(), self.targets.get(key)
        for session in list(self.waiting):
            if session.state is not UNCONFIRMED or session.target is not target:
                continue
            if session.touched_at_s <= asked_at_s:
                del self.waiting[session]
                self._begin(session, now_s)
            else:
                self._question(session)

    def welcome(self, session: Session, now_s: float) -> None:
        """Dial for him, unless others wait before him. Mostly that takes no time, and what he
        sends can wait until he is relayed; who waits longer is watched: he may leave."""
        if self.held or not self._maybe_dial(session, now_s):
            self._hold(session)
            self._bound_hold(session)

    def _hold(self, session: Session) -> None:
        self.held[session] = None
        self._watch(session)

    def _watch(self, session: Session) -> None:
        if not self._pump.is_watched(session.client):
            self._pump.watch_end(session.client)

    def _bound_hold(self, session: Session) -> None:
        if session.state is HELD and len(self.held) > self._limits.hold_max:
            self.refuse(session, Refusal.HOLD_FULL)

    def _look_at_clock(self, session: Session, now_s: float) -> None:
        if session not in self.waiting:
            return  # ended by what happened to one before it
        self._watch(session)
        is_greeting = session.state is GREETING
        if is_greeting and now_s >= session.arrived_at_s + self._limits.greeting_s:
            self.refuse(session, Refusal.GREETING_TIMEOUT)
            return
        if now_s >= self._closes_at_s:
            self.refuse(session, Refusal.SHUTDOWN)
            return
        if now_s >= session.arrived_at_s + self._limits.hold_s:
            self.refuse(session, self._why_still_waiting(session))
            return
        waits_until_s = session.touched_at_s + self._limits.connect_timeout_s
        if session.state is DIALLING and now_s >= waits_until_s:
            self._on_dial_failed(session)

    def _why_still_waiting(self, session: Session) -> Refusal:
        if session.state is UNCONFIRMED:
            return Refusal.UNCONFIRMED
        return Refusal.DIAL_FAILED if self.is_routed else Refusal.NO_ROUTE

    def refuse(self, session: Session, reason: Refusal) -> None:
        """Close at once, and count why."""
        self.held.pop(session, None)
        self._hang_up(session)
        session.move(REFUSED)
        del self.waiting[session]
        self._tally.refused[reason] += 1
        self._pump.close_end(session.client)
        session.is_open = False
        if self._on_over is not None:
            self._on_over(session, reason)
        session.let_go()

    # ---------------------------------------------------------------- dialling

    def _release(self, now_s: float) -> None:
        """Dial for held clients in order of arrival, while an upstream can be chosen."""
        if not self.held or not self.targets.has_choice(now_s) or self._deadline.closes_all:
            return
        for session in list(self.waiting):
            if session in self.held and not self._maybe_dial(session, now_s):
                return

    def _maybe_dial(self, session: Session, now_s: float) -> bool:
        """False when no upstream can be chosen now."""
        target = self.targets.choose(now_s)
        if target is not None:
            self._dial(session, target, now_s)
        return target is not None

    def _dial(self, session: Session, target: Target, now_s: float) -> None:
        try:
            sock, is_under_way = wire.dial(target.way)
        except OSError:  # ours, not the upstream's: give back the descriptor that we can
            self.targets.unanswered(target, now_s)
            self.refuse(session, Refusal.NO_DESCRIPTORS)
            return
        session.move(DIALLING)
        self.held.pop(session, None)
        session.target, session.upstream = target, End(sock.fileno(), session, sock)
        session.upstream.flags |= ARMED
        session.touched_at_s = now_s
        target.sessions += 1
        if session.secure is not None and self._greeter is not None:
            name = self._greeter.name_of(target.upstream.instance)
            session.secure.dialled(sock, self._greeter.upstream_context, name)
        self._pump.watch_end(session.upstream, FULL_MASK)
        if not is_under_way:
            self._on_dial_failed(session)

    def on_upstream(self, session: Session, event: int) -> None:
        """An event of the socket that was dialled for a client."""
        if session.state is DIALLING:
            self._on_dialled(session, event)
        elif event & GONE:
            self._on_dial_failed(session)
        elif session.upstream is not None:
            session.upstream.flags |= SPOKE

    def _on_dialled(self, session: Session, event: int) -> None:
        assert session.upstream is not None
        assert session.target is not None
        if event & GONE or wire.has_met_itself(session.upstream.sock, session.target.way):
            self._on_dial_failed(session)
            return
        if session.secure is not None and not self._has_shaken_hands(session):
            return
        if event & IN:
            session.upstream.flags |= SPOKE
        session.move(UNCONFIRMED)
        now_s = self._clock()
        self._tally.dials_s.add(now_s - session.touched_at_s)
        session.touched_at_s, session.term = now_s, self._tally.term
        self._question(session)
        if session.target.retry_at_s is not None:
            self.targets.answered(session.target, session.touched_at_s)
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
        self._tally.count_failed_dial(session.target.upstream.instance)
        self.targets.failed(session.target, self._clock())
        self._start_over([session])

    def _start_over(self, sessions: list[Session]) -> None:
        """Back to hold, and out again at once where an upstream can be chosen."""
        for session in sessions:
            self._hang_up(session)
            session.move(HELD)
            self._hold(session)
        self._release(self._clock())
        for session in sessions:
            self._bound_hold(session)

    def _hang_up(self, session: Session) -> None:
        if session.upstream is None or session.target is None:
            return
        self.targets.unanswered(session.target, self._clock())
        session.target.sessions -= 1
        self._pump.close_end(session.upstream)
        session.target = session.upstream = None

    def _question(self, session: Session) -> None:
        if session.state is UNCONFIRMED and session.target is not None:
            self._questions.add(session.target.key, session.target.upstream)
