"""The port MemgraphInstances: one BoltInstance for each instance, at its present address.

Promise: after `running` is left no connection is open. What a newcomer gets wrong: an address that
changes ends the old one's connections, also under a command that still runs there, whose outcome is
unknown then; the pod it was sent to is gone anyway.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from controller.memgraph.access import MemgraphAccess
from controller.memgraph.instance import BoltInstance
from statemachine.ids import Instance, Term


class BoltInstances:
    """Must run inside the asyncio loop of trio-asyncio, which the composition root opens."""

    def __init__(
        self,
        access: MemgraphAccess,
        still_reigning: Callable[[], bool],
        present_term: Callable[[], Term | None] = lambda: None,
    ) -> None:
        self._access, self._still_reigning = access, still_reigning
        self._present_term = present_term
        self._present: dict[Instance, BoltInstance] = {}
        self._nursery: trio.Nursery | None = None  # its own, to close old addresses from `at`

    def at(self, instance: Instance, host: str) -> BoltInstance:
        """The instance at this address. An empty host is allowed here: every method raises
        MemgraphUnreachable then, without a socket (scenario 6)."""
        assert self._nursery is not None, "at() works inside running() alone"
        present = self._present.get(instance)
        if present is not None and present.host == host:
            return present
        if present is not None:
            self._nursery.start_soon(present.aclose)
        made = BoltInstance(instance, host, self._access, self._still_reigning, self._present_term)
        self._present[instance] = made
        return made

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside, `at` works; on leaving, everything is closed, also when cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                for made in self._present.values():
                    nursery.start_soon(made.aclose)
                self._present.clear()
