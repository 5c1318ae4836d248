"""Roles that change under writers: what is never lost, never confused, and only sometimes works.

A run here is one try; the sheet's counts of many tries are not repeated.
"""

import pytest
import trio
from contract_world import Refused, Server, World
from fact_marks import seen
from texts import NO_DEMOTION, NO_PROMOTION, register_failed

pytestmark = pytest.mark.process

MODES = pytest.mark.parametrize("mode", ["SYNC", "STRICT_SYNC"])
RETRY_S = 0.01
TRIES_MAX = 500


class Writers:
    """Clients that write numbered nodes and note what was acknowledged, and when it was asked."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[int, float] = {}
        self.asked = 0

    async def run(self, count: int) -> None:
        """Write until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(self._write)

    async def _write(self) -> None:
        while True:
            number, asked_s = self.asked, trio.current_time()
            self.asked += 1
            try:
                with trio.CancelScope(shield=True):
                    await self.server.ask("CREATE (:W {n: $n})", n=number)
            except Refused:
                await trio.sleep(RETRY_S)
                continue
            self.acknowledged[number] = asked_s
            await trio.lowlevel.checkpoint()

    async def wait_count(self, count: int) -> None:
        """So many are acknowledged."""
        with trio.fail_after(20):
            while len(self.acknowledged) < count:
                await trio.sleep(RETRY_S)


async def insist(server: Server, statement: str, *refusals: str) -> int:
    """Repeat a role change until it works; how often it was refused, with these texts only."""
    for refused in range(TRIES_MAX):
        try:
            await server.ask(statement)
            return refused
        except Refused as error:
            if error.message not in refusals:
                raise
            await trio.sleep(RETRY_S)
    raise AssertionError(f"{statement} failed {TRIES_MAX} times")


async def numbers(server: Server) -> set[int]:
    """The numbers that a server holds."""
    return {row[0] for row in (await server.ask("MATCH (w:W) RETURN w.n")).rows}


def become_replica(server: Server) -> str:
    return f"SET REPLICATION ROLE TO REPLICA WITH PORT {server.replication_port}"


@seen("L3")
@MODES
async def test_a_planned_change_loses_nothing(world: World, mode: str) -> None:
    """Two writers; the main is demoted, with retries, before its replica is promoted: everything
    acknowledged is on the new main, both hold the same, and the old one follows."""
    old, new = await world.pair(mode)
    writers = Writers(old)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, 2)
        await writers.wait_count(40)
        await insist(old, become_replica(old), NO_DEMOTION)
        nursery.cancel_scope.cancel()
    await insist(new, "SET REPLICATION ROLE TO MAIN", NO_PROMOTION)
    assert set(writers.acknowledged) <= await numbers(new)
    assert await numbers(new) == await numbers(old)
    await new.register("back", mode, old)
    await new.wait_status("back", "ready")


@seen("L2")
@MODES
async def test_the_death_of_the_main_loses_nothing_acknowledged(world: World, mode: str) -> None:
    """Two writers; the main is killed and its replica promoted: all acknowledged is there."""
    old, new = await world.pair(mode)
    writers = Writers(old)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, 2)
        await writers.wait_count(40)
        await old.kill()
        nursery.cancel_scope.cancel()
    await insist(new, "SET REPLICATION ROLE TO MAIN", NO_PROMOTION)
    assert set(writers.acknowledged) <= await numbers(new)


@seen("L1")
@MODES
async def test_promoting_beside_a_living_main(world: World, mode: str) -> None:
    """The replica is promoted under the main's writers. With SYNC nothing acknowledged is lost;
    with both, no write that began after the promotion returned is acknowledged by the old main. (A
    STRICT_SYNC write in flight may be: that is why nobody may do this.)"""
    old, new = await world.pair(mode)
    writers = Writers(old)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, 2)
        await writers.wait_count(40)
        await insist(new, "SET REPLICATION ROLE TO MAIN", NO_PROMOTION)
        promoted_s = trio.current_time()
        begin = writers.asked
        with trio.fail_after(20):
            while writers.asked < begin + 20:
                await trio.sleep(RETRY_S)
        nursery.cancel_scope.cancel()
    assert [n for n, asked_s in writers.acknowledged.items() if asked_s > promoted_s] == []
    lost = set(writers.acknowledged) - await numbers(new)
    assert len(lost) <= (0 if mode == "SYNC" else 2)
    assert await old.role() == await new.role() == "main"


@seen("L14")
async def test_a_role_change_under_writers_needs_patience(world: World) -> None:
    """Demotions under four writers fail with the text of a wrong role, and work when repeated; the
    role, read again, tells which it was. No registration and no process is lost on the way."""
    (one,) = await world.start("one")
    writers = Writers(one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, 4)
        await writers.wait_count(20)
        for _ in range(5):
            await insist(one, become_replica(one), NO_DEMOTION)
            assert await one.role() == "replica"
            await insist(one, "SET REPLICATION ROLE TO MAIN", NO_PROMOTION)
            assert await one.role() == "main"
        nursery.cancel_scope.cancel()
    assert set(writers.acknowledged) <= await numbers(one)


@seen("L5")
async def test_renewal_under_writers(world: World) -> None:
    """Demote, promote and register again while four clients write: nothing acknowledged is lost
    and the replica is whole again."""
    main, replica = await world.pair("STRICT_SYNC")
    writers = Writers(main)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run, 4)
        await writers.wait_count(40)
        await insist(main, become_replica(main), NO_DEMOTION)
        await insist(main, "SET REPLICATION ROLE TO MAIN", NO_PROMOTION)
        register = f'REGISTER REPLICA r STRICT_SYNC TO "{replica.address}"'
        await insist(main, register, register_failed("r", 6))
        await writers.wait_count(len(writers.acknowledged) + 20)
        nursery.cancel_scope.cancel()
    await main.wait_status("r", "ready")
    await main.wait_writable()
    assert set(writers.acknowledged) <= await numbers(main)
    assert await numbers(main) == await numbers(replica)
