"""The end of a reign, as the executor sees it."""

from collections.abc import Awaitable, Callable

import trio

from controller.executor import Executor
from controller.ports import MemgraphInstance
from statemachine.commands import Demote
from statemachine.ids import Instance, Term
from statemachine.observations import Observation


async def test_what_is_owed_after_the_reign_was_cancelled_is_not_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A loop that turns between the end of the executor and the news of it starts nothing, and
    does not fall over a nursery that is closed."""
    reports: list[Observation] = []

    def nobody(instance: Instance) -> MemgraphInstance:
        raise AssertionError(f"{instance} was asked for after the end")

    executor = Executor(memgraph=nobody, gateways=None, pods=None, report=reports.append)  # type: ignore[arg-type]
    await _begin_and_cancel(executor.run)
    executor.owe((Demote(Instance("memgraph-0"), Term(1)),))
    await trio.testing.wait_all_tasks_blocked()
    assert reports == []


async def _begin_and_cancel(run: Callable[..., Awaitable[None]]) -> None:
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            nursery.cancel_scope.cancel()
