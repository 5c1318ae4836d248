"""The gateways of one pod as one thing, each of which settings may switch off.

They run in relay processes of their own (`workers` above 0), or in this process (0). Either way
`mark` tells when every session that the routes so far forbid has ended: nothing may be
acknowledged before (S6).
"""

from collections.abc import Callable, Mapping

import structlog
import trio
from attrs import evolve, frozen

from gateway import Counters, Gateway, Kind, Limits, Route, Upstream, Workers
from gateway.messages import Over

__all__ = ["Gateways", "Kind", "Wish"]

log = structlog.get_logger(__name__)

STILL_TAKES_S = 1.0  # from "not ready" until the listeners close: endpoints take a moment to follow


@frozen
class Wish:
    """A gateway dialled sessions to this upstream: they wait until it answers on the verifier's
    kept connection."""

    kind: Kind
    upstream: Upstream


def _say(text: str) -> None:
    log.error("relay", text=text)


def _log_session(over: Over) -> None:
    log.info(
        "session",
        gateway=over.kind.value,
        peer=over.peer,
        instance=over.instance,
        upstream=over.upstream,
        term=over.term,
        reason=over.reason,
        bytes_up=over.bytes_up,
        bytes_down=over.bytes_down,
        duration_s=round(over.duration_s, 3),
    )


class Gateways:
    """Owned by the composition root; the gatekeeper commands it.

    Args:
      kinds: the gateways that are switched on.
      workers: relay processes; 0: the relay is a task of this process.
      logs_sessions: one line for each client that was refused or served.
    """

    def __init__(
        self, kinds: Mapping[Kind, Limits], workers: int = 0, *, logs_sessions: bool = False
    ) -> None:
        self._kinds = kinds
        self._wishes: dict[Wish, None] = {}
        self._wished = trio.Event()
        self._routes: dict[Kind, Route] = {}
        self._marks: list[tuple[int, Callable[[int], None]]] = []
        self._is_leaving = False
        self.bound: dict[str, str] = {}  # kind -> "host:port", once it is bound
        self.routed_at_s: dict[str, float] = {}  # kind -> since when it follows its present route
        self._on_over = _log_session if logs_sessions else None
        self.workers: Workers | None = None
        self.by_kind: dict[Kind, Gateway] = {}
        if workers:
            self.workers = Workers(
                kinds,
                workers,
                on_need=self._on_need,
                on_marked=self._on_marked,
                on_over=self._on_over,
                on_trouble=_say,
            )
        else:
            self.by_kind = {kind: self._make(kind, limits) for kind, limits in kinds.items()}

    def _make(self, kind: Kind, limits: Limits) -> Gateway:
        return Gateway(
            kind,
            limits,
            need_confirmation=lambda upstream: self._wish(Wish(kind, upstream)),
            on_settled=self._on_settled,
            on_over=self._on_over,
            on_trouble=_say,
        )

    async def run(
        self,
        where: Mapping[Kind, tuple[str, int]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and relay until cancelled; reports when all listen. Runs once.

        Raises:
          OSError: an address cannot be bound.
        Cancellation: all sessions end, all processes are gone.
        """
        async with trio.open_nursery() as nursery:
            if self.workers is not None:
                bound = await nursery.start(self.workers.run, where)
            else:
                bound = {
                    kind: await nursery.start(gateway.run, *where[kind])
                    for kind, gateway in self.by_kind.items()
                }
            for kind, (host, port) in bound.items():
                self.bound[kind.value] = f"{host}:{port}"
            task_status.started()

    async def leave(self, drain_s: float) -> None:
        """Say at once that nobody should come; take clients for a last moment all the same, since
        those who send them hear of it late; then let sessions end, for `drain_s` seconds in all.
        Returns when nobody is served any more. What a route forbids is cut meanwhile as ever."""
        self._is_leaving = True
        until_s = trio.current_time() + drain_s
        log.info("leaving", sessions=self.sessions, drain_s=drain_s)
        await trio.sleep(min(STILL_TAKES_S, drain_s / 2))
        if self.workers is not None:
            await self.workers.leave(until_s)
        else:
            async with trio.open_nursery() as nursery:
                for gateway in self.by_kind.values():
                    nursery.start_soon(gateway.leave, until_s)
        log.info("left", ended={kind: dict(c.ended) for kind, c in self.counters.items()})

    # -- what the gatekeeper tells

    def apply(self, kind: Kind, route: Route) -> int:
        """As Gateway.apply; a gateway that is switched off has nothing to cut. With workers the
        cut is under way when this returns: see `mark`."""
        if kind not in self._kinds:
            return 0
        self._routes[kind] = route
        self.routed_at_s[kind.value] = trio.current_time()
        if self.workers is not None:
            self.workers.apply(kind, route)
            return 0
        return self.by_kind[kind].apply(route)

    def mark(self, number: int, tell: Callable[[int], None]) -> None:
        """Call `tell(number)` once every session that the routes so far do not allow has ended,
        drained ones included: at once, where that is so. Numbers only grow; of several marks
        that are reached together only the highest is told."""
        self._marks.append((number, tell))
        if self.workers is not None:
            self.workers.mark(number)
        else:
            self._on_settled()

    def serve_until(self, deadline_s: float) -> None:
        """Move the self-fence: of RW, and of RO's sessions with who may become main (S14)."""
        for kind in self._kinds:
            if self.workers is not None:
                self.workers.serve_until(kind, deadline_s)
            else:
                self.by_kind[kind].serve_until(deadline_s)

    def confirm(self, wish: Wish, asked_at_s: float) -> None:
        """As Gateway.confirm."""
        if self.workers is not None:
            self.workers.confirm(wish.kind, wish.upstream, asked_at_s)
        else:
            self.by_kind[wish.kind].confirm(wish.upstream, asked_at_s)

    async def wait_wishes(self) -> tuple[Wish, ...]:
        """The wishes since the last call, at least one; each wish once."""
        while not self._wishes:
            self._wished = trio.Event()
            await self._wished.wait()
        wishes = tuple(self._wishes)
        self._wishes.clear()
        return wishes

    # -- what they counted

    @property
    def counters(self) -> dict[str, Counters]:
        """What each gateway counted, by its kind: "rw", "ro"."""
        return {kind.value: self._count(kind) for kind in self._kinds}

    def _count(self, kind: Kind) -> Counters:
        if self.workers is None:
            return self.by_kind[kind].counters
        counters = self.workers.counters(kind)
        route = self._routes.get(kind)
        return evolve(counters, term=None if route is None else route.term)

    @property
    def listening(self) -> dict[str, str]:
        """Where clients should be sent now, by kind: nowhere while no relay process serves, and
        while this pod leaves."""
        if self._is_leaving:
            return {}
        if self.workers is not None and not self.workers.is_serving:
            return {}
        return self.bound

    @property
    def sessions(self) -> int:
        """Sessions open now."""
        return sum(counters.active for counters in self.counters.values())

    # -- what they say

    def _wish(self, wish: Wish) -> None:
        self._wishes[wish] = None
        self._wished.set()

    def _on_need(self, kind: Kind, instance: str, incarnation: int) -> None:
        route = self._routes.get(kind)
        for upstream in route.upstreams if route is not None else ():
            if upstream.key == (instance, incarnation):
                self._wish(Wish(kind, upstream))

    def _on_settled(self) -> None:
        if all(gateway.is_settled for gateway in self.by_kind.values()):
            self._on_marked(max((number for number, _ in self._marks), default=0))

    def _on_marked(self, reached: int) -> None:
        done = [mark for mark in self._marks if mark[0] <= reached]
        self._marks = [mark for mark in self._marks if mark[0] > reached]
        if done:
            number, tell = done[-1]
            tell(number)
