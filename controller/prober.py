"""Asks each instance, on a kept and on fresh connections, how it is; every pod does, leader or not.

Promise: each answer and each failure becomes one observation with the time when it was asked. An
instance counts as answering only while both ways work: a partition may spare connections that
exist, or new ones (scenario 11). A pod without IP is never dialled (scenario 6).
"""

from collections.abc import Callable

import trio

from controller.errors import (
    ControllerError,
    MemgraphAuthFailed,
    MemgraphRefused,
    MemgraphUnreachable,
    MemgraphUnreadable,
)
from controller.ports import MemgraphInstance, ProbeAnswer
from statemachine.ids import Instance
from statemachine.observations import Failure, Observation, ProbeAnswered, ProbeFailed

FRESH_INTERVAL_S = 1.0  # a fresh dial costs 3 ms; the kept one is asked every PROBE_INTERVAL
HURRY_S = 0.05  # pause between probes while something is under way


class Prober:
    """One task for one instance. `prod` makes it ask at once."""

    def __init__(
        self,
        instance: Instance,
        *,
        reach: Callable[[Instance], MemgraphInstance | None],
        report: Callable[[Observation], None],
        interval_s: float,
        in_hurry: Callable[[], bool],
        count_nodes: Callable[[Instance], bool],
    ) -> None:
        self.instance = instance
        self._reach, self._report, self._interval_s = reach, report, interval_s
        self._in_hurry, self._count_nodes = in_hurry, count_nodes
        self._prodded = trio.Event()
        self._fresh_due_s = 0.0

    def prod(self) -> None:
        """Ask again as soon as the present question is answered."""
        self._prodded.set()

    async def run(self) -> None:
        """Probes until cancelled."""
        while True:
            self._prodded = trio.Event()
            self._report(await self._probe())
            pause_s = HURRY_S if self._in_hurry() else self._interval_s
            with trio.move_on_after(pause_s):
                await self._prodded.wait()

    async def _probe(self) -> ProbeAnswered | ProbeFailed:
        asked_s = trio.current_time()
        reached = self._reach(self.instance)
        if reached is None:
            return self._failed(asked_s, Failure.NO_ADDRESS, "the pod has no IP")
        try:
            answer = await reached.probe(count_nodes=self._count_nodes(self.instance))
            if trio.current_time() >= self._fresh_due_s:
                await reached.probe_fresh()
                self._fresh_due_s = trio.current_time() + FRESH_INTERVAL_S
        except ControllerError as error:
            self._fresh_due_s = 0.0  # answering again takes both ways
            return self._failed(asked_s, failure_of(error), str(error))
        return self._answered(asked_s, answer)

    def _failed(self, asked_s: float, failure: Failure, text: str) -> ProbeFailed:
        return ProbeFailed(self.instance, asked_s, trio.current_time(), failure, text)

    def _answered(self, asked_s: float, answer: ProbeAnswer) -> ProbeAnswered:
        return ProbeAnswered(
            instance=self.instance,
            asked_at_s=asked_s,
            at_s=trio.current_time(),
            incarnation=answer.incarnation,
            role=answer.role,
            version=answer.version,
            storage_uuid=answer.storage_uuid,
            rows=answer.rows,
            node_count=answer.node_count,
        )


def failure_of(error: ControllerError) -> Failure:
    """What a failed probe proves."""
    match error:
        case MemgraphUnreachable():
            return Failure.REFUSED if error.refused else Failure.SILENT
        case MemgraphAuthFailed():
            return Failure.AUTH
        case MemgraphUnreadable():
            return Failure.UNSUPPORTED
        case MemgraphRefused():
            return Failure.ERROR
        case _:
            raise error
