"""The gateway as its caller sees it, and the one task that drives it.

The epoll table is nested: its own descriptor is waited for in trio, then a bounded number of
batches run, then everybody else has a turn. All state changes are plain functions called from the
same thread; none of them awaits, so a caller's check and act are never torn apart.
"""

from collections.abc import Callable

import trio

from gateway import wire
from gateway.counters import Counters
from gateway.deadline import FENCED_FROM_THE_START
from gateway.desk import Desk
from gateway.messages import Over
from gateway.reasons import Ending, Refusal
from gateway.route import Kind, Limits, Route, Upstream
from gateway.session import Session
from gateway.telling import told_of

BATCHES_MAX = 8  # before other tasks have a turn; one of 256 small messages takes about 2 ms


def _teller(
    kind: Kind, on_over: Callable[[Over], None], clock: Callable[[], float]
) -> Callable[[Session, Refusal | Ending], None]:
    return lambda session, reason: on_over(told_of(kind, session, reason, clock()))


class Gateway:
    """Relays TCP sessions to the upstreams of the present route.

    It is fenced until `serve_until` is first called: nobody has confirmed yet that it may answer
    clients. Of a RO gateway that concerns upstreams which may become main, nobody else.

    Args:
      kind: RW or RO; decides what a new route lets live.
      limits: see `Limits`.
      need_confirmation: called with an upstream that has sessions waiting for the verifier, or
        that has ended one by itself, at most once in a batch, and again every 250 ms while any
        waits. Must not block. May call `confirm` and `apply`.
      on_settled: called after a drain, when the last of its sessions has ended.
      on_over: told of each client that was refused, or whose session is over; None: of none.
      on_trouble: a sentence for people.
      clock: monotonic seconds; every time handed in is of this clock.
    """

    def __init__(
        self,
        kind: Kind,
        limits: Limits,
        *,
        need_confirmation: Callable[[Upstream], None],
        on_settled: Callable[[], None] = lambda: None,
        on_over: Callable[[Over], None] | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._on_settled = on_settled
        self._desk = Desk(
            kind,
            limits,
            need_confirmation=need_confirmation,
            clock=clock,
            on_over=None if on_over is None else _teller(kind, on_over, clock),
            on_trouble=on_trouble,
        )
        self._desk.deadline.set(FENCED_FROM_THE_START)

    async def run(
        self,
        host: str,
        port: int,
        *,
        task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and relay until cancelled; reports the bound (host, port). Runs once.

        Raises:
          OSError: the address cannot be bound.
        Cancellation: listener, sessions, pipes and the epoll table are closed.
        """
        try:
            listener = wire.listen(host, port)
            self._desk.door.open(listener)
            bound_host, bound_port, *_ = listener.getsockname()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                task_status.started((bound_host, bound_port))
                await self._relay()
        finally:
            self._desk.close()

    async def _relay(self) -> None:
        pump = self._desk.pump
        while True:
            if pump.has_unfinished:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(pump)
            for _ in range(BATCHES_MAX):
                if not self._desk.step() and not pump.has_unfinished:
                    break

    async def _keep_time(self) -> None:
        while True:
            await trio.sleep(self._desk.tick_s)
            was_settled = self._desk.is_settled
            self._desk.tick()
            if self._desk.is_settled and not was_settled:
                self._on_settled()

    def apply(self, route: Route) -> int:
        """Follow a route from now on; returns how many sessions were cut for it.

        Invariant: when it returns, every session that the route does not allow has been reset and
        what the kernel held for its upstream is discarded. Allowed to live on: for RW the same
        term and the same incarnation; for RO an incarnation that is still among the upstreams.
        Clients that were being dialled elsewhere start over within their time.

        Raises:
          StaleRoute: its term is older than the present one; nothing changed.
        """
        return self._desk.apply(route)

    @property
    def is_settled(self) -> bool:
        """Whether every session that the present route does not allow has ended."""
        return self._desk.is_settled

    def confirm(self, upstream: Upstream, asked_at_s: float) -> None:
        """The verifier's kept connection to this incarnation answered a question sent at
        `asked_at_s`: what was connected before that is relayed from now on."""
        self._desk.confirm(upstream.key, asked_at_s)

    def serve_until(self, deadline_s: float | None) -> None:
        """Set the self-fence: from then on no byte goes to a client, every session is cut and new
        clients are refused, until a later deadline is set. RO does so with upstreams that may
        become main, and sends their clients to the others. None: no deadline."""
        self._desk.serve_until(deadline_s)

    def stop_accepting(self) -> None:
        """Close the listener; sessions go on."""
        self._desk.door.close()

    async def leave(self, until_s: float) -> None:
        """Take clients for as long as some come, for half of the time at most, and return once
        nobody is served any more. Sessions may end by themselves; in the last second those between
        two requests are ended, at `until_s` the rest.

        Cancellation: the listener stays closed; sessions go on until `run` is cancelled.
        """
        self._desk.leave(until_s)
        while not self._desk.has_left:  # noqa: ASYNC110 - few looks, and soon over
            await trio.sleep(self._desk.tick_s)

    @property
    def counters(self) -> Counters:
        """A frozen picture of this moment."""
        return self._desk.counters()

    @property
    def listening(self) -> bool:
        """Whether new clients can connect."""
        return self._desk.door.is_open
