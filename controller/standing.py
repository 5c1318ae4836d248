"""The pod's standing as a gateway: its Lease, and the ledger's head, both fresh.

Promise (S6): the Lease exists before the head is read, and the head is read before anything opens.
RW serves only for GATEWAY_SELF_FENCE after the older of the two was last good. What a newcomer gets
wrong: it is counted from when a request was sent, not from its answer; the leader's own clock, by
which it waits for us, may have begun to run at any moment in between. And a Lease that lapsed is a
new one: who listed it meanwhile did not wait for us, so the head has to be read again behind it.
"""

import math
from collections.abc import Awaitable, Callable

import structlog
import trio
import trio.lowlevel

from controller.errors import ControllerError, KubeForbidden
from controller.gateways import Gateways
from controller.ports import GatewayLeases
from statemachine.observations import GatewayFacts

log = structlog.get_logger(__name__)

CONFIRM_S = 4 / 3  # the head is read and the Lease renewed this often: a third of the fence
RETRY_S = 0.1  # after a Lease write or a read of the head failed
FORBIDDEN = (
    "{error}. Writes through this pod close {fence_s:g} s after its Lease was last written, and "
    "stay closed: the pod's Role has to allow create, get and update of leases (the chart's does)"
)


class Standing:
    """Owned by the gatekeeper.

    Args:
      facts: what the Lease is to say now.

    Attributes:
      trouble: why the Lease cannot be written; "" = it can.
    """

    def __init__(
        self,
        *,
        self_fence_s: float,
        leases: GatewayLeases,
        read_head: Callable[[], Awaitable[float | None]],
        gateways: Gateways,
        facts: Callable[[], GatewayFacts],
    ) -> None:
        self._self_fence_s, self._leases, self._read_head = self_fence_s, leases, read_head
        self._gateways, self._facts = gateways, facts
        self._may_open = False  # Lease created, then head read
        self._wake = trio.Event()
        self._published: GatewayFacts | None = None
        self._head_at_s = self._lease_at_s = -math.inf  # when the last good request was sent
        self._revived_at_s = -math.inf  # when the Lease was there again after it had lapsed
        self._revived = trio.Event()
        self.trouble = ""

    @property
    def may_open(self) -> bool:
        """Whether a route may be opened at all."""
        return self._may_open

    @property
    def head_at_s(self) -> float:
        """When the last quorum read of the ledger's head that was answered was sent."""
        return self._head_at_s

    @property
    def is_fenced(self) -> bool:
        """Whether RW has closed by itself, or was never open yet."""
        return trio.current_time() >= min(self._head_at_s, self._lease_at_s) + self._self_fence_s

    def publish(self) -> None:
        """Write the Lease soon, if it is to say something new."""
        if self._facts() != self._published:
            self._wake.set()

    async def obtain(self) -> None:
        """Return once the Lease exists."""
        while not await self._put():  # noqa: ASYNC110 - nobody tells when it is back
            await trio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Keep both fresh until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_head)
            nursery.start_soon(self._keep_lease)

    async def _keep_head(self) -> None:
        """Read the head again and again; RW serves only for so long after the last time."""
        while True:
            self._revived = trio.Event()
            asked_at_s = trio.current_time()
            sent_at_s = await self._read_head()
            if sent_at_s is not None and sent_at_s >= self._revived_at_s:
                self._may_open = True
                self._head_at_s = sent_at_s
                self._prolong()
                self._wake.set()
                # Counted from the question: an API server that is slow is not asked later for it.
                with trio.move_on_at(asked_at_s + min(CONFIRM_S, self._self_fence_s / 3)):
                    await self._revived.wait()
            else:
                await trio.sleep(RETRY_S)

    async def _keep_lease(self) -> None:
        while True:
            self._wake = trio.Event()
            pause_s = math.inf if await self._put() else RETRY_S
            with trio.move_on_after(pause_s):
                await self._wake.wait()
                continue
            await trio.lowlevel.checkpoint()

    async def _put(self) -> bool:
        facts, sent_at_s = self._facts(), trio.current_time()
        try:
            await self._leases.put(facts)
        except KubeForbidden as error:
            self._tell(FORBIDDEN.format(error=error, fence_s=self._self_fence_s))
            return False
        except ControllerError as error:
            self._tell(str(error))
            return False
        if trio.current_time() >= self._lease_at_s + self._self_fence_s:
            self._revive()
        self._published, self._lease_at_s = facts, sent_at_s
        self._prolong()
        self._tell("")
        return True

    def _revive(self) -> None:
        """A leader that listed the Lease while it was too old has not waited for us, and what it
        appended before is in no head that we have read so far (S6)."""
        self._revived_at_s, self._head_at_s = trio.current_time(), -math.inf
        self._revived.set()

    def _prolong(self) -> None:
        """RW serves only while both are fresh: the head that we know, and the Lease by which the
        leader counts how long it has to wait for us."""
        self._gateways.serve_until(min(self._head_at_s, self._lease_at_s) + self._self_fence_s)

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            (log.error if trouble else log.info)("gateway_lease", trouble=trouble or "none")
