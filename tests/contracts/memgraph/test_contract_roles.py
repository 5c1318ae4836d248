"""Roles: what SET REPLICATION ROLE does, refuses, and leaves behind."""

import socket

import pytest
import trio
from contract_world import CLIENT, World
from fact_marks import seen, unseen
from neo4j.exceptions import ClientError
from raw_bolt import RUN, RawBolt
from texts import (
    DROP_ON_REPLICA,
    NO_DEMOTION,
    NO_PROMOTION,
    NOT_MAIN_ANYMORE,
    REGISTER_ON_REPLICA,
    SHOW_ON_REPLICA,
    WRITE_ON_REPLICA,
)

pytestmark = pytest.mark.process


@seen("1.2")
async def test_a_fresh_instance_is_a_writable_main(world: World) -> None:
    """A new instance says `main` in the one column `replication role`, has nobody registered, and
    takes writes."""
    (fresh,) = await world.start("fresh")
    answer = await fresh.ask("SHOW REPLICATION ROLE")
    assert (answer.keys, answer.rows) == (["replication role"], [("main",)])
    assert (await fresh.ask("SHOW REPLICAS")).rows == []
    await fresh.write()
    assert await fresh.count() == 1


@seen("1.5")
async def test_the_same_role_again_is_refused(world: World) -> None:
    """MAIN to MAIN and REPLICA to REPLICA fail as if a lock were busy, whatever the port."""
    (one,) = await world.start("one")
    refused = await one.refusal("SET REPLICATION ROLE TO MAIN")
    assert (refused.code, refused.message) == (CLIENT, NO_PROMOTION)
    await one.demote()
    for port in (one.replication_port, one.replication_port + 7):
        refused = await one.refusal(f"SET REPLICATION ROLE TO REPLICA WITH PORT {port}")
        assert (refused.code, refused.message) == (CLIENT, NO_DEMOTION)
    assert await one.role() == "replica"


@seen("1.5")
async def test_a_replica_refuses_what_only_a_main_does(world: World) -> None:
    """On a REPLICA, writes of every sort, SHOW REPLICAS, REGISTER and DROP are refused with texts
    of their own; reads are answered."""
    (one,) = await world.start("one")
    await one.write()
    await one.demote()
    cases = {
        "SHOW REPLICAS": SHOW_ON_REPLICA,
        'REGISTER REPLICA z SYNC TO "127.0.0.1:11999"': REGISTER_ON_REPLICA,
        "DROP REPLICA z": DROP_ON_REPLICA,
        "CREATE (n:X {v: 3})": WRITE_ON_REPLICA,
        "MATCH (n:NoSuch) SET n.v = 9": WRITE_ON_REPLICA,
        "CREATE INDEX ON :X(v)": WRITE_ON_REPLICA,
    }
    for statement, text in cases.items():
        refused = await one.refusal(statement)
        assert (refused.code, refused.message) == (CLIENT, text), statement
    assert await one.count() == 1


@seen("1.5")
async def test_demotion_forgets_every_registration(world: World) -> None:
    """After MAIN to REPLICA to MAIN nobody is registered, and the instance writes alone."""
    main, replica = await world.pair("STRICT_SYNC")
    await replica.kill()
    await main.demote()
    assert await main.role() == "replica"
    await main.promote()
    assert (await main.ask("SHOW REPLICAS")).rows == []
    await main.write()
    assert await main.count() == 1


@unseen("1.5")
async def test_promotion_closes_the_replication_port(world: World) -> None:
    """A promoted replica is main, has nobody registered, no longer listens, and takes writes."""
    main, replica = await world.pair("SYNC")
    await main.write(2)
    assert await replica.is_replication_port_open()
    await replica.promote()
    assert not await replica.is_replication_port_open()
    assert (await replica.ask("SHOW REPLICAS")).rows == []
    await replica.write()
    assert (await replica.count(), await main.count()) == (3, 2)


@seen("L14")
async def test_an_open_write_cannot_commit_after_the_demotion(world: World) -> None:
    """A transaction that wrote before the demotion fails at COMMIT and leaves nothing; one that
    only read finishes."""
    (one,) = await world.start("one")
    await one.write()
    driver = one.driver()
    with driver.session() as writing, driver.session() as reading:
        write, read = writing.begin_transaction(), reading.begin_transaction()
        write.run("CREATE (:Open)").consume()
        assert read.run("MATCH (n) RETURN count(n)").single(strict=True)[0] == 1
        await one.demote()
        assert read.run("MATCH (n) RETURN count(n)").single(strict=True)[0] == 1
        read.commit()
        with pytest.raises(ClientError, match=NOT_MAIN_ANYMORE):
            write.commit()
    assert await one.count("Open") == 0


@seen("1.5")
async def test_a_taken_port_makes_a_replica_without_a_server(world: World) -> None:
    """Demoting onto a taken port fails, yet the role is replica and stays so; another port is
    refused; only going through MAIN gets a port. The next start with the port taken aborts."""
    (one,) = await world.start("one")
    with socket.create_server(("0.0.0.0", one.replication_port)):
        refused = await one.refusal(
            f"SET REPLICATION ROLE TO REPLICA WITH PORT {one.replication_port}"
        )
        assert refused.message == NO_DEMOTION
        assert await one.role() == "replica"
        assert (await one.refusal("CREATE ()")).message == WRITE_ON_REPLICA
        other = f"SET REPLICATION ROLE TO REPLICA WITH PORT {one.replication_port + 1}"
        assert (await one.refusal(other)).message == NO_DEMOTION
        await one.kill()
        one.spawn()
        assert await one.wait_end() == -6
    await one.start()
    assert await one.role() == "replica"
    await one.promote()
    await one.ask(other)
    assert await one.role() == "replica"


@unseen("1.7")
async def test_a_restarted_main_is_a_main_with_its_registrations(world: World) -> None:
    """Killed and started again, a main is main at once, its replicas are attached and follow."""
    main, replica = await world.pair("SYNC")
    await main.write(3)
    await main.kill()
    await main.start()
    assert await main.role() == "main"
    await main.wait_status("r", "ready")
    await main.wait_writable()
    assert await main.count() == await replica.count()


@seen("1.7")
async def test_a_restarted_replica_follows_again_without_help(world: World) -> None:
    """Killed and started again, a replica is replica on its old port, and gets what it missed."""
    main, replica = await world.pair("ASYNC")
    await main.write(3)
    await main.wait_status("r", "ready")
    await replica.kill()
    await main.write(4)
    await main.wait_status("r", "invalid")
    await replica.start()
    assert await replica.role() == "replica"
    await main.wait_status("r", "ready")
    assert await replica.count() == 7
    assert (await main.replica("r"))["behind"] == 0


@unseen("1.7")
async def test_a_replica_with_an_empty_disk_is_lost_to_its_main(world: World) -> None:
    """Without its data directory a replica comes back as a main. Made a replica again it has a new
    identity, so the old registration never recovers; DROP and REGISTER bring it back."""
    main, replica = await world.pair("ASYNC")
    await main.write(3)
    await main.wait_status("r", "ready")
    await replica.kill()
    await main.write()
    await main.wait_status("r", "invalid")
    replica.data.rename(replica.directory / "lost")
    await replica.start()
    assert await replica.role() == "main"
    assert await replica.count() == 0
    await replica.demote()
    with pytest.raises(trio.TooSlowError):
        await main.wait_status("r", "ready", within_s=2.5)
    await main.drop("r")
    await main.register("r", "ASYNC", replica)
    await main.wait_status("r", "ready")
    assert await replica.count() == 4


@seen("L12")
async def test_roles_are_forgotten_without_the_restore_flag(world: World) -> None:
    """--replication-restore-state-on-startup=false starts a replica's directory as a main."""
    (one,) = await world.start("one")
    await one.demote()
    await one.kill()
    await one.start(replication_restore_state_on_startup="false")
    assert await one.role() == "main"
    await one.kill()
    await one.start()
    assert await one.role() == "replica"


@unseen("1.1")
async def test_a_second_system_query_does_not_wait(world: World) -> None:
    """While one SET ROLE, REGISTER or DROP waits to be pulled, another fails after 100 ms."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as first:
        await first.greet()
        await first.call(RUN, "DROP REPLICA nobody", {}, {})
        refused = await one.refusal("DROP REPLICA nobody")
        text = "Multiple concurrent system queries are not supported."
        assert (refused.code, refused.message) == (CLIENT, text)
