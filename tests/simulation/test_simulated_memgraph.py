"""The simulated Memgraph does what MEMGRAPH says, holes included."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
import trio
from simulation import replication
from simulation.clock import JumpingClock
from simulation.memgraph import Instances, Memgraph, Refused
from simulation.network import Network

from statemachine.ids import Instance, Mode, Role, RowStatus

A, B, C = "memgraph-0", "memgraph-1", "memgraph-2"
Story = Callable[["Trio"], Awaitable[None]]


class Trio:
    """Three instances, the first a main with a STRICT_SYNC and an ASYNC replica."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = Network()
        self.all = Instances(self.network, Random(1), nursery.start_soon)
        for number, name in enumerate((A, B, C)):
            instance = Memgraph(Instance(name), self.all, f"10.0.0.{number + 1}")
            self.all.by_name[Instance(name)] = instance
            self.all.hosts[instance.ip] = instance
            instance.start()

    def __getitem__(self, name: str) -> Memgraph:
        return self.all.by_name[Instance(name)]

    async def begin(self) -> None:
        """Promote the first, register the others."""
        self[A].become(Role.MAIN)
        self[A].create_snapshot()
        await self.register(A, B, Mode.STRICT_SYNC, "b1")
        await self.register(A, C, Mode.ASYNC, "c1")
        await trio.sleep(3)

    async def register(self, main: str, replica: str, mode: Mode, name: str) -> None:
        """REGISTER."""
        await replication.register(self[main], name, mode, f"{self[replica].ip}:10000")

    async def restart(self, name: str) -> None:
        """SIGKILL, start; its main finds it again."""
        self[name].stop()
        self[name].start()

    async def checks(self, main: str, count: int = 5) -> None:
        """Some rounds of the checker."""
        for _ in range(count):
            await trio.sleep(1)
            replication.look_after_rows(self[main])
        await trio.sleep(2)


@pytest.fixture
def tell() -> Callable[[Story], None]:
    """Runs a story in virtual time."""

    def run(story: Story) -> None:
        async def main() -> None:
            with trio.fail_after(1000):
                async with trio.open_nursery() as nursery:
                    world = Trio(nursery)
                    await world.begin()
                    await story(world)
                    nursery.cancel_scope.cancel()

        trio.run(main, clock=JumpingClock())

    return run


def test_what_is_acknowledged_is_on_the_strict_sync_replica(tell: Any) -> None:
    """Success means that the replica has it; a dead replica aborts everywhere (3.3)."""

    async def story(world: Trio) -> None:
        await replication.commit(world[A], 7)
        assert 7 in world[B].disk.writes
        world[B].stop()
        with pytest.raises(Refused, match="aborted"):
            await replication.commit(world[A], 8)
        assert 8 not in world[A].disk.writes

    tell(story)


def test_a_lost_finalize_is_acknowledged(tell: Any) -> None:
    """The known hole (3.6a): the replica voted yes, the rest got lost, the client hears success."""

    async def story(world: Trio) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replication.commit, world[A], 7)
            while world[B].storage.prepared is None:
                await trio.sleep(0.0001)
            while 7 not in world[A].disk.writes:
                await trio.sleep(0.0001)
            world.network.cut(((A, B), (B, A)))
        assert 7 in world[A].finalize_lost
        assert 7 not in world[B].disk.writes
        world.network.heal_all()
        with pytest.raises(Refused):  # a predecessor is missing: aborted, then recovered
            await replication.commit(world[A], 8)
        await world.checks(A)
        assert 7 in world[B].disk.writes

    tell(story)


def test_promotion_drops_a_prepared_transaction(tell: Any) -> None:
    """L1: promoted under a live writer, the replica forgets what it voted for."""

    async def story(world: Trio) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replication.commit, world[A], 7)
            while world[B].storage.prepared is None:
                await trio.sleep(0.0001)
            world[B].become(Role.MAIN)
        assert 7 in world[A].disk.writes
        assert 7 not in world[B].disk.writes

    tell(story)


@pytest.mark.parametrize("is_renewed", [False, True])
def test_false_divergence_and_its_cure(tell: Any, is_renewed: bool) -> None:
    """L4 and L5: a replica that restarted inside an epoch refuses everybody once it is promoted,
    unless the epoch was renewed and got a commit."""

    async def story(world: Trio) -> None:
        await replication.commit(world[A], 7)
        await world.restart(B)
        await world.checks(A)
        await replication.commit(world[A], 8)
        if is_renewed:
            world[A].become(Role.REPLICA)
            world[A].become(Role.MAIN)
            await world.register(A, B, Mode.STRICT_SYNC, "b2")
            await replication.commit(world[A], 0)
        world[A].become(Role.REPLICA)
        world[B].become(Role.MAIN)
        if is_renewed:
            await world.register(B, A, Mode.STRICT_SYNC, "a1")
        else:
            with pytest.raises(Refused, match="Error: 3"):
                await world.register(B, A, Mode.STRICT_SYNC, "a1")

    tell(story)


def test_an_epoch_that_is_not_pinned_dies_with_its_process(tell: Any) -> None:
    """3.5: promoted and killed before a write or a storage snapshot, it is back in the old one."""

    async def story(world: Trio) -> None:
        await replication.commit(world[A], 7)
        world[A].stop()
        old = world[B].storage.epoch
        world[B].become(Role.MAIN)
        await world.restart(B)
        assert world[B].storage.epoch == old
        world[B].become(Role.MAIN)
        world[B].create_snapshot()
        pinned = world[B].storage.epoch
        await world.restart(B)
        assert world[B].storage.epoch == pinned != old

    tell(story)


def test_the_guard_erases_registrations_and_an_unguarded_main_is_writable(tell: Any) -> None:
    """L12: guarded, an old main comes back as REPLICA without rows; unguarded as MAIN with them."""

    async def story(world: Trio) -> None:
        world[A].stop()
        world[A].start(guarded=False)
        assert world[A].role is Role.MAIN
        assert set(world[A].rows) == {"b1", "c1"}
        await world.restart(A)
        assert world[A].role is Role.REPLICA
        assert not world[A].rows

    tell(story)


def test_a_failed_registration_leaves_a_row_that_does_nothing(tell: Any) -> None:
    """1.6: Error 5, a row with empty data_info, a commit that ignores it, then Error 1."""

    async def story(world: Trio) -> None:
        world[A].drop("b1")
        world[B].stop()
        with pytest.raises(Refused, match="Error: 5"):
            await world.register(A, B, Mode.STRICT_SYNC, "b2")
        assert world[A].rows["b2"].status is RowStatus.ABSENT
        await replication.commit(world[A], 7)
        with pytest.raises(Refused, match="Error: 1"):
            await world.register(A, B, Mode.STRICT_SYNC, "b2")

    tell(story)


def test_a_stolen_replica_rejects_its_old_main(tell: Any) -> None:
    """Whoever registers last is followed; the old main shows `ready` until its next write."""

    async def story(world: Trio) -> None:
        world[B].become(Role.MAIN)
        await world.register(B, C, Mode.ASYNC, "c2")
        assert world[A].rows["c1"].status is RowStatus.READY
        with pytest.raises(Refused, match="aborted"):
            await replication.commit(world[A], 7)

    tell(story)


def test_a_replica_that_comes_back_empty_looks_ready_until_a_write(tell: Any) -> None:
    """L7 and L17: an empty one takes over the main's storage when it is registered; back with an
    empty disk it has its own, and an idle main goes on showing `ready`."""

    async def story(world: Trio) -> None:
        assert world[B].disk.storage_uuid == world[A].disk.storage_uuid
        await replication.commit(world[A], 7)
        world[B].stop()
        world[B].lose_disk()
        world[B].start()
        assert world[A].rows["b1"].status is RowStatus.READY
        with pytest.raises(Refused, match="aborted"):
            await replication.commit(world[A], 8)
        await world.checks(A)
        assert world[A].rows["b1"].status is RowStatus.INVALID
        assert world[B].disk.storage_uuid != world[A].disk.storage_uuid

    tell(story)
