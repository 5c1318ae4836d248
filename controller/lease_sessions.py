"""The gateway Lease tells how many sessions its pod carries, so that every pod can show all.

Promise: the count is of the moment of the write, and never the reason for one: a Lease that moved
with every client would cost a write for each. No decision looks at it.
"""

from collections.abc import Callable

from attrs import evolve

from controller.ports import GatewayLeases
from statemachine.observations import GatewayFacts


class LeasesWithSessions:
    """`GatewayLeases` around another one."""

    def __init__(self, inner: GatewayLeases, sessions: Callable[[], int]) -> None:
        self._inner, self._sessions = inner, sessions

    async def put(self, facts: GatewayFacts) -> None:
        """See `GatewayLeases.put`."""
        await self._inner.put(evolve(facts, sessions=self._sessions()))

    async def list_quorum(self) -> tuple[GatewayFacts, ...]:
        """See `GatewayLeases.list_quorum`."""
        return await self._inner.list_quorum()
