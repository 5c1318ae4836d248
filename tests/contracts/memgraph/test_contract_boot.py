"""Starting and stopping: the boot guard, flags, and what a disk remembers."""

import signal
import socket
from pathlib import Path

import pytest
from contract_world import Refused, Server, World
from fact_marks import seen, unseen
from texts import NO_DEMOTION, WRITE_ON_REPLICA

pytestmark = pytest.mark.process


def guard(server: Server, *lines: str, port: int = 0) -> str:
    """The path of a file that demotes at the start, after these lines."""
    path = server.directory.with_name(f"{server.name}.cypherl")
    port = port or server.replication_port
    demotion = f"SET REPLICATION ROLE TO REPLICA WITH PORT {port};"
    path.write_text("\n".join([*lines, demotion, ""]))
    return str(path)


async def is_guarded(server: Server) -> None:
    """The first statements that it answers find a replica."""
    assert await server.role() == "replica"
    assert (await server.refusal("CREATE (:Early)")).message == WRITE_ON_REPLICA


@seen("L12")
async def test_the_boot_guard_on_a_fresh_directory(world: World) -> None:
    """--init-file demotes before Bolt opens; on the replica that it finds next time it is a logged
    warning, not fatal, and the old port is kept whatever port the file names."""
    one = world.server("one")
    await one.start(init_file=guard(one))
    await is_guarded(one)
    assert await one.is_replication_port_open()
    await one.kill()
    await one.start(init_file=guard(one))
    await is_guarded(one)
    await one.kill()
    port = one.replication_port
    await one.start(init_file=guard(one, port=port + 1))
    await is_guarded(one)
    assert await one.is_replication_port_open()
    one.replication_port = port + 1
    assert not await one.is_replication_port_open()


@seen("L12")
async def test_the_boot_guard_on_a_main_with_a_replica(world: World) -> None:
    """A main that comes back guarded has its data, is replica, and has lost its registrations, also
    after it was promoted again; without the guard it is main at once."""
    main, replica = await world.pair("SYNC")
    await main.write(5)
    await main.kill()
    await main.start(init_file=guard(main))
    await is_guarded(main)
    assert await main.count() == await replica.count() == 5
    await main.promote()
    assert (await main.ask("SHOW REPLICAS")).rows == []
    await main.kill()
    await main.start()
    assert await main.role() == "main"
    await main.write()


@seen("L12")
async def test_a_bad_line_is_skipped_a_missing_file_is_silent(world: World) -> None:
    """The guard survives a statement that fails before it; without the file the instance starts as
    a writable main and says nothing."""
    one = world.server("one")
    await one.start(init_file=guard(one, "THIS IS NO STATEMENT;"))
    await is_guarded(one)
    other = world.server("other")
    await other.start(init_file=str(Path(other.directory) / "missing"))
    assert await other.role() == "main"
    await other.write()


@seen("L12")
async def test_the_boot_guard_with_the_port_taken(world: World) -> None:
    """The role becomes replica without a server and Bolt opens; the *next* start aborts until the
    port is free."""
    one = world.server("one")
    with socket.create_server(("0.0.0.0", one.replication_port)):
        await one.start(init_file=guard(one))
        await is_guarded(one)
        await one.kill()
        one.spawn()
        assert await one.wait_end() == -6
    await one.start()
    await is_guarded(one)
    refused = await one.refusal(f"SET REPLICATION ROLE TO REPLICA WITH PORT {one.replication_port}")
    assert refused.message == NO_DEMOTION


@seen("L12")
async def test_a_guarded_old_main_does_not_disturb(world: World) -> None:
    """An old main that comes back, guarded or not, does not take the new main's replicas back."""
    old, new, third = await world.start("old", "new", "third")
    for name, replica in (("r", new), ("t", third)):
        await replica.demote()
        await old.register(name, "STRICT_SYNC", replica)
    await old.write(2)
    await old.kill()
    await new.promote()
    await new.register("t", "STRICT_SYNC", third)
    await new.write()
    for flags in ({}, {"init_file": guard(old)}):
        await old.start(**flags)
        await new.write()
        assert (await new.replica("t"))["status"] == "ready"
        with pytest.raises(Refused):
            await old.write()
        await old.kill()
    assert await third.count() == await new.count() == 5


@seen("L16")
async def test_an_unknown_flag_is_fatal(world: World) -> None:
    """The process ends with 1 and names the flag."""
    one = world.server("one")
    one.spawn(no_such_flag="1")
    assert await one.wait_refused_start() == 1
    assert "unknown command line flag 'no-such-flag'" in one.output


@unseen("6")
async def test_the_environment_may_set_the_bolt_port(world: World) -> None:
    """MEMGRAPH_BOLT_PORT wins over the flag."""
    one = world.server("one")
    one.env["MEMGRAPH_BOLT_PORT"] = "7697"
    one.spawn()
    one.flags["bolt_port"] = "7697"  # only for us to know where it listens
    await one.wait_open(within_s=4)
    assert await one.role() == "main"


@unseen("6")
async def test_a_directory_has_one_process(world: World) -> None:
    """A second process on the same data directory gives up after its time."""
    (one,) = await world.start("one")
    second = world.server("second")
    second.spawn(data_directory=str(one.data), data_dir_lock_acquisition_timeout_sec="1")
    assert await second.wait_refused_start() != 0
    await one.write()


@unseen("6")
async def test_wal_needs_periodic_snapshots(world: World) -> None:
    """With the WAL on and a snapshot interval of 0 the process refuses to start."""
    one = world.server("one")
    one.spawn(storage_snapshot_interval_sec="0")
    assert await one.wait_refused_start() != 0


@unseen("6")
async def test_sigterm_ends_it_with_a_snapshot(world: World) -> None:
    """SIGTERM ends it with 0; with --storage-snapshot-on-exit its data are in a snapshot then."""
    one = await world.server("one", storage_snapshot_on_exit="true").start()
    await one.write(3)
    one.signal(signal.SIGTERM)
    assert await one.wait_end() == 0
    assert list((one.data / "snapshots").iterdir())
    await one.start()
    assert await one.count() == 3


@unseen("1.7")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
async def test_acknowledged_writes_survive(world: World, end: signal.Signals) -> None:
    """With a flush for each transaction nothing acknowledged is lost with the process: nodes,
    properties, deletions, indexes."""
    (one,) = await world.start("one")
    await one.ask("UNWIND range(1, 50) AS i CREATE (:X {i: i})-[:R]->(:Y)")
    await one.ask("CREATE INDEX ON :X(i)")
    await one.ask("MATCH (n:X {i: 7}) DETACH DELETE n")
    one.signal(end)
    await one.wait_end()
    await one.start()
    assert (await one.count("X"), await one.count("Y")) == (49, 50)
    assert (await one.ask("MATCH (n:X) RETURN sum(n.i)")).value == 50 * 51 // 2 - 7
    assert [row[:3] for row in (await one.ask("SHOW INDEX INFO")).rows] == [
        ("label+property", "X", ["i"])
    ]


@unseen("3.4")
async def test_a_replica_started_empty_is_filled_again(world: World) -> None:
    """--data-recovery-on-startup=false comes up empty in the role it had; its main fills it."""
    main, replica = await world.pair("ASYNC")
    await main.write(5)
    await main.wait_status("r", "ready")
    await replica.kill()
    await main.write()
    await main.wait_status("r", "invalid")
    await replica.start(data_recovery_on_startup="false")
    assert await replica.role() == "replica"
    await main.wait_status("r", "ready")
    assert await replica.count() == 6


@unseen("3.6")
async def test_without_the_wal_nothing_is_replicated(world: World) -> None:
    """A main without its WAL commits alone and in silence, whatever replica is registered."""
    main, replica = await world.start("main", "replica", storage_wal_enabled="false")
    await replica.demote()
    try:
        await main.register("r", "STRICT_SYNC", replica)
    except Refused:
        return  # as good: nobody believes that it is replicated
    await main.write(2)
    assert (await main.count(), await replica.count()) == (2, 0)
