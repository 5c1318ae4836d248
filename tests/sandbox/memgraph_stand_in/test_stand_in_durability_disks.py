"""What a disk does to an instance: power cuts, full and damaged ones, no log at all."""

import signal
from pathlib import Path

import pytest
from stand_in_world import Refused, Stand, World

from controller.sandbox.memgraph.flags import parse_flags

pytestmark = pytest.mark.process

ABORTED = -signal.SIGABRT


async def write(stand: Stand, count: int) -> None:
    for _ in range(count):
        await stand.run("CREATE (:X)")


async def cut(stand: Stand, **more: bool) -> None:
    """The power fails: the process does not live to answer."""
    with pytest.raises(ConnectionResetError):
        await stand.control("power-cut", **more)
    assert await stand.wait_end() == -signal.SIGKILL


@pytest.mark.parametrize(("every", "kept"), [(1, 7), (5, 5), (100_000, 0)])
@pytest.mark.parametrize("torn", [False, True])
async def test_power_cut_loses_what_was_not_flushed(
    world: World, every: int, kept: int, torn: bool
) -> None:
    """MEMGRAPH 3.5 (lost log tail): of seven acknowledged writes a power cut leaves as many as the
    flush interval has brought to the disk, whole ones only, also when half a record stayed."""
    stand = await world.stand("s", f"--storage-wal-file-flush-every-n-tx={every}").start()
    await write(stand, 7)
    await cut(stand, torn=torn)
    await stand.start()
    assert await stand.count() == kept
    await write(stand, 1)
    await stand.kill()
    await stand.start()
    assert await stand.count() == kept + 1


async def test_kill_loses_nothing_though_nothing_was_flushed(world: World) -> None:
    """MEMGRAPH 6: the flush interval is about the machine; SIGKILL alone loses no write."""
    stand = await world.stand("s", "--storage-wal-file-flush-every-n-tx=100000").start()
    await write(stand, 3)
    await stand.kill()
    await stand.start()
    assert await stand.count() == 3


async def test_a_main_that_lost_its_tail_sees_its_replica_ahead(world: World) -> None:
    """MEMGRAPH 3.5: same epoch, replica ahead: `ready` with a positive `behind`, and the replica
    skips the main's next write without a word."""
    main = world.stand("main", "--storage-wal-file-flush-every-n-tx=3")
    replica = world.stand("replica")
    await main.start()
    await replica.start()
    await replica.demote()
    await main.register("r", "SYNC", replica)
    await write(main, 5)
    await cut(main)
    await main.start()
    seen = await main.replica("r")
    assert (seen["status"], seen["behind"] > 0) == ("ready", True)
    await main.run("CREATE (:Skipped)")
    assert (await main.count(), await replica.count()) == (4, 5)
    assert (await main.count("Skipped"), await replica.count("Skipped")) == (1, 0)


async def test_full_disk_ends_the_process_with_the_write(world: World) -> None:
    """Memgraph asserts that its log takes a commit: SIGABRT, nothing acknowledged, and what was
    acknowledged before is there after the restart."""
    stand = await world.stand("s").start()
    await write(stand, 2)
    assert (await stand.control("disk-full"))["disk_full"] is True
    assert await stand.count() == 2
    with pytest.raises(ConnectionResetError):
        await stand.run("CREATE (:X)")
    assert await stand.wait_end() == ABORTED
    assert "No space left on device" in (stand.directory / "stderr").read_text()
    await stand.start()
    assert await stand.count() == 2


async def test_full_disk_refuses_roles_and_registrations(world: World) -> None:
    """MEMGRAPH 1.5, 2.3: what cannot be persisted does not happen; REGISTER has its own number."""
    main, replica = await world.pair("SYNC")  # whose disk is not written to later
    await main.control("disk-full")
    refusal = await main.refused('REGISTER REPLICA s SYNC TO "127.0.0.9"')
    assert refusal.message == "Couldn't register replica s. Error: 4"
    assert (await main.refused("DROP REPLICA r")).message == "Failed to unregister the replica r."
    with pytest.raises(Refused, match="Couldn't set role to replica!"):
        await main.demote()
    assert [row[0] for row in await main.run("SHOW REPLICAS")] == ["r"]
    await main.control("disk-full", on=False)
    await write(main, 1)
    await replica.control("disk-full")
    with pytest.raises(Refused, match="Couldn't set replication role to main!"):
        await replica.promote()
    assert (await main.role(), await replica.role()) == ("main", "replica")


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


async def test_damaged_snapshot_falls_back_and_a_lone_one_ends_the_start(world: World) -> None:
    """Memgraph's recovery: an older snapshot and the log make up for a damaged one; when none can
    be read the process aborts rather than start empty."""
    stand = await world.stand("s").start()
    for _ in range(2):
        await write(stand, 2)
        await stand.run("CREATE SNAPSHOT")
    await stand.kill()
    first, second = sorted((stand.directory / "data" / "snapshots").iterdir())
    damage(second)
    await stand.start()
    assert await stand.count() == 4
    await stand.kill()
    damage(first)
    stand.spawn()
    assert await stand.wait_end() == ABORTED
    assert "couldn't recover using any" in (stand.directory / "stderr").read_text()


@pytest.mark.parametrize(
    ("gone", "text"),
    [(0, "missing prefix WAL files"), (1, "missing a WAL file with the sequence number 1!")],
)
async def test_missing_log_file_ends_the_start(world: World, gone: int, text: str) -> None:
    """Memgraph's recovery: a gap in the numbers of the log is fatal, at its beginning too."""
    stand = await world.stand("s").start()
    for _ in range(3):
        await write(stand, 1)
        await stand.kill()
        await stand.start()
    await stand.kill()
    sorted((stand.directory / "data" / "wal").iterdir())[gone].unlink()
    stand.spawn()
    assert await stand.wait_end() == ABORTED
    assert text in (stand.directory / "stderr").read_text()


async def test_without_log_nothing_replicates_and_nothing_stays(world: World) -> None:
    """MEMGRAPH 3.6, hole d: with the log off a write succeeds although its STRICT_SYNC replica is
    gone, and is gone itself after a kill."""
    main = world.stand("main", "--storage-wal-enabled=false")
    replica = world.stand("replica")
    await main.start()
    await replica.start()
    await replica.demote()
    await main.register("r", "STRICT_SYNC", replica)
    await replica.kill()
    await write(main, 2)
    assert await main.count() == 2
    await main.kill()
    await main.start()
    assert await main.count() == 0


async def test_log_needs_periodic_snapshots(world: World) -> None:
    """MEMGRAPH 6: with the log on and a snapshot interval of 0 the process refuses to start."""
    stand = world.stand("s", "--storage-snapshot-interval-sec=0")
    stand.spawn()
    assert await stand.wait_end() == 1
    assert "you must enable periodic snapshots" in (stand.directory / "stderr").read_text()


def test_the_environment_wins_over_the_bolt_port() -> None:
    """MEMGRAPH 6: MEMGRAPH_BOLT_PORT overrides the flag; an empty one does not."""
    arguments = ["--bolt-port", "1"]
    assert parse_flags(arguments, {"MEMGRAPH_BOLT_PORT": "2"}).number("bolt_port") == 2
    assert parse_flags(arguments, {"MEMGRAPH_BOLT_PORT": ""}).number("bolt_port") == 1


@pytest.mark.parametrize(
    ("given", "version", "release"),
    [("3.5", "3.5.0", (3, 5)), ("3.12.1", "3.12.1", (3, 12)), ("3", "3.0.0", (3, 0))],
)
def test_short_versions(given: str, version: str, release: tuple[int, int]) -> None:
    """A version may be given in one, two or three parts."""
    flags = parse_flags([f"--stand-in-version={given}"])
    assert (flags.version, flags.release) == (version, release)
