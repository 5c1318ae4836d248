"""How a controller pod goes: first it stops leading and being ready, last it ends.

Promise: after SIGTERM nobody is sent here, sessions end by themselves until the deadline, and the
process ends as soon as the last one has. Meanwhile the pod goes on confirming the ledger's head and
its gateway Lease, so routes are followed and cuts acknowledged as ever (S6). A second signal, or
SIGINT, ends it at once. What a newcomer gets wrong: leading is given up first, not last: another
pod may decide while this one drains, and a new leader alone cuts nobody.
"""

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger(__name__)


class Departure:
    """Owned by the composition root.

    Args:
      scope: of the whole process; cancelled at the end.
    """

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._asked = trio.Event()
        self._is_awaited = False

    async def watch_signals(self) -> None:
        """Until the process is to end."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("shutdown", signal=signal.Signals(number).name)
                if number == signal.SIGINT or self._asked.is_set() or not self._is_awaited:
                    self._scope.cancel()
                    return
                self._asked.set()

    async def carry_out(
        self, step_down: Callable[[], None], leave: Callable[[], Awaitable[None]]
    ) -> None:
        """Wait to be asked; then step down, leave, and end the process."""
        self._is_awaited = True
        await self._asked.wait()
        step_down()
        await leave()
        self._scope.cancel()
