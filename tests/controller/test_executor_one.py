"""Commands are carried out one at a time on each instance, and how each ended is told (S9)."""

from typing import Any

import pytest
import trio
from attrs import define, field

from controller.errors import (
    CommandOutcomeUnknown,
    KubeUnavailable,
    MemgraphRefused,
    MemgraphUnreachable,
)
from controller.executor import COMMAND_TIMEOUT_S, Executor
from statemachine.commands import Demote, Promote
from statemachine.ids import Incarnation, Instance, Term
from statemachine.observations import CommandEnded, Observation, Outcome

A, B = Instance("memgraph-0"), Instance("memgraph-1")
DEMOTE, PROMOTE = Demote(A, Term(4)), Promote(A, Term(4))
SLOW_S = 3.0


@define
class Bench:
    """An executor, what it begins on instances, and what it tells."""

    fate: Exception | None = None
    takes_s: float = SLOW_S
    begun: list[Any] = field(factory=list)
    told: list[Observation] = field(factory=list)

    async def start(self, nursery: trio.Nursery) -> Executor:
        """Instances that take their time."""
        executor = Executor(
            memgraph=lambda instance: self,  # type: ignore[arg-type, return-value]
            gateways=None,  # type: ignore[arg-type]
            pods=None,  # type: ignore[arg-type]
            report=self.told.append,
        )
        await nursery.start(executor.run)
        return executor

    async def demote(self, command: Any) -> Incarnation:
        """Ends as the test wants."""
        self.begun.append(command)
        await trio.sleep(self.takes_s)
        if self.fate is not None:
            raise self.fate
        return Incarnation(7)

    promote = demote

    @property
    def ends(self) -> list[CommandEnded]:
        """What was told of ends."""
        return [o for o in self.told if isinstance(o, CommandEnded)]


async def test_an_instance_is_told_one_thing_at_a_time(autojump_clock: Any, nursery: Any) -> None:
    """A second role command while the first is under way may overtake it, however often it is
    owed; another instance does not wait."""
    bench = Bench()
    executor = await bench.start(nursery)
    executor.owe((DEMOTE,))
    await trio.sleep(SLOW_S / 2)
    for _ in range(3):
        executor.owe((DEMOTE, PROMOTE, Demote(B, Term(4))))
    await trio.sleep(SLOW_S / 4)
    assert bench.begun == [DEMOTE, Demote(B, Term(4))]
    await trio.sleep(SLOW_S)
    executor.owe((PROMOTE,))
    await trio.sleep(SLOW_S * 1.1)
    assert bench.begun == [DEMOTE, Demote(B, Term(4)), PROMOTE]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [
        (None, Outcome.DONE),
        (CommandOutcomeUnknown("no answer"), Outcome.UNKNOWN),
        (MemgraphUnreachable("refused", refused=True), Outcome.UNREACHABLE),
        (KubeUnavailable("down"), Outcome.UNREACHABLE),
        (MemgraphRefused("SET", "code", "Couldn't set role to replica!"), Outcome.REFUSED),
    ],
    ids=str,
)
async def test_how_a_command_ended(
    autojump_clock: Any, nursery: Any, fate: Exception | None, outcome: Outcome
) -> None:
    """A lost answer is neither done nor refused: it may have been carried out, and may yet be."""
    bench = Bench(fate)
    executor = await bench.start(nursery)
    executor.owe((DEMOTE,))
    await trio.sleep(SLOW_S * 1.1)
    assert [(e.outcome, e.command) for e in bench.ends] == [(outcome, DEMOTE)]
    assert (bench.ends[0].incarnation == Incarnation(7)) is (fate is None)
    nursery.cancel_scope.cancel()


async def test_a_command_without_an_end_is_unknown(autojump_clock: Any, nursery: Any) -> None:
    """It is cut off after its longest time; what it did nobody knows."""
    bench = Bench(takes_s=10 * COMMAND_TIMEOUT_S)
    executor = await bench.start(nursery)
    executor.owe((DEMOTE,))
    await trio.sleep(COMMAND_TIMEOUT_S + 1)
    assert [e.outcome for e in bench.ends] == [Outcome.UNKNOWN]
    nursery.cancel_scope.cancel()


async def test_what_failed_waits_before_it_is_tried_again(
    autojump_clock: Any, nursery: Any
) -> None:
    """Longer after each failure in a row, so that a broken instance is not stormed."""
    bench = Bench(MemgraphUnreachable("refused", refused=True), takes_s=0.0)
    executor = await bench.start(nursery)
    for _ in range(1000):
        executor.owe((DEMOTE,))
        await trio.sleep(0.01)
    assert 5 <= len(bench.begun) <= 12
    nursery.cancel_scope.cancel()
