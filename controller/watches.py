"""What a pod hears of the API server: watches of pods, gateway Leases, ledger and requests, and the
quorum read of the ledger's head. All of it goes to the loop; what fails is told once.

What a newcomer gets wrong: a watch shows what was. Only the head that was read counts as known
(S6), and only once the loop has folded it.
"""

from functools import partial

import structlog
import trio

from controller.errors import ControllerError
from controller.loop import HeadRead, LedgerSeen, Loop
from controller.ports import Informers, LedgerStore, Requests, StoredLedger
from statemachine.observations import (
    GatewayFacts,
    GatewaysListed,
    PodFacts,
    PodsListed,
    Request,
    RequestsListed,
)

log = structlog.get_logger(__name__)


class Watches:
    """One for each pod; `start` before the loop's first turn.

    Attributes:
      troubles: what keeps this pod from the API server, by what it was about; "" = fine.
    """

    def __init__(
        self,
        loop: Loop,
        informers: Informers,
        requests: Requests | None,
        store: LedgerStore,
        patience_s: float,
    ) -> None:
        self._loop, self._informers, self._requests = loop, informers, requests
        self._store, self._patience_s = store, patience_s
        self.troubles: dict[str, str] = {}

    def start(self, nursery: trio.Nursery) -> None:
        """Watch in there, until it is cancelled."""
        for watch in (
            self._watch_pods,
            self._watch_gateways,
            self._watch_ledger,
            self._watch_requests,
        ):
            nursery.start_soon(watch)

    def tell(self, what: str, text: str) -> None:
        """Note a trouble, "" = fine, and log it if it is news."""
        if self.troubles.get(what, "") == text:
            return
        self.troubles[what] = text
        log.error("kube_trouble", what=what, text=text) if text else log.info("kube_ok", what=what)

    async def read_head(self) -> float | None:
        """A quorum read, folded by the loop: when it was sent; None if it failed."""
        sent_at_s, known = trio.current_time(), self._loop.chronicle.ledger
        try:
            stored = await self._store.read()
        except ControllerError as error:
            self.tell("head of the ledger", str(error))
            return None
        self.tell("head of the ledger", "")
        folded = trio.Event()
        self._loop.report(HeadRead(stored, known, folded.set))
        with trio.move_on_after(self._patience_s):
            await folded.wait()
        # A head that does not go on from ours confirms nothing: writes close in time, our Lease
        # stops moving, and the leader does not wait for us for ever (S6, S16). Nor does one that
        # was not there, even when a watch has shown entries meanwhile, so that nobody can tell
        # whether it was deleted before or after them.
        chronicle = self._loop.chronicle
        is_there = stored is not None or not chronicle.ledger.seq
        is_confirmed = folded.is_set() and is_there and not chronicle.trouble
        return sent_at_s if is_confirmed else None

    async def _watch_pods(self) -> None:
        async def listed(
            instances: tuple[PodFacts, ...], controllers: tuple[PodFacts, ...]
        ) -> None:
            self._loop.report(PodsListed(trio.current_time(), instances, controllers))

        await self._informers.watch_pods(listed, partial(self.tell, "pods"))

    async def _watch_gateways(self) -> None:
        async def listed(gateways: tuple[GatewayFacts, ...]) -> None:
            self._loop.report(GatewaysListed(trio.current_time(), gateways))

        await self._informers.watch_gateways(listed, partial(self.tell, "gateways"))

    async def _watch_ledger(self) -> None:
        async def seen(stored: StoredLedger | None) -> None:
            self._loop.report(LedgerSeen(stored))

        await self._informers.watch_ledger(seen, partial(self.tell, "ledger"))

    async def _watch_requests(self) -> None:
        async def listed(requests: tuple[Request, ...]) -> None:
            self._loop.report(RequestsListed(trio.current_time(), requests))

        if self._requests is not None:
            await self._requests.watch(listed, partial(self.tell, "requests"))
