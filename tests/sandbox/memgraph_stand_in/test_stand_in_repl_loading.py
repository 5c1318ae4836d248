"""A replica that loads a main's snapshot: who waits, who is refused, what a broken one does."""

from pathlib import Path

import pytest
import trio

from controller.sandbox.memgraph.durability.storage import Storage, StorageOptions
from controller.sandbox.memgraph.failures import STORAGE_LOCKED, TransientFailure
from controller.sandbox.memgraph.faults import Faults
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.locks import RoleLock, StorageAccess
from controller.sandbox.memgraph.replication.server import ReplicaServer

SLOW_S = 5.0
TIMEOUT_S = 1.0


def filled(directory: Path, nodes: int) -> Storage:
    """A storage with one commit of so many nodes, each with one property and a shared label."""
    storage = Storage(StorageOptions(directory, 1, 3, recover=True))
    transaction = storage.begin()
    for number in range(nodes):
        transaction.create_node(["Node"], {"id": number})
    commit = storage.next_commit(transaction)
    storage.install(transaction, commit, commit.encode())
    return storage


class Room:
    """A replica's server without its port, and what it shares with transactions and roles."""

    def __init__(self, directory: Path) -> None:
        self.storage = Storage(StorageOptions(directory, 1, 3, recover=True))
        self.faults = Faults(slow_s=SLOW_S)
        self.access = StorageAccess(TIMEOUT_S)
        self.lock = RoleLock()
        self.server = ReplicaServer(
            self.storage,
            self.faults,
            Logbook(None),
            "the main",
            lambda uuid: None,
            self.access,
            self.lock,
        )

    async def load(self, data: bytes) -> bool:
        head = {"op": "snapshot", "main": "the main", "storage": self.storage.uuid}
        return bool((await self.server.respond(head, data))["ok"])


async def test_transactions_wait_and_fail_while_a_snapshot_is_loaded(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """MEMGRAPH 2.1, 3.4: meanwhile a transaction fails with the transient text after the access
    timeout, a role change finds its lock busy; afterwards everything is there at once."""
    main, room = filled(tmp_path / "m", 2500), Room(tmp_path / "r")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.load, main.snapshot_data())
            await trio.testing.wait_all_tasks_blocked()
            assert room.lock.is_busy
            began_s = trio.current_time()
            with pytest.raises(TransientFailure, match=STORAGE_LOCKED.split(".")[0]):
                await room.access.wait_shared()
            assert trio.current_time() - began_s == TIMEOUT_S
            assert room.storage.graph.counts() == (0, 0)
        await room.access.wait_shared()
    assert room.storage.graph.counts() == (2500, 0)
    assert (room.storage.ldt, room.storage.epoch) == (main.ldt, main.epoch)
    assert not room.lock.is_busy


async def test_who_waits_less_than_the_timeout_gets_in(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A transaction that begins shortly before the end of loading only waits."""
    room = Room(tmp_path / "r")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.load, filled(tmp_path / "m", 10).snapshot_data())
            await trio.sleep(SLOW_S - TIMEOUT_S / 2)
            await room.access.wait_shared()
    assert room.storage.graph.counts() == (10, 0)


@pytest.mark.parametrize("damage", [b"", b'{"ldt":1}\n"end"', b"{}\nnonsense\n" + b'"end"'])
async def test_broken_snapshot_changes_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, damage: bytes
) -> None:
    """A snapshot that cannot be read is refused; what the replica had stays."""
    room = Room(tmp_path / "r")
    with trio.fail_after(60):
        assert await room.load(filled(tmp_path / "m", 3).snapshot_data())
        ldt = room.storage.ldt
        assert not await room.load(damage)
    assert (room.storage.graph.counts(), room.storage.ldt) == ((3, 0), ldt)
    assert not room.lock.is_busy


async def test_interrupted_loading_changes_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A server that is closed in the middle of loading leaves the replica as it was."""
    room = Room(tmp_path / "r")
    data = filled(tmp_path / "m", 5000).snapshot_data()
    steps = room.storage.replace_in_steps(data)
    next(steps)
    steps.close()
    with trio.move_on_after(SLOW_S / 2):
        await room.load(data)
    assert room.storage.graph.counts() == (0, 0)
    assert (room.storage.ldt, room.lock.is_busy) == (0, False)


def test_snapshot_shares_what_is_the_same(tmp_path: Path) -> None:
    """100,000 small nodes must fit: nodes with the same labels hold one set of labels, and names of
    properties are one string in a page."""
    data = filled(tmp_path / "m", 1500).snapshot_data()
    room = Room(tmp_path / "r")
    room.storage.replace(data)
    nodes = list(room.storage.graph.nodes.values())
    assert len({id(node.labels) for node in nodes}) == 1
    assert len({id(key) for node in nodes for key in node.properties}) == 2
