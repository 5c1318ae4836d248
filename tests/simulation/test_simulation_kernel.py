"""The simulation's own scheduler does what trio does: in the same order, at the same times."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from simulation.clock import NobodyEverRuns
from simulation.dice import fixed
from simulation.director import run_plan
from simulation.faults import draw_plan
from simulation.schedulers import Scheduler, by_kernel, by_trio

Note = Callable[[object], None]
Program = Callable[[Note], Awaitable[None]]


def history_of(program: Program, scheduler: Scheduler, seed: int) -> list[tuple[float, object]]:
    """What it notes, and when."""
    notes: list[tuple[float, object]] = []

    async def main() -> None:
        try:
            await program(lambda what: notes.append((trio.current_time(), what)))
        except* ValueError as group:
            notes.append((trio.current_time(), [str(error) for error in group.exceptions]))

    with fixed(seed), scheduler(seed) as run:
        run(main)
    return notes


async def limits(note: Note) -> None:
    """Time limits in each other, moved, shielded, already over."""
    with trio.move_on_after(2) as outer, trio.move_on_after(1) as inner:
        await trio.sleep(5)
    note((outer.cancelled_caught, inner.cancelled_caught))
    with trio.move_on_after(1) as outer:
        with trio.CancelScope(shield=True) as shielded:
            note(trio.current_effective_deadline())
            shielded.deadline = trio.current_time() + 3
            await trio.sleep_forever()
        note(shielded.cancelled_caught)
        note(trio.current_effective_deadline())
        await trio.lowlevel.checkpoint()
    note(outer.cancelled_caught)
    with trio.move_on_at(trio.current_time()) as over:
        await trio.lowlevel.checkpoint()
    note(over.cancel_called)
    try:
        with trio.fail_after(1):
            await trio.sleep_until(100)
    except trio.TooSlowError:
        note("too slow")


async def families(note: Note) -> None:
    """Nurseries in nurseries: errors cancel the others, who may still clean up."""

    async def fails(after_s: float) -> None:
        await trio.sleep(after_s)
        raise ValueError(f"after {after_s}")

    async def cleans_up(name: str) -> None:
        try:
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                await trio.sleep_forever()
        finally:
            note(name)
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.5)
            note(f"{name} is clean")

    with trio.move_on_after(1.5) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cleans_up, "a")
            await nursery.start(serves, note)
    note(scope.cancelled_caught)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cleans_up, "b")
        nursery.start_soon(fails, 1.0)
        nursery.start_soon(fails, 1.0)
        nursery.start_soon(fails, 9.0)


async def serves(note: Note, task_status: trio.TaskStatus[None]) -> None:
    """Started, and then moved into the nursery of who has started it."""
    with trio.CancelScope():
        await trio.sleep(0.25)
        task_status.started()
        note("started")
        try:
            await trio.sleep_forever()
        finally:
            note("ended")


async def meetings(note: Note) -> None:
    """Events, locks and channels among several, some of whom give up."""
    send, receive = trio.open_memory_channel[int](2)
    lock, bell, dice = trio.Lock(), trio.Event(), random.Random(1)

    async def works(name: int) -> None:
        await bell.wait()
        for _ in range(4):
            with trio.move_on_after(0.3 + dice.random()):
                async with lock:
                    note((name, "has it", lock.locked()))
                    await trio.sleep(0.2)
            with trio.move_on_after(0.2):
                note((name, "got", await receive.receive()))
            await trio.lowlevel.checkpoint()

    async def gives() -> None:
        for number in range(12):
            await trio.sleep(0.1 * dice.random())
            try:
                send.send_nowait(number)
            except trio.WouldBlock:
                note((number, "is too much"))

    async with trio.open_nursery() as nursery:
        for name in range(5):
            nursery.start_soon(works, name)
        nursery.start_soon(gives)
        await trio.sleep(0.5)
        bell.set()
        await bell.wait()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("program", [limits, families, meetings])
def test_a_program_has_one_history(program: Program, seed: int) -> None:
    """Whoever runs it: each note at the same moment and in the same place."""
    histories = [history_of(program, scheduler, seed) for scheduler in (by_kernel, by_trio)]
    assert histories[0] == histories[1]
    assert len(histories[0]) > 4


@pytest.mark.parametrize("seed", [6, 100, 101])
def test_a_plan_has_one_history(seed: int) -> None:
    """The whole verdict is the same under trio itself, with every line of its trace."""
    plan = draw_plan(seed, 2.0)
    verdict = run_plan(plan, by_kernel)
    assert verdict == run_plan(plan, by_trio)
    assert len(verdict.trace) > 25


def test_a_run_in_which_nobody_ever_runs() -> None:
    """It ends with a word instead of never."""
    with by_kernel(1) as run, pytest.raises(NobodyEverRuns):
        run(trio.sleep_forever)
