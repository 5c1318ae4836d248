"""Writes: what a client is told, and where the data are afterwards."""

import pytest
import trio
from contract_world import CLIENT, TRANSIENT, Refused, Server, World
from fact_marks import seen, unseen
from neo4j.exceptions import ClientError
from texts import CONFLICT, CONNECTION_BROKE, NOT_IN_SYNC, not_replicated

pytestmark = pytest.mark.process

FRAMED = ("3.5.0", "3.8.0", "3.10.0", "3.12.0")
MODES = pytest.mark.parametrize("mode", ["SYNC", "STRICT_SYNC"])
MARKER = "CREATE (n:`__m`) DELETE n"


async def refused_write(
    main: Server, mode: str, *names: str, statement: str = "CREATE (:X)"
) -> None:
    """A write that fails with the sentence of the server's release. The first one after a replica's
    end may find the connection broken, every later one the replica not in sync."""
    refused = await main.refusal(statement)
    reasons = (NOT_IN_SYNC, CONNECTION_BROKE)
    expected = [not_replicated(await main.release(), mode, names, reason=r) for r in reasons]
    assert (refused.code, refused.message) in expected


@seen("3.2")
@MODES
async def test_success_means_that_the_replica_has_it(world: World, mode: str) -> None:
    """When a write succeeds, the SYNC or STRICT_SYNC replica shows it at once, `ready` with the
    main's own timestamp."""
    main, replica = await world.pair(mode)
    for count in range(1, 11):
        await main.write()
        assert await replica.count() == count
    state = await main.replica("r")
    assert (state["status"], state["ts"], state["behind"]) == ("ready", 20, 0)


@seen("L11", releases=("3.6.1",))
@MODES
async def test_a_dead_replica_of_a_seen_release(world: World, mode: str) -> None:
    """Without its replica each write of a SYNC main fails *after* committing, one of STRICT_SYNC
    commits nowhere; both at once, and again until the replica is back."""
    await dead_replica(world, mode)


@unseen("2.1", releases=FRAMED)
@MODES
async def test_a_dead_replica_of_other_releases(world: World, mode: str) -> None:
    """A write without its replica fails with the sentence and the class of its release; SYNC has
    committed it, STRICT_SYNC has not."""
    await dead_replica(world, mode)


async def dead_replica(world: World, mode: str) -> None:
    """One write before, one and an index without the replica, one after its return."""
    main, replica = await world.pair(mode)
    await main.write()
    await replica.kill()
    begin_s = trio.current_time()
    await refused_write(main, mode, "r")
    assert (await main.replica("r"))["status"] == "invalid"
    await refused_write(main, mode, "r", statement="CREATE INDEX ON :X(v)")
    assert trio.current_time() - begin_s < 5
    committed = mode == "SYNC"
    assert await main.count() == (2 if committed else 1)
    assert len((await main.ask("SHOW INDEX INFO")).rows) == (1 if committed else 0)
    await replica.start()
    await main.wait_status("r", "ready")
    await main.wait_writable()
    assert await main.count() == await replica.count() == (3 if committed else 2)


@seen("L11")
@MODES
async def test_what_changes_nothing_needs_no_replica(world: World, mode: str) -> None:
    """Reads, a MERGE that matches and a SET on nothing succeed without the replica."""
    main, replica = await world.pair(mode)
    await main.ask("CREATE (:X {v: 0})")
    await replica.kill()
    assert (await main.ask("MATCH (n:NoSuch) SET n.v = 1")).rows == []
    assert (await main.ask("MERGE (n:X {v: 0}) RETURN n.v")).rows == [(0,)]
    assert await main.count() == 1


@seen("L11")
async def test_an_async_replica_is_never_reported(world: World) -> None:
    """Without its ASYNC replica a main writes as if alone; `behind` says by how much."""
    main, replica = await world.pair("ASYNC")
    await main.write()
    await main.wait_status("r", "ready")
    await replica.kill()
    await main.write(2)
    state = await main.replica("r")
    assert (state["status"], state["ts"]) == ("invalid", 2)
    assert state["behind"] < 0


@unseen("2.1", releases=("3.5.0", "3.7.0", "3.8.0", "3.12.0"))
@MODES
async def test_at_commit_it_is_a_client_error_in_every_release(world: World, mode: str) -> None:
    """An explicit COMMIT that a replica did not confirm is a ClientError, also where auto-commit
    is a TransientError; so no driver repeats it."""
    main, replica = await world.pair(mode)
    await replica.kill()
    await main.refusal("CREATE (:X)")

    def commit() -> ClientError:
        with main.driver().session() as session:
            transaction = session.begin_transaction()
            transaction.run("CREATE (:X)").consume()
            with pytest.raises(ClientError) as told:
                transaction.commit()
            return told.value

    error = await trio.to_thread.run_sync(commit)
    _, text = not_replicated(await main.release(), mode, ["r"])
    assert (error.code, error.message) == (CLIENT, text)
    assert await main.count() == (2 if mode == "SYNC" else 0)


@unseen("2.1", releases=("3.10.0", "3.12.0"))
async def test_several_replicas_in_one_sentence(world: World) -> None:
    """Replicas with the same mode and reason are told together: 'a' and 'b'; 'a', 'b' and 'c'."""
    main, *replicas = await world.start("main", "a", "b", "c")
    for replica in replicas:
        await replica.demote()
        await main.register(replica.name, "SYNC", replica)
    await replicas[0].kill()
    await replicas[1].kill()
    await main.refusal("CREATE (:X)")
    await refused_write(main, "SYNC", "a", "b")
    await replicas[2].kill()
    await main.refusal("CREATE (:X)")
    await refused_write(main, "SYNC", "a", "b", "c")
    assert await main.count() == 4


@unseen("3.3")
async def test_strict_sync_commits_everywhere_or_nowhere(world: World) -> None:
    """With one of two STRICT_SYNC replicas dead, the write is on neither the main, nor the living
    replica, nor an ASYNC one."""
    main, alive, dead, late = await world.start("main", "alive", "dead", "late")
    for replica, mode in ((alive, "STRICT_SYNC"), (dead, "STRICT_SYNC"), (late, "ASYNC")):
        await replica.demote()
        await main.register(replica.name, mode, replica)
    await main.write()
    await dead.kill()
    await refused_write(main, "STRICT_SYNC", "dead")
    assert [await server.count() for server in (main, alive)] == [1, 1]
    await main.wait_status("late", "ready")
    assert await late.count() == 1
    await main.drop("dead")
    await main.write()
    assert [await server.count() for server in (main, alive)] == [2, 2]


@seen("3.6")
async def test_sync_is_no_fence(world: World) -> None:
    """After its replica was promoted, a SYNC main still commits what it refuses."""
    old, new = await world.pair("SYNC")
    await old.write()
    await new.promote()
    for _ in range(3):
        await refused_write(old, "SYNC", "r")
    assert (await old.role(), await old.count(), await new.count()) == ("main", 4, 1)


@seen("3.6")
async def test_strict_sync_is_a_fence_while_it_is_registered(world: World) -> None:
    """After its replica was promoted, a STRICT_SYNC main commits nothing and serves reads; after a
    DROP it writes freely."""
    old, new = await world.pair("STRICT_SYNC")
    await old.write()
    await new.promote()
    for _ in range(3):
        await refused_write(old, "STRICT_SYNC", "r")
    assert (await old.role(), await old.count(), await new.count()) == ("main", 1, 1)
    await old.drop("r")
    await old.write()
    assert await old.count() == 2


@unseen("3.6")
async def test_a_restart_does_not_lift_the_fence(world: World) -> None:
    """A STRICT_SYNC main that was killed comes back as main and refuses every write, whether its
    replica is gone, main by now, or somebody else's."""
    old, new, third = await world.start("old", "new", "third")
    await new.demote()
    await old.register("r", "STRICT_SYNC", new)
    await old.write()
    await new.promote()
    await old.kill()
    await old.start()
    await refused_write(old, "STRICT_SYNC", "r")
    await new.demote()
    await third.register("r", "ASYNC", new)
    await refused_write(old, "STRICT_SYNC", "r")
    assert (await old.role(), await old.count()) == ("main", 1)


@seen("L6")
@MODES
async def test_the_marker_write(world: World, mode: str) -> None:
    """Creating and deleting a node in one statement is a commit that leaves nothing, and fails as
    any write does without the replica."""
    main, replica = await world.pair(mode)
    await main.write()
    before = (await main.replica("r"))["ts"]
    await main.ask(MARKER)
    after = (await main.replica("r"))["ts"]
    assert 2 <= after - before <= 3
    assert await main.count() == await replica.count() == 1
    await replica.kill()
    await refused_write(main, mode, "r", statement=MARKER)


@unseen("2.1")
async def test_a_write_conflict_is_transient(world: World) -> None:
    """Two transactions that change one node: the second is told to retry."""
    (one,) = await world.start("one")
    await one.ask("CREATE (:T {v: 1})")
    with one.driver().session() as session, session.begin_transaction() as transaction:
        transaction.run("MATCH (t:T) SET t.v = 2").consume()
        refused = await one.refusal("MATCH (t:T) SET t.v = 3")
        assert (refused.code, refused.message) == (TRANSIENT, CONFLICT)
        transaction.commit()
    assert (await one.ask("MATCH (t:T) RETURN t.v")).rows == [(2,)]


@unseen("2.1")
async def test_users_cannot_be_made_on_a_replica(world: World) -> None:
    """CREATE USER on a REPLICA is refused as a client's error that points at the main."""
    (one,) = await world.start("one")
    await one.demote()
    refused = await one.refusal("CREATE USER u IDENTIFIED BY 'p'")
    assert refused.code == CLIENT
    assert refused.message.startswith("Query forbidden on the replica! Update on MAIN")


@unseen("3.6")
async def test_mixing_sync_and_strict_sync_fails_every_other_write(world: World) -> None:
    """With both sorts registered, SYNC replicas are left out and lost: writes begin to abort."""
    main, s, ss = await world.start("main", "s", "ss")
    for replica, mode in ((s, "SYNC"), (ss, "STRICT_SYNC")):
        await replica.demote()
        await main.register(replica.name, mode, replica)
    outcomes = []
    for _ in range(4):
        try:
            await main.write()
            outcomes.append("committed")
        except Refused:
            outcomes.append("refused")
    assert "refused" in outcomes


@seen("1.4")
async def test_recovery_of_a_replica_that_is_behind(world: World) -> None:
    """A replica registered on a main with data is `recovery` and then `ready`, with all of it;
    `behind` is negative meanwhile."""
    main, replica = await world.start("main", "replica")
    await main.ask("UNWIND range(1, 2000) AS i CREATE (:X {i: i})")
    await replica.demote()
    await main.register("r", "ASYNC", replica)
    state = await main.replica("r")
    assert state["status"] in ("recovery", "ready")
    if state["status"] == "recovery":
        assert state["behind"] < 0
    await main.wait_status("r", "ready")
    assert await replica.count() == 2000


@unseen("2.1")
async def test_a_trigger_before_the_commit_may_fail_it(world: World) -> None:
    """A BEFORE COMMIT trigger that fails aborts the write, as a TransientError that names it."""
    (one,) = await world.start("one")
    await one.ask("CREATE TRIGGER t ON () CREATE BEFORE COMMIT EXECUTE RETURN 1/0")
    refused = await one.refusal("CREATE (:X)")
    assert refused.code == TRANSIENT
    assert refused.message.startswith("Trigger 't' caused the transaction to fail.")
    assert await one.count() == 0


@unseen("3.6")
async def test_triggers_are_not_replicated(world: World) -> None:
    """A trigger made on the main is not on its replica; an index is."""
    main, replica = await world.pair("SYNC")
    await main.ask("CREATE TRIGGER t ON () CREATE AFTER COMMIT EXECUTE CREATE (:Log)")
    await main.ask("CREATE INDEX ON :X(v)")
    assert len((await main.ask("SHOW TRIGGERS")).rows) == 1
    assert (await replica.ask("SHOW TRIGGERS")).rows == []
    assert len((await replica.ask("SHOW INDEX INFO")).rows) == 1
