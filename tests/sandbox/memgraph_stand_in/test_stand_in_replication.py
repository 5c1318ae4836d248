"""Replication between real stand-in processes, fact by fact."""

import signal
import time

import pytest
import trio
from stand_in_world import CODE, World

pytestmark = pytest.mark.process

NOT_IN_SYNC = (
    "Replication Exception: Failed to replicate to {mode} replica 'r': replica is not reachable or "
    "not in sync with the main. Replica will be recovered automatically. {outcome} Check the "
    "status of the replicas using 'SHOW REPLICAS' query."
)
COMMITTED = "Transaction is still committed on the main instance and other alive replicas."
ABORTED = "Transaction was aborted on all instances."


async def test_ready_replica_holds_every_acknowledged_write(world: World) -> None:
    """MEMGRAPH 1.3, 8: after a write, `ts` is 2 and `behind` 0, and the replica has the node."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.run("CREATE (:X {v: 1})")
    rows = await main.run("SHOW REPLICAS")
    address = f"{replica.address}:10000"
    info = {"memgraph": {"ts": 2, "behind": 0, "status": "ready"}}
    assert rows == [["r", address, "strict_sync", None, info]]
    assert await replica.count() == 1


@pytest.mark.parametrize(
    ("mode", "outcome", "kept"), [("SYNC", COMMITTED, 2), ("STRICT_SYNC", ABORTED, 1)]
)
async def test_killed_replica(world: World, mode: str, outcome: str, kept: int) -> None:
    """MEMGRAPH L11, 3.2, 3.3: SYNC commits and then errors, STRICT_SYNC aborts; the replica comes
    back on its data, is `ready` within half a second, and has what the main has."""
    main, replica = await world.pair(mode)
    await main.run("CREATE (:X)")
    await replica.kill()
    assert (await main.refused("CREATE (:X)")).code == CODE
    assert await main.count() == kept
    assert (await main.replica("r"))["status"] == "invalid"
    refusal = await main.refused("CREATE (n:`__marker`) DELETE n")
    assert refusal.message == NOT_IN_SYNC.format(mode=mode, outcome=outcome)
    assert await main.run("MATCH (n:Nothing) SET n.v = 1 RETURN n") == []
    await replica.start()
    await main.wait_status("r", "ready", 2.5)
    await main.run("CREATE (:X)")
    assert await main.count() == await replica.count() == kept + 1


async def test_idle_main_finds_a_killed_replica_after_three_pings(world: World) -> None:
    """MEMGRAPH L7, 3.1: `ready` lies until three pings at 1 s have failed, then `invalid`."""
    main, replica = await world.pair("SYNC")
    await replica.kill()
    began = time.monotonic()
    assert (await main.replica("r"))["status"] == "ready"
    await main.wait_status("r", "invalid", 6)
    assert time.monotonic() - began > 1.5


async def test_hung_strict_replica_blocks_transactions_but_not_show(world: World) -> None:
    """MEMGRAPH L10: while a SIGSTOPped STRICT_SYNC replica keeps a commit waiting, reads wait, SHOW
    answers, role changes fail at once; after the thaw the commit ends."""
    main, replica = await world.pair("STRICT_SYNC")
    writer, reader = await main.connect(), await main.connect()
    await main.connect()
    done: list[str] = []

    async def work(connection, query: str) -> None:
        await connection.run(query)
        done.append(query)

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            replica.signal(signal.SIGSTOP)
            nursery.start_soon(work, writer, "CREATE (:X)")
            await main.wait_status("r", "replicating")
            nursery.start_soon(work, reader, "MATCH (n) RETURN count(n)")
            assert await main.role() == "main"
            busy = await main.refused("SET REPLICATION ROLE TO REPLICA WITH PORT 10000")
            assert busy.message == "Couldn't set role to replica!"
            assert (await main.refused("DROP REPLICA r")).message.startswith(
                "Failed to unregister replica due to lack of unique access"
            )
            assert done == []
            replica.signal(signal.SIGCONT)
    assert sorted(done) == ["CREATE (:X)", "MATCH (n) RETURN count(n)"]
    assert await replica.count() == 1


async def test_async_replica_follows_in_the_background(world: World) -> None:
    """MEMGRAPH 1.4, 3.2: ASYNC never fails a write; a killed one catches up when it is back."""
    main, replica = await world.pair("ASYNC")
    await main.run("CREATE (:X)")
    await main.wait_status("r", "ready")
    await replica.kill()
    for _ in range(3):
        await main.run("CREATE (:X)")
    assert (await main.replica("r"))["behind"] < 0
    await replica.start()
    await main.wait_status("r", "ready", 5)
    assert await replica.count() == 4


async def test_empty_replica_is_filled_from_a_snapshot(world: World) -> None:
    """MEMGRAPH 3.4, L17: an empty replica adopts the main's storage UUID at REGISTER and gets all
    data, also what the main's log no longer holds."""
    main, replica = await world.start("main", "replica")
    await main.run("UNWIND range(1, 500) AS i CREATE (:X {i: i})-[:R]->(:Y)")
    await main.run("CREATE SNAPSHOT")
    await main.kill()
    await main.start()
    await replica.demote()
    await main.register("r", "STRICT_SYNC", replica)
    await main.wait_status("r", "ready")
    assert await replica.count() == 1000
    assert await replica.run("MATCH (a:X {i: 7})-[:R]->(b) RETURN labels(b)") == [[["Y"]]]
    uuids = [
        dict(await stand.run("SHOW STORAGE INFO ON CURRENT DATABASE"))["database_uuid"]
        for stand in (main, replica)
    ]
    assert uuids[0] == uuids[1]
    await replica.kill()
    await replica.start()
    assert await replica.count() == 1000


async def test_foreign_data_is_invalid_for_ever(world: World) -> None:
    """MEMGRAPH L17, 2.3: REGISTER of an instance with other data succeeds, stays `invalid`, and
    STRICT_SYNC then aborts each write."""
    main, other = await world.start("main", "other")
    await other.run("CREATE (:Foreign)")
    await other.demote()
    await main.register("r", "STRICT_SYNC", other)
    assert (await main.replica("r"))["status"] == "invalid"
    assert (await main.refused("CREATE (:X)")).message.endswith(
        f"{ABORTED} Check the status of the replicas using 'SHOW REPLICAS' query."
    )
    assert await other.count("Foreign") == 1


async def test_failed_register_leaves_a_zombie_that_a_restart_revives(world: World) -> None:
    """MEMGRAPH 1.6, L13: Error 5 leaves `data_info` {}, retry is Error 1, the same address Error 2;
    writes succeed; after a restart of the main the row is live and SYNC writes fail."""
    (main,) = await world.start("main")
    nowhere = world.stand("nowhere").address
    statement = f'REGISTER REPLICA z SYNC TO "{nowhere}:10000"'
    assert (await main.refused(statement)).message == "Couldn't register replica z. Error: 5"
    assert await main.replica("z") == {}
    assert (await main.refused(statement)).message == "Couldn't register replica z. Error: 1"
    same = f'REGISTER REPLICA y SYNC TO "{nowhere}"'
    assert (await main.refused(same)).message == "Couldn't register replica y. Error: 2"
    await main.run("CREATE (:X)")
    await main.kill()
    await main.start()
    assert await main.replica("z") == {"ts": 0, "behind": -2, "status": "invalid"}
    assert (await main.refused("CREATE (:X)")).code == CODE
    await main.run("DROP REPLICA z")
    await main.run("CREATE (:X)")
    assert await main.count() == 3


async def test_stolen_replica_shows_ready_until_a_write(world: World) -> None:
    """MEMGRAPH facts 3 and 4: whoever registers last has the replica; the former main goes on
    showing `ready`, and its next STRICT_SYNC write aborts."""
    first, second, replica = await world.start("first", "second", "replica")
    await replica.demote()
    await first.register("r", "STRICT_SYNC", replica)
    await second.register("r", "STRICT_SYNC", replica)
    assert (await first.replica("r"))["status"] == "ready"
    assert "RPC communication error" in (await first.refused("CREATE (:Lost)")).message
    assert (await first.replica("r"))["status"] == "invalid"
    assert await replica.count() == 0


async def test_lost_finalize_is_acknowledged_and_repaired_by_the_next_write(world: World) -> None:
    """MEMGRAPH 3.3: the client gets success though the replica only prepared; the next write is
    rejected and aborted, then the replica recovers."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.control("lose-finalize")
    await main.run("CREATE (:X)")
    assert (await main.replica("r"))["status"] == "ready"
    assert await replica.count() == 0
    assert (await main.refused("CREATE (:X)")).message.count("RPC communication error") == 1
    await main.wait_status("r", "ready", 5)
    assert await main.count() == await replica.count() == 1


async def test_promotion_drops_a_prepared_transaction(world: World) -> None:
    """MEMGRAPH 3.6a: promoted between the phases, the replica aborts what the main acknowledged."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.control("lose-finalize")
    await main.run("CREATE (:Lost)")
    await replica.promote()
    assert (await main.count(), await replica.count()) == (1, 0)
    await replica.run("CREATE (:Own)")
    assert await replica.count("Lost") == 0


async def test_sync_beside_strict_sync_aborts_every_other_write(world: World) -> None:
    """MEMGRAPH 2.3: the mixture is accepted, and every other write aborts."""
    main, strict, sync = await world.start("main", "strict", "sync")
    for stand, mode in ((strict, "STRICT_SYNC"), (sync, "SYNC")):
        await stand.demote()
        await main.register(mode.lower(), mode, stand)
    await main.run("CREATE (:X)")
    assert ABORTED in (await main.refused("CREATE (:X)")).message
    await main.wait_status("sync", "ready", 5)
    await main.run("CREATE (:X)")


async def test_two_missing_replicas_are_named_together(world: World) -> None:
    """MEMGRAPH 2.1: one sentence for several replicas with the same mode and reason."""
    main, one, two = await world.start("main", "one", "two")
    for stand in (one, two):
        await stand.demote()
        await main.register(stand.name, "SYNC", stand)
        await stand.kill()
    await main.refused("CREATE (:X)")
    assert (await main.refused("CREATE (:X)")).message == (
        "Replication Exception: Failed to replicate to SYNC replicas 'one' and 'two': replicas are "
        "not reachable or not in sync with the main. Replicas will be recovered automatically. "
        f"{COMMITTED} Check the status of the replicas using 'SHOW REPLICAS' query."
    )
