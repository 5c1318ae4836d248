"""Promotion, return, divergence and renewal between real stand-in processes."""

import signal

import pytest
import trio
from stand_in_world import CODE, Refused, Stand, World

pytestmark = pytest.mark.process

NOT_MAIN = "Cannot commit because instance is not main anymore."


async def return_to(main: Stand, old: Stand, mode: str = "SYNC") -> str:
    """Demote `old` and register it on `main`; the refusal's text, or the empty string."""
    await old.demote()
    try:
        await main.register("back", mode, old)
    except Refused as refusal:
        return refusal.message
    return ""


async def write(stand: Stand, count: int) -> None:
    for _ in range(count):
        await stand.run("CREATE (:X)")


async def test_plain_failover_and_return(world: World) -> None:
    """MEMGRAPH 3.5, transcript 06 a_plain: M1 dies, R is promoted, M1 comes back as MAIN,
    is demoted and registered, and follows."""
    m1, r = await world.pair("STRICT_SYNC")
    await write(m1, 5)
    await m1.kill()
    await r.promote()
    assert await r.run("SHOW REPLICAS") == []
    await m1.start()
    assert await m1.role() == "main"
    assert (await m1.replica("r"))["status"] == "invalid"
    assert "aborted" in (await m1.refused("CREATE (:Stray)")).message
    assert await return_to(r, m1, "STRICT_SYNC") == ""
    await write(r, 1)
    assert (await m1.count(), await r.count()) == (6, 6)


async def test_old_sync_main_with_an_extra_write_has_diverged(world: World) -> None:
    """MEMGRAPH 3.5, L2: a SYNC main that kept an errored write is refused with Error 3, the reason
    is only in the log, and the row stays as a zombie; wiped, it is accepted."""
    m1, r = await world.pair("SYNC")
    await write(m1, 2)
    await r.promote()
    await m1.refused("CREATE (:OnlyHere)")
    assert await return_to(r, m1) == "Couldn't register replica back. Error: 3"
    assert await r.replica("back") == {}
    assert "both" not in r.log
    assert "hold unique data" in r.log
    await r.run("DROP REPLICA back")
    wiped = await world.stand("wiped").start()
    assert await return_to(r, wiped) == ""
    await r.wait_status("back", "ready")
    assert await wiped.count() == 2


async def restarted_replica(world: World, *flags: str) -> tuple[Stand, Stand]:
    """A pair whose replica restarted within the epoch, with more writes after it."""
    m1, r = world.stand("main", *flags), world.stand("replica", *flags)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(m1.start)
        nursery.start_soon(r.start)
    await r.demote()
    await m1.register("r", "STRICT_SYNC", r)
    await write(m1, 3)
    await r.kill()
    await r.start()
    await m1.wait_status("r", "ready", 8)
    with trio.fail_after(8):
        while True:
            try:
                await write(m1, 1)
                break
            except Refused:
                await m1.wait_status("r", "ready", 8)
    await write(m1, 2)
    return m1, r


async def test_false_divergence_after_a_restart_of_the_replica(world: World) -> None:
    """MEMGRAPH L4, transcript 06 b2: identical data, yet Error 3; a snapshot does not help."""
    m1, r = await restarted_replica(world)
    await m1.kill()
    await r.promote()
    await r.run("CREATE SNAPSHOT")
    await m1.start()
    assert await return_to(r, m1) == "Couldn't register replica back. Error: 3"
    assert await m1.count() == await r.count() == 6


async def test_false_divergence_can_be_switched_off(world: World) -> None:
    """With `--stand-in-false-divergence=false` the same history is accepted, as up to 3.4."""
    m1, r = await restarted_replica(world, "--stand-in-false-divergence=false")
    await m1.kill()
    await r.promote()
    await m1.start()
    assert await return_to(r, m1) == ""


@pytest.mark.parametrize(("marker", "expected"), [(True, ""), (False, "Error: 3")])
async def test_renewal_cures_it_with_one_write(world: World, marker: bool, expected: str) -> None:
    """MEMGRAPH L5: demote, promote, register again and one write; without the write Error 3."""
    m1, r = await restarted_replica(world)
    await m1.demote()
    await m1.promote()
    await m1.register("r", "STRICT_SYNC", r)
    await m1.wait_status("r", "ready")
    if marker:
        await m1.run("CREATE (n:`__memgraph_controller`) DELETE n")
    await m1.kill()
    await r.promote()
    await m1.start()
    assert (await return_to(r, m1)).endswith(expected)
    assert ("back" in str(await r.run("SHOW REPLICAS"))) is True


@pytest.mark.parametrize(("snapshot", "expected"), [(False, ""), (True, "Error: 3")])
async def test_epoch_is_lost_on_an_early_kill(world: World, snapshot: bool, expected: str) -> None:
    """MEMGRAPH 3.5, transcript 13 v2 and v10: killed before a write or a snapshot, the promoted one
    comes back in the old epoch and takes everybody; after a snapshot it still refuses."""
    m1, r = await restarted_replica(world)
    await r.promote()
    if snapshot:
        await r.run("CREATE SNAPSHOT")
    await r.kill()
    await r.start()
    assert await r.role() == "main"
    assert (await return_to(r, m1)).endswith(expected)
    assert bool(await r.replica("back")) is not snapshot


async def test_planned_switchover_there_and_back(world: World) -> None:
    """MEMGRAPH L3, transcript 06 e: demote, promote, register, twice, with writes between."""
    m1, r = await world.pair("STRICT_SYNC")
    await write(m1, 3)
    await m1.demote()
    await r.promote()
    await r.register("m1", "STRICT_SYNC", m1)
    await write(r, 1)
    await r.demote()
    await m1.promote()
    await m1.register("r", "STRICT_SYNC", r)
    await write(m1, 1)
    assert (await m1.count(), await r.count()) == (5, 5)


async def test_role_texts(world: World) -> None:
    """MEMGRAPH 1.5, L14: what each command says in the wrong role; a port cannot change."""
    main, replica = await world.pair("SYNC")
    said = {
        "SET REPLICATION ROLE TO MAIN": "Couldn't set replication role to main!",
        "SET REPLICATION ROLE TO REPLICA": "Replica must set a port!",
        "SET REPLICATION ROLE TO REPLICA WITH PORT 70000": "Port number invalid!",
        "SET REPLICATION ROLE TO MAIN WITH PORT 1": "Main can't set a port!",
        "DROP REPLICA nobody": "Failed to unregister the replica nobody.",
    }
    for query, text in said.items():
        refusal = await main.refused(query)
        assert (refusal.code, refusal.message) == (CODE, text)
    said = {
        "SET REPLICATION ROLE TO REPLICA WITH PORT 10001": "Couldn't set role to replica!",
        'REGISTER REPLICA z SYNC TO "127.0.0.1"': "Replica can't register another replica!",
        "SHOW REPLICAS": "Show replicas query should only be run on the main instance.",
    }
    for query, text in said.items():
        assert (await replica.refused(query)).message == text
    assert (await replica.refused("DROP REPLICA z")).message.startswith("Replica can't unregister")
    write_refused = await replica.refused("MATCH (n:Nothing) SET n.v = 1")
    assert write_refused.message.startswith("Write queries are forbidden on the replica instance.")
    assert (await main.run("DROP REPLICA `r`"), await main.run("SHOW REPLICAS")) == ([], [])


async def test_open_transaction_cannot_commit_after_the_demotion(world: World) -> None:
    """MEMGRAPH 1.5, L14: the demotion does not wait for it; its commit fails, nothing is kept."""
    (main,) = await world.start("main")
    open_one = await main.connect()
    await open_one.begin()
    await open_one.run("CREATE (:Open)")
    await main.connect()
    await main.demote()
    with pytest.raises(Refused, match=NOT_MAIN):
        await open_one.commit()
    assert await main.count() == 0


async def test_taken_port_makes_a_replica_without_server(world: World) -> None:
    """MEMGRAPH 1.5 (trap), L12: the text is a refusal, the role is replica and persisted; the next
    start aborts (signal 6) until the port is free."""
    (main,) = await world.start("main")
    blocker = await trio.open_tcp_listeners(10000, host=main.address)
    refusal = await main.refused("SET REPLICATION ROLE TO REPLICA WITH PORT 10000")
    assert refusal.message == "Couldn't set role to replica!"
    assert await main.role() == "replica"
    await main.kill()
    main.spawn()
    assert await main.wait_end() == -signal.SIGABRT
    await blocker[0].aclose()
    await main.start()
    assert await main.role() == "replica"


async def test_boot_guard(world: World) -> None:
    """MEMGRAPH L12: the init file demotes before Bolt opens, on a fresh and on a former main's
    directory; registrations are gone; a bad line is logged; on a replica it is only a warning."""
    main, _ = await world.pair("SYNC")
    await write(main, 2)
    guard = main.directory / "guard.cypherl"
    guard.write_text("NONSENSE;\nSET REPLICATION ROLE TO REPLICA WITH PORT 10000;\n")
    await main.kill()
    for _ in range(2):
        await main.start(f"--init-file={guard}")
        assert await main.role() == "replica"
        assert (await main.refused("CREATE (:Early)")).message.startswith("Write queries are")
        await main.kill()
    assert "NONSENSE" in main.log
    await main.start("--init-file=/nowhere")
    await main.promote()
    assert (await main.run("SHOW REPLICAS"), await main.count()) == ([], 2)


async def test_state_flag_off_starts_as_main(world: World) -> None:
    """MEMGRAPH 1.7, transcript 05 d: without the flag a replica's directory boots as MAIN, and the
    stored state is untouched for the next start."""
    (stand,) = await world.start("stand")
    await stand.demote()
    await stand.kill()
    await stand.start("--replication-restore-state-on-startup=false")
    assert await stand.role() == "main"
    await stand.kill()
    await stand.start()
    assert await stand.role() == "replica"


async def test_replica_that_lost_its_disk_looks_ready_while_idle(world: World) -> None:
    """MEMGRAPH L7, L17: back empty within three pings, it is still shown `ready`; a write finds
    out, and it is `invalid` until it is dropped and registered anew."""
    main, replica = await world.pair("STRICT_SYNC")
    await write(main, 3)
    await replica.kill()
    (replica.directory / "data").rename(replica.directory / "lost")
    await replica.start()
    await replica.demote()
    assert (await main.replica("r"))["status"] == "ready"
    assert await replica.count() == 0
    await main.refused("CREATE (:X)")
    assert (await main.replica("r"))["status"] == "invalid"
    await main.run("DROP REPLICA r")
    await main.register("r", "STRICT_SYNC", replica)
    await main.wait_status("r", "ready")
    assert await replica.count() == 3


async def test_new_main_takes_a_replica_from_the_old_one(world: World) -> None:
    """MEMGRAPH facts 3 and 4, 3.6: all share one storage UUID, so only the main UUID keeps the old
    main out: what M2 registered rejects M1's next write, and stays `invalid` for it."""
    m1, r = await world.pair("STRICT_SYNC")
    a = await world.stand("a").start()
    await a.demote()
    await m1.register("a", "STRICT_SYNC", a)
    await write(m1, 1)
    await r.promote()
    await r.register("a", "STRICT_SYNC", a)
    await m1.run("DROP REPLICA r")
    assert (await m1.replica("a"))["status"] == "ready"
    assert "RPC communication error" in (await m1.refused("CREATE (:Stray)")).message
    assert "not in sync with the main" in (await m1.refused("CREATE (:Stray)")).message
    await write(r, 1)
    assert (await a.count(), await a.count("Stray")) == (2, 0)
    await r.demote()
    assert (await m1.replica("a"))["status"] == "invalid"
