"""Faults on command, starting and stopping, disks and speed, on real processes."""

import os
import signal
import time
from pathlib import Path

import pytest
import trio
from stand_in_world import BoltConnection, Refused, Stand, World

pytestmark = pytest.mark.process


async def stays_silent(connection: BoltConnection, query: str) -> None:
    """`query` is sent and nothing comes back for a while."""
    await connection.send(0x10, query, {}, {})
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
        await connection.receive()


async def test_partition_stops_old_and_new_links_and_heal_loses_nothing(world: World) -> None:
    """The client's connection stops moving, a new one is accepted and silent; after the heal the
    answer that was held back arrives."""
    (stand,) = await world.start("stand")
    old = stand.connections[-1]
    assert (await stand.control("partition"))["partitioned"] is True
    await stays_silent(old, "RETURN 1")
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
        await stand.connect()
    await stand.control("heal")
    assert (await old.receive()).fields[0]["fields"] == ["1"]
    assert await old.call(0x3F, {"n": -1}) == [[1]]


async def test_partition_from_a_peer_only(world: World) -> None:
    """Cut from its replica, a STRICT_SYNC main turns it `invalid` and aborts writes, while clients
    still reach it; the replica is `ready` again after the heal."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.run("CREATE (:X)")
    await main.control("partition", peers=[replica.address])
    writer = await main.connect()
    await main.connect()
    await writer.send(0x10, "CREATE (:X)", {}, {})
    await writer.send(0x3F, {"n": -1})
    await main.wait_status("r", "replicating")
    await main.control("heal")
    with trio.fail_after(10):
        tags = [(await writer.receive()).tag for _ in range(2)]
    assert tags == [0x70, 0x70]
    await main.wait_status("r", "ready")
    assert await replica.count() == 2


async def test_hang_and_unhang(world: World) -> None:
    """A hung stand-in answers nobody but its control socket, and goes on where it stopped."""
    (stand,) = await world.start("stand")
    assert (await stand.control("hang"))["hung"] is True
    await stays_silent(stand.connections[-1], "RETURN 1")
    assert (await stand.control("status"))["ok"] is True
    await stand.control("unhang")
    assert (await stand.connections[-1].receive()).tag == 0x70


async def test_slow(world: World) -> None:
    """Each answer comes later by the given time."""
    (stand,) = await world.start("stand")
    await stand.control("slow", ms=100)
    began = time.monotonic()
    await stand.run("RETURN 1")
    assert time.monotonic() - began >= 0.2
    assert (await stand.control("slow", ms=0))["slow_ms"] == 0


async def test_drop_reply_leaves_the_effect(world: World) -> None:
    """The outcome of a write is lost with its connection; the write is there."""
    (stand,) = await world.start("stand")
    await stand.control("drop-reply")
    with pytest.raises(ConnectionResetError):
        await stand.run("CREATE (:X)")
    await stand.connect()
    assert await stand.count() == 1


async def test_lock_busy(world: World) -> None:
    """MEMGRAPH fact 7, 10.8: injected busy locks have the texts of the permanent errors."""
    (stand,) = await world.start("stand")
    await stand.control("lock-busy", count=3)
    refusal = await stand.refused("SET REPLICATION ROLE TO REPLICA WITH PORT 10000")
    assert refusal.message == "Couldn't set role to replica!"
    refusal = await stand.refused('REGISTER REPLICA r SYNC TO "127.0.0.1"')
    assert refusal.message == "Couldn't register replica r. Error: 6"
    assert (await stand.refused("DROP REPLICA r")).message.startswith("Failed to unregister")
    await stand.demote()
    await stand.control("lock-busy")
    refusal = await stand.refused("SET REPLICATION ROLE TO MAIN")
    assert refusal.message == "Couldn't set replication role to main!"
    await stand.promote()


@pytest.mark.parametrize("line", ["nonsense", '{"do": "explode"}', "[]", '{"do": "slow"}'])
async def test_control_refuses_what_it_does_not_know(world: World, line: str) -> None:
    """An unknown command changes nothing and says so."""
    (stand,) = await world.start("stand")
    async with await trio.open_unix_socket(str(stand.control_path)) as stream:
        await stream.send_all(line.encode() + b"\n")
        assert (await stream.receive_some()).startswith(b'{"ok": false')


async def test_silent_peer_makes_register_wait_and_freezes_the_main(world: World) -> None:
    """MEMGRAPH L9: while REGISTER waits for a silent peer, transactions and SHOW wait with it;
    SHOW VERSION answers."""
    main, replica = await world.start("main", "replica")
    await replica.demote()
    await replica.control("hang")
    registering, showing = await main.connect(), await main.connect()
    await main.connect()
    done: list[str] = []

    async def work(connection: BoltConnection, query: str) -> None:
        await connection.run(query)
        done.append(query)

    register = f'REGISTER REPLICA r SYNC TO "{replica.address}"'
    with trio.fail_after(9):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, registering, register)
            while "concurrent" not in (await main.refused("DROP REPLICA x")).message:
                pass
            await stays_silent(main.connections[0], "MATCH (n) RETURN n")
            nursery.start_soon(work, showing, "SHOW REPLICATION ROLE")
            await main.connect()
            assert await main.run("SHOW VERSION") == [["3.12.0"]]
            assert done == []
            await replica.control("unhang")
    assert sorted(done) == [register, "SHOW REPLICATION ROLE"]


async def test_data_directory_belongs_to_one_process(world: World, tmp_path: Path) -> None:
    """A second process on the same directory is refused, and says why."""
    (stand,) = await world.start("stand")
    second = world.stand("second")
    second.spawn(
        f"--data-directory={stand.directory / 'data'}",
        "--data-dir-lock-acquisition-timeout-sec=0",
    )
    assert await second.wait_end() == 1
    assert "used by another process" in (second.directory / "stderr").read_text()


async def test_kill_keeps_every_acknowledged_write(world: World) -> None:
    """MEMGRAPH 3.4: a SIGKILLed instance comes back with all it acknowledged: data, indexes,
    constraints, timestamps."""
    (stand,) = await world.start("stand")
    await stand.run("CREATE CONSTRAINT ON (n:U) ASSERT n.id IS UNIQUE")
    await stand.run("CREATE INDEX ON :U(id)")
    for number in range(20):
        await stand.run("CREATE (:U {id: $id})-[:R {w: 1.5}]->(:V)", id=number)
    await stand.run("MATCH (u:U {id: 3}) DETACH DELETE u")
    await stand.run("MATCH (u:U {id: 4}) SET u.name = 'four', u:W REMOVE u.nothing")
    await stand.run("CREATE SNAPSHOT")
    await stand.run("CREATE (:U {id: 20})")
    await stand.kill()
    await stand.start()
    assert (await stand.count("U"), await stand.count("V")) == (20, 20)
    assert await stand.run("MATCH (u:W)-[r]->() RETURN u.name, r.w") == [["four", 1.5]]
    assert len(await stand.run("SHOW INDEX INFO")) == 1
    refusal = await stand.refused("CREATE (:U {id: 20})")
    assert refusal.message == "Unable to commit due to unique constraint violation on :U(id)"


async def test_recovery_off_starts_empty_in_the_old_role(world: World) -> None:
    """MEMGRAPH 10.15: without recovery the data is set aside, role and UUIDs stay."""
    (stand,) = await world.start("stand")
    await stand.run("CREATE (:X)")
    await stand.demote()
    await stand.kill()
    await stand.start("--data-recovery-on-startup=false")
    assert (await stand.role(), await stand.count()) == ("replica", 0)
    assert list((stand.directory / "data" / "wal" / ".backup").glob("wal_*"))


async def test_torn_log_is_cut_at_the_last_whole_record(world: World) -> None:
    """A record that a power cut tore is dropped; what follows the restart is kept."""
    (stand,) = await world.start("stand")
    await stand.run("CREATE (:X)")
    await stand.run("CREATE (:X)")
    await stand.kill()
    (segment,) = (stand.directory / "data" / "wal").glob("wal_*")
    os.truncate(segment, segment.stat().st_size - 3)
    await stand.start()
    assert await stand.count() == 1
    await stand.run("CREATE (:X)")
    await stand.kill()
    await stand.start()
    assert await stand.count() == 2


async def test_sigterm_ends_within_a_second(world: World) -> None:
    """A graceful stop is quick, ends with 0, and keeps the data in an exit snapshot."""
    (stand,) = await world.start("stand")
    await stand.run("UNWIND range(1, 5000) AS i CREATE (:X {i: i})")
    stand.signal(signal.SIGTERM)
    assert await stand.wait_end(within_s=1.0) == 0
    assert list((stand.directory / "data" / "snapshots").glob("*_timestamp_2"))
    await stand.start()
    assert await stand.count() == 5000


async def test_unknown_flags_and_forms(world: World) -> None:
    """`--x v`, `--x=v` and a bare `--x` are taken; unknown flags are named in the log."""
    stand = await world.stand("s", "--also-log-to-stderr", "--memory-limit", "7", "--y=1").start()
    for name in ("also_log_to_stderr", "memory_limit", "'y'"):
        assert name in stand.log


async def test_hosts_file_names_a_replica(world: World, tmp_path: Path) -> None:
    """`--stand-in-hosts` resolves the names that replicas are registered under."""
    hosts = tmp_path / "hosts"
    main, replica = world.stand("main", f"--stand-in-hosts={hosts}"), world.stand("replica")
    await main.start()
    await replica.start()
    hosts.write_text(f"# pods\n{replica.address} memgraph-1.memgraph memgraph-1\n")
    await replica.demote()
    await main.run('REGISTER REPLICA r STRICT_SYNC TO "memgraph-1.memgraph:10000"')
    await main.run("CREATE (:X)")
    assert await replica.count() == 1


async def test_many_writes_leave_the_process_small(world: World) -> None:
    """600 small writes with a STRICT_SYNC replica and 1,200 alone, over 8 connections: all are
    there, and the process takes less than 60 MiB. (How fast it is, a benchmark tells.)"""
    main, _ = await world.pair("STRICT_SYNC")
    await write_many(main, 600)
    await main.run("DROP REPLICA r")
    await write_many(main, 1200)
    assert await main.count() == 1800
    assert resident(main) < 60 * 1024


def resident(stand: Stand) -> int:
    """The resident memory of a stand-in, in KiB."""
    assert stand.process is not None
    status = Path(f"/proc/{stand.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


async def write_many(stand: Stand, total: int) -> None:
    """Writes over 8 connections."""
    connections = [await stand.connect() for _ in range(8)]

    async def work(connection: BoltConnection) -> None:
        for number in range(total // 8):
            await connection.run("CREATE (:Write {id: $id})", id=number)

    async with trio.open_nursery() as nursery:
        for connection in connections:
            nursery.start_soon(work, connection)


async def test_conflicts_under_contention_lose_no_update(world: World) -> None:
    """MEMGRAPH 2.1: concurrent increments either commit or fail as TransientError; none is lost."""
    (stand,) = await world.start("stand")
    await stand.run("CREATE (:Counter {v: 0})")
    committed: list[int] = []

    async def work(connection: BoltConnection) -> None:
        for number in range(20):
            try:
                await connection.run("MATCH (c:Counter) SET c.v = c.v + 1")
            except Refused as refusal:
                assert "Cannot resolve conflicting transactions" in refusal.message  # noqa: PT017
            else:
                committed.append(number)

    connections = [await stand.connect() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for connection in connections:
            nursery.start_soon(work, connection)
    assert await stand.run("MATCH (c:Counter) RETURN c.v") == [[len(committed)]]
