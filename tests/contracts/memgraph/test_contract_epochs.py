"""What an instance remembers of whose data it has: epochs, and the cluster's storage UUID."""

import pytest
from contract_world import Server, World
from fact_marks import seen, unseen
from test_contract_returns import DIVERGED, comes_back

pytestmark = pytest.mark.process


@unseen("3.5")
@pytest.mark.parametrize("snapshot", [False, True], ids=["plain", "snapshot"])
async def test_a_new_epoch_is_lost_with_the_process(world: World, snapshot: bool) -> None:
    """Promoted and killed before its first write, the new main comes back with the old epoch: an
    old main with more data is taken as `ready`, and nobody is told. A storage snapshot right after
    the promotion prevents it: Error 3."""
    old, new = await world.pair("SYNC")
    await old.write(3)
    await new.promote()
    if snapshot:
        await new.ask("CREATE SNAPSHOT")
    await old.refusal("CREATE (:Lonely)")
    await new.kill()
    await new.start()
    if snapshot:
        assert await comes_back(old, new, "ASYNC") == DIVERGED
        return
    assert await comes_back(old, new, "ASYNC") == ""
    state = await new.replica("back")
    assert (state["status"], state["behind"] > 0) == ("ready", True)
    assert (await old.count(), await new.count()) == (4, 3)


@unseen("3.5")
async def test_a_main_ahead_of_its_async_replica_has_diverged(world: World) -> None:
    """An ASYNC replica that was promoted without the last writes refuses the main that has them."""
    old, new = await world.pair("ASYNC")
    await old.write(3)
    await old.wait_status("r", "ready")
    await new.kill()
    await old.write(2)
    await old.kill()
    await new.start()
    await new.promote()
    await old.start()
    assert (await old.count(), await new.count()) == (5, 3)
    assert await comes_back(old, new, "ASYNC") == DIVERGED


@seen("L17")
async def test_the_cluster_shares_the_storage_uuid_of_its_first_main(world: World) -> None:
    """Each fresh instance has its own; an empty replica takes over the main's with REGISTER and
    keeps it over a restart and a promotion; one with data of its own keeps its own."""
    main, empty, foreign = await world.start("main", "empty", "foreign")
    await foreign.write()
    uuids = {server.name: await uuid_of(server) for server in (main, empty, foreign)}
    assert len(set(uuids.values())) == 3
    for replica in (empty, foreign):
        await replica.demote()
        await main.register(replica.name, "ASYNC", replica)
    assert await uuid_of(empty) == uuids["main"]
    assert await uuid_of(foreign) == uuids["foreign"]
    assert (await main.replica("foreign"))["status"] == "invalid"
    await empty.kill()
    await empty.start()
    assert await uuid_of(empty) == uuids["main"]
    await empty.promote()
    assert await uuid_of(empty) == uuids["main"]


async def uuid_of(server: Server) -> str:
    """The storage UUID that an instance tells."""
    where = " ON CURRENT DATABASE" if await server.release() >= (3, 11) else ""
    rows = dict((await server.ask(f"SHOW STORAGE INFO{where}")).rows)
    return str(rows["database_uuid"])
