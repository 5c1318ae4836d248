"""What the gatekeeper holds of its relay: the port of `controller.gateways`.

Promise: told things arrive in order; a mark is answered only after the relay has done all that was
told before it. A relay in a process of its own is a little late, and may be frozen, or go on while
its controller is frozen.
"""

from collections import deque
from collections.abc import Callable

import trio

from controller.gateways import Kind, Wish
from gateway import Route, Upstream

from .actors import Freezer
from .relay import Relay

PIPE_S = 0.0003


class SimGateways:
    """Of one life of one controller pod (`actor`)."""

    def __init__(
        self, relay: Relay, actor: str, freezer: Freezer, spawn: Callable[..., None]
    ) -> None:
        self.relay, self.actor = relay, actor
        self._freezer, self._spawn = freezer, spawn
        self._wishes: dict[Wish, None] = {}
        self._wished = trio.Event()
        self._told: deque[Callable[[], object]] = deque()
        self._is_carrying = False
        relay.on_wish = self._wish
        self.on_told: Callable[[str, Route], None] = lambda actor, route: None

    @property
    def is_apart(self) -> bool:
        """Whether the relay is a process of its own."""
        return self.relay.actor != self.actor

    # -- what the gatekeeper does

    def apply(self, kind: Kind, route: Route) -> int:
        """As Gateways.apply."""
        if kind is Kind.RW:
            self.on_told(self.actor, route)
        if not self.is_apart:
            return self.relay.apply(kind, route)
        self._tell(lambda: self.relay.apply(kind, route))
        return 0

    def serve_until(self, deadline_s: float) -> None:
        """As Gateways.serve_until."""
        self._tell(lambda: self.relay.serve_until(deadline_s))

    def confirm(self, wish: Wish, asked_at_s: float) -> None:
        """As Gateways.confirm."""
        self._tell(lambda: self.relay.confirm(wish.kind, wish.upstream, asked_at_s))

    def mark(self, number: int, tell: Callable[[int], None]) -> None:
        """As Gateways.mark."""
        if not self.is_apart:
            tell(number)
            return
        self._tell(lambda: self._spawn(self._answer, number, tell))

    async def wait_wishes(self) -> tuple[Wish, ...]:
        """As Gateways.wait_wishes."""
        while not self._wishes:
            self._wished = trio.Event()
            await self._wished.wait()
        wishes = tuple(self._wishes)
        self._wishes.clear()
        return wishes

    # -- the pipe between the two

    def _tell(self, do: Callable[[], object]) -> None:
        if not self.is_apart:
            do()
            return
        self._told.append(do)
        if not self._is_carrying:
            self._is_carrying = True
            self._spawn(self._carry)

    async def _carry(self) -> None:
        while self._told:
            await trio.sleep(PIPE_S)
            await self._freezer.wait_thawed(self.relay.actor)
            if self.relay.is_dead:
                self._told.clear()
                break
            self._told.popleft()()
        self._is_carrying = False

    async def _answer(self, number: int, tell: Callable[[int], None]) -> None:
        await trio.sleep(PIPE_S)
        await self._freezer.wait_thawed(self.actor)
        if not self.relay.is_dead:
            tell(number)

    def _wish(self, kind: Kind, upstream: Upstream) -> None:
        self._wishes[Wish(kind, upstream)] = None
        self._wished.set()
