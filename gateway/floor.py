"""The sessions that are being relayed: cut, drained, swept for idleness, and counted at their end.

Promise: a cut has ended every session when it returns; a drain ends a session between two of its
requests, or at the deadline; a leaving gateway lets sessions end by themselves for as long as it
can. What a newcomer gets wrong: bytes are what tells activity. Sweeps compare totals, so that a
message pays for none of this.
"""

from collections import deque
from collections.abc import Callable, Collection

from gateway import wire
from gateway.counters import Relayed, Tally
from gateway.drain import Drain
from gateway.link import NEVER, Fence, Link
from gateway.pump import Pump
from gateway.reasons import Ending
from gateway.route import Upstream
from gateway.session import ENDED, RELAYING, Session

IDLE_SWEEPS = 10  # in one idle timeout: a session may outlive it by a tenth
BY_ROUTE = (Ending.CUT, Ending.DRAINED)
BY_UPSTREAM = (Ending.UPSTREAM_CLOSED, Ending.UPSTREAM_ERROR)
LAST_CALL_S = 1.0  # before a leaving gateway's deadline: who is between two requests goes first
KEEP_AFTER_S = 1.0  # a session this old has its upstream's socket watched by the kernel


class Floor:
    """Owned by the desk.

    Args:
      clock: monotonic seconds.
      idle_timeout_s: see Limits.
      on_broken: told about a session whose upstream ended it.
      fence_of: what answers of an upstream have to meet.
    """

    def __init__(
        self,
        pump: Pump,
        tally: Tally,
        clock: Callable[[], float],
        idle_timeout_s: float | None,
        on_broken: Callable[[Session], None],
        on_over: Callable[[Session, Ending], None] | None,
        fence_of: Callable[[Upstream], Fence | None],
    ) -> None:
        self._pump, self._tally, self._clock = pump, tally, clock
        self._idle_timeout_s, self._on_broken, self._on_over = idle_timeout_s, on_broken, on_over
        self._fence_of = fence_of
        self.sessions: dict[Session, None] = {}  # a set of thousands is four times as large
        self._young: deque[Session] = deque()
        self._sweep_at_s = 0.0
        self._draining = Drain()  # sessions that the route does not allow any more
        self._leaving = Drain()  # all, in the last moment of a gateway that leaves
        self._last_call_s = NEVER

    @property
    def is_draining(self) -> bool:
        """Whether a session of an older route still goes on."""
        return bool(self._draining)

    @property
    def is_last_call(self) -> bool:
        """Whether the last sessions of a leaving gateway are looked at closely."""
        return bool(self._leaving)

    @property
    def running(self) -> Relayed:
        """Of the sessions that run now."""
        relayed = Relayed()
        for session in self.sessions:
            assert session.target is not None
            instance = session.target.upstream.instance
            relayed.add(instance, session.bytes_up, session.bytes_down)
        return relayed

    def begin(self, session: Session, now_s: float) -> None:
        """Relay it from now on."""
        session.move(RELAYING)
        self.sessions[session] = None
        session.touched_at_s = now_s
        self._tally.waits_s.add(now_s - session.arrived_at_s)
        self._young.append(session)
        assert session.target is not None
        session.ends[1].fence = self._fence_of(session.target.upstream)
        if session.secure is not None:
            session.secure.begin()
        else:
            self._pump.join(session)

    def cut(self, sessions: Collection[Session], reason: Ending) -> int:
        """End these now; returns how many there were."""
        links: list[Link] = list(sessions)
        self._pump.cut(links, reason)
        if reason in BY_ROUTE:
            self._tally.count_cut(len(links), is_drained=reason is Ending.DRAINED)
        return len(links)

    def keep_fences(self, upstreams: Collection[Upstream], *, is_due: bool) -> None:
        """These are the present ones: the answers of others than before may have to meet the fence
        now. With `is_due` sessions with them end."""
        fences = {upstream.key: self._fence_of(upstream) for upstream in upstreams}
        fenced = []
        for session in self.sessions:
            _, upstream = session.ends
            if session.key in fences:
                upstream.fence = fences[session.key]
            if upstream.fence is not None:
                fenced.append(session)
        if is_due:
            self.cut(fenced, Ending.SELF_FENCE)

    def drain(self, sessions: Collection[Session], until_s: float) -> None:
        """End each of these between two requests, the rest at `until_s`. Replaces an earlier
        drain: whoever is not named any more goes on."""
        now_s = self._clock()
        self._draining.begin(sessions, until_s, now_s)
        self._go_on_draining(now_s)

    def leave(self, until_s: float) -> None:
        """Let all end by themselves; in the last second end each between two requests, the rest
        at `until_s`."""
        self._leaving.until_s = until_s
        self._last_call_s = until_s - LAST_CALL_S

    def tick(self, now_s: float) -> None:
        """Do what time has made due."""
        while self._young and now_s >= self._young[0].touched_at_s + KEEP_AFTER_S:
            session = self._young.popleft()
            if session.is_open and session.upstream is not None:
                wire.keep(session.upstream.sock)
        if self._draining:
            self._go_on_draining(now_s)
        if now_s >= self._last_call_s:
            self._go_on_leaving(now_s)
        self._sweep(now_s)

    def _go_on_draining(self, now_s: float) -> None:
        if now_s >= self._draining.until_s:
            self.cut(self._draining.take_rest(), Ending.CUT)
        else:
            self.cut(self._draining.quiet(now_s), Ending.DRAINED)

    def _go_on_leaving(self, now_s: float) -> None:
        until_s = self._leaving.until_s
        if now_s >= until_s:
            self.cut(tuple(self.sessions), Ending.SHUTDOWN)
            return
        if not self._leaving:
            self._leaving.begin(self.sessions, until_s, now_s)
        self.cut(self._leaving.quiet(now_s), Ending.SHUTDOWN)

    def _sweep(self, now_s: float) -> None:
        timeout_s = self._idle_timeout_s
        if timeout_s is None or now_s < self._sweep_at_s:
            return
        self._sweep_at_s = now_s + timeout_s / IDLE_SWEEPS
        idle = []
        for session in self.sessions:
            if session.delivered_bytes != session.seen_bytes:
                session.seen_bytes = session.delivered_bytes
                session.touched_at_s = now_s
            elif now_s >= session.touched_at_s + timeout_s:
                idle.append(session)
        self.cut(idle, Ending.IDLE_TIMEOUT)

    def over(self, session: Session, reason: Ending) -> None:
        """Both sockets of a session are closed."""
        assert session.target is not None
        session.move(ENDED)
        self.sessions.pop(session, None)
        self._draining.discard(session)
        self._leaving.discard(session)
        session.target.sessions -= 1
        tally = self._tally
        tally.ended[reason] += 1
        tally.bytes.add(session.target.upstream.instance, session.bytes_up, session.bytes_down)
        tally.durations_s.add(self._clock() - session.arrived_at_s)
        if self._on_over is not None:
            self._on_over(session, reason)
        if reason in BY_UPSTREAM:
            # a process that dies closes all its sessions long before the next probe of it
            self._on_broken(session)
