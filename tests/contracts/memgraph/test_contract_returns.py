"""Who may follow whom after a failover: divergence, the false one, and its cure."""

import pytest
from contract_world import Refused, Server, World
from fact_marks import seen
from texts import not_replicated, register_failed

pytestmark = pytest.mark.process

MODES = pytest.mark.parametrize("mode", ["SYNC", "STRICT_SYNC"])
MARKER = "CREATE (n:`__m`) DELETE n"
DIVERGED = register_failed("back", 3)


async def comes_back(old: Server, new: Server, mode: str) -> str:
    """Demote `old`, register it as `back` on `new`; the refusal's text, or nothing."""
    if await old.role() == "main":
        await old.demote()
    try:
        await new.register("back", mode, old)
    except Refused as refused:
        return refused.message
    return ""


async def fails_over(old: Server, new: Server) -> None:
    """`old` dies, `new` is promoted, `old` starts again as the main it was."""
    await old.kill()
    await new.promote()
    await old.start()
    assert await old.role() == "main"


async def restarts(replica: Server, main: Server) -> None:
    """The replica is killed, started, and `ready` again; one write went through after that."""
    await replica.kill()
    await replica.start()
    await main.wait_status("r", "ready")
    await main.wait_writable()


@seen("3.5")
@MODES
async def test_a_main_that_died_follows_its_successor(world: World, mode: str) -> None:
    """Killed, started again (as main, its replica `invalid`), demoted, registered: `ready` at
    once, nothing lost, and it follows. Timestamps: each write took two on both sides, the read
    one."""
    old, new = await world.pair(mode)
    await old.write(20)
    assert await old.count() == await new.count() == 20
    await fails_over(old, new)
    state = await old.replica("r")
    assert state == {"behind": -40, "status": "invalid", "ts": 0}
    assert await comes_back(old, new, mode) == ""
    assert (await new.replica("back")) == {"behind": 0, "status": "ready", "ts": 40}
    await new.write(1, label="After")
    assert (await new.replica("back")) == {"behind": 0, "status": "ready", "ts": 43}
    assert await old.count() == await new.count() == 21


@seen("3.5")
@MODES
async def test_it_gets_what_it_missed(world: World, mode: str) -> None:
    """Writes on the new main before the old one's return reach it by recovery."""
    old, new = await world.pair(mode)
    await old.write(20)
    await fails_over(old, new)
    await new.write(5)
    assert await comes_back(old, new, mode) == ""
    await new.wait_status("back", "ready")
    assert await old.count() == await new.count() == 25


@seen("L3")
@MODES
async def test_a_planned_change_and_back_again(world: World, mode: str) -> None:
    """Demoted first, promoted then: nobody diverges, there and back."""
    old, new = await world.pair(mode)
    await old.write(20)
    await old.demote()
    await new.promote()
    assert await comes_back(old, new, mode) == ""
    await new.write()
    await new.demote()
    await old.promote()
    await old.register("rback", mode, new)
    await old.wait_status("rback", "ready")
    await old.write()
    assert await old.count() == await new.count() == 22


@seen("3.5")
@MODES
async def test_an_emptied_main_follows_from_nothing(world: World, mode: str) -> None:
    """With its data directory gone the old main starts as an empty main, and recovers all."""
    old, new = await world.pair(mode)
    await old.write(20)
    await old.kill()
    await new.promote()
    old.data.rename(old.directory / "lost")
    await old.start()
    assert (await old.role(), await old.count()) == ("main", 0)
    assert await comes_back(old, new, mode) == ""
    await new.wait_status("back", "ready")
    assert await old.count() == 20


@seen("3.5")
@pytest.mark.parametrize("mode", ["SYNC", "ASYNC"])
@pytest.mark.parametrize("writes", [0, 1], ids=["idle", "after-a-write"])
async def test_a_main_with_writes_of_its_own_has_diverged(
    world: World, mode: str, writes: int
) -> None:
    """A SYNC main that wrote without its replica is refused with Error 3, also when the new main
    has written nothing; the row stays, empty; each try after a DROP is refused again; only wiped it
    may follow."""
    old, new = await world.pair("SYNC")
    await old.write(20)
    await new.kill()
    for _ in range(3):
        await old.refusal("CREATE (:Lonely)")
    await old.kill()
    await new.start()
    assert await new.role() == "replica"
    await new.promote()
    await new.write(writes, label="OnM2")
    await old.start()
    assert await old.role() == "main"
    for _ in range(2):
        assert await comes_back(old, new, mode) == DIVERGED
        assert await new.replica("back") == {}
        await new.drop("back")
    assert (await new.count(), await old.count()) == (20 + writes, 23)
    await old.kill()
    old.data.rename(old.directory / "lost")
    await old.start()
    assert await comes_back(old, new, mode) == ""
    await new.wait_status("back", "ready")
    assert await old.count() == 20 + writes


@seen("1.4", releases=("3.6.1", "3.12.0"))
async def test_a_refused_row_is_diverged_after_a_restart(world: World) -> None:
    """After a restart of the new main the row of the refused old one is `diverged`, and SYNC
    writes fail after committing; DROP ends it."""
    old, new = await world.pair("SYNC")
    await old.write(3)
    await new.promote()
    await old.refusal("CREATE (:Lonely)")
    await new.write(3)
    assert await comes_back(old, new, "SYNC") == DIVERGED
    await new.kill()
    await new.start()
    assert (await new.replica("back"))["status"] == "diverged"
    refused = await new.refusal("CREATE (:OnM2)")
    reason = "replica has diverged from main"
    expected = not_replicated(await new.release(), "SYNC", ["back"], reason=reason)
    assert (refused.code, refused.message) == expected
    assert (await new.replica("back"))["status"] == "diverged"
    await new.drop("back")
    assert (await new.ask("SHOW REPLICAS")).rows == []
    assert await new.count() == 7


@seen("3.5")
@MODES
async def test_a_restart_of_the_replica_alone_does_no_harm(world: World, mode: str) -> None:
    """The replica restarted, nothing was written after it, it was promoted: the old main follows.
    The first write of the new main moves the timestamp by one more than without the restart."""
    old, new = await world.pair(mode)
    await old.write(20)
    await new.kill()
    await new.start()
    await old.wait_status("r", "ready")
    await fails_over(old, new)
    assert await comes_back(old, new, mode) == ""
    assert (await new.replica("back")) == {"behind": 0, "status": "ready", "ts": 40}
    await new.write()
    assert await old.count() == await new.count() == 21


@seen("L4")
@MODES
@pytest.mark.parametrize("snapshot", [False, True], ids=["plain", "snapshot"])
async def test_false_divergence(world: World, mode: str, snapshot: bool) -> None:
    """The replica restarted, one write followed, it was promoted: the old main is refused with
    Error 3 though both hold the same. CREATE SNAPSHOT on the new main does not help."""
    old, new = await world.pair(mode)
    await old.write(5)
    await restarts(new, old)
    await fails_over(old, new)
    if snapshot:
        await new.ask("CREATE SNAPSHOT")
    assert await comes_back(old, new, mode) == DIVERGED
    assert await old.count() == await new.count() >= 6


@seen("L4")
async def test_false_divergence_meets_everybody(world: World) -> None:
    """An ASYNC replica that had everything is refused by such a main, too."""
    old, new, third = await world.start("old", "new", "third")
    for name, replica, mode in (("r", new, "STRICT_SYNC"), ("a", third, "ASYNC")):
        await replica.demote()
        await old.register(name, mode, replica)
    await old.write(5)
    await restarts(new, old)
    await old.wait_status("a", "ready")
    assert await third.count() == 6
    await old.kill()
    await new.promote()
    refused = await new.refusal(f'REGISTER REPLICA back ASYNC TO "{third.address}"')
    assert refused.message == DIVERGED


@seen("L4")
@pytest.mark.parametrize("snapshot", [False, True], ids=["plain", "snapshot"])
async def test_a_restart_of_the_new_main_hides_it(world: World, snapshot: bool) -> None:
    """Restarted before any storage snapshot, the new main has its old epoch back and accepts; with
    a storage snapshot it does not."""
    old, new = await world.pair("SYNC")
    await old.write(5)
    await restarts(new, old)
    await fails_over(old, new)
    if snapshot:
        await new.ask("CREATE SNAPSHOT")
    await new.kill()
    await new.start()
    assert await new.role() == "main"
    assert await comes_back(old, new, "SYNC") == (DIVERGED if snapshot else "")


@seen("L5")
@MODES
@pytest.mark.parametrize("marked", [True, False], ids=["with-write", "without-write"])
async def test_renewal_cures_it(world: World, mode: str, marked: bool) -> None:
    """After the replica's return: demote, promote and register again on the main, and one write.
    Then the replica's promotion is accepted; without the write it is refused."""
    old, new = await world.pair(mode)
    await old.write(5)
    await restarts(new, old)
    await old.demote()
    await old.promote()
    await old.register("r", mode, new)
    await old.wait_status("r", "ready")
    if marked:
        await old.ask(MARKER)
    await fails_over(old, new)
    assert await comes_back(old, new, mode) == ("" if marked else DIVERGED)
