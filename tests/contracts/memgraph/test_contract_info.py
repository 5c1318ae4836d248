"""SHOW ... and CREATE SNAPSHOT: columns and rows; and how timestamps are counted."""

import uuid

import pytest
from contract_world import CLIENT, TRANSIENT, World
from fact_marks import seen, unseen
from neo4j.exceptions import ClientError
from texts import in_transaction

pytestmark = pytest.mark.process

UP_TO_310 = [
    *("name", "database_uuid", "vertex_count", "edge_count", "average_degree"),
    *("vm_max_map_count", "memory_res", "peak_memory_res", "unreleased_delta_objects"),
    *("disk_usage", "memory_tracked", "allocation_limit", "global_isolation_level"),
    *("session_isolation_level", "next_session_isolation_level", "storage_mode"),
]
FROM_311 = [
    *("vm_max_map_count", "memory_res", "peak_memory_res", "disk_usage", "memory_tracked"),
    *("memory_limit", "license_memory_limit", "query+graph_memory_tracked"),
    *("vector_index_memory_tracked", "global_isolation_level", "session_isolation_level"),
    *("next_session_isolation_level", "global_storage_mode"),
]
DATABASE_FROM_312 = [
    *("name", "database_uuid", "state", "storage_mode", "vertex_count", "edge_count"),
    *("average_degree", "unreleased_delta_objects", "disk_usage", "graph_memory_tracked"),
    *("query_memory_tracked", "vector_index_memory_tracked", "tenant_memory_tracked"),
    *("tenant_peak_memory_tracked", "tenant_memory_limit", "storage_isolation_level", "health"),
]


@seen("4", releases=("3.6.1",))
async def test_storage_info_of_seen_releases(world: World) -> None:
    """Up to 3.9 the plain form has the database's name, UUID and counts; sizes are text."""
    (one,) = await world.start("one")
    await one.write(2)
    answer = await one.ask("SHOW STORAGE INFO")
    assert answer.keys == ["storage info", "value"]
    rows = dict(answer.rows)
    if await one.release() < (3, 10):
        assert [row[0] for row in answer.rows] == UP_TO_310
        assert (rows["name"], rows["vertex_count"], rows["edge_count"]) == ("memgraph", 2, 0)
        assert rows["average_degree"] == 0.0
        assert uuid.UUID(rows["database_uuid"])
        assert rows["storage_mode"] == "IN_MEMORY_TRANSACTIONAL"
    assert rows["memory_res"].endswith("iB")


@unseen("4", releases=("3.11.0", "3.12.0"))
async def test_storage_info_of_later_releases(world: World) -> None:
    """From 3.11 the plain form tells of the instance only; the database is asked for by name."""
    (one,) = await world.start("one")
    if await one.release() < (3, 11):
        return
    await one.write(2)
    answer = await one.ask("SHOW STORAGE INFO")
    assert [row[0] for row in answer.rows] == FROM_311
    for where in ("CURRENT DATABASE", "DATABASE memgraph"):
        answer = await one.ask(f"SHOW STORAGE INFO ON {where}")
        names = [row[0] for row in answer.rows]
        rows = dict(answer.rows)
        if await one.release() == (3, 12):
            assert names == DATABASE_FROM_312
            assert (rows["state"], rows["health"]) == ("HOT", "ready")
        assert (rows["name"], rows["vertex_count"]) == ("memgraph", 2)
        assert uuid.UUID(rows["database_uuid"])


@seen("4")
async def test_storage_info_is_told_by_a_replica_too(world: World) -> None:
    """A REPLICA tells its database UUID."""
    (one,) = await world.start("one")
    where = " ON CURRENT DATABASE" if await one.release() >= (3, 11) else ""
    before = dict((await one.ask(f"SHOW STORAGE INFO{where}")).rows)
    await one.demote()
    after = dict((await one.ask(f"SHOW STORAGE INFO{where}")).rows)
    assert before["database_uuid"] == after["database_uuid"]


@seen("4")
async def test_columns(world: World) -> None:
    """The columns of what a controller or a person asks."""
    (one,) = await world.start("one")
    columns = {
        "SHOW VERSION": ["version"],
        "SHOW LICENSE INFO": ["license info", "value"],
        "SHOW BUILD INFO": ["build info", "value"],
        "SHOW CONFIG": ["name", "default_value", "current_value", "description"],
        "SHOW INDEX INFO": ["index type", "label", "property", "count"],
        "SHOW REPLICAS": ["name", "socket_address", "sync_mode", "system_info", "data_info"],
        "CREATE SNAPSHOT": ["path"],
    }
    for statement, expected in columns.items():
        assert (await one.ask(statement)).keys == expected, statement


@unseen("4")
async def test_columns_of_snapshots_and_constraints(world: World) -> None:
    """The columns of SHOW SNAPSHOTS and SHOW CONSTRAINT INFO."""
    (one,) = await world.start("one")
    keys = (await one.ask("SHOW SNAPSHOTS")).keys
    assert keys == ["path", "timestamp", "creation_time", "size"]
    keys = (await one.ask("SHOW CONSTRAINT INFO")).keys
    assert keys == ["constraint type", "label", "properties", "data_type"]


@unseen("4")
async def test_columns_of_triggers(world: World) -> None:
    """The columns of SHOW TRIGGERS."""
    (one,) = await world.start("one")
    columns = ["trigger name", "statement", "privilege context", "event type", "phase", "owner"]
    assert (await one.ask("SHOW TRIGGERS")).keys == columns


@unseen("4")
async def test_columns_of_transactions(world: World) -> None:
    """The columns of SHOW TRANSACTIONS."""
    (one,) = await world.start("one")
    columns = "username transaction_id query status metadata start_time elapsed_ms"
    assert (await one.ask("SHOW TRANSACTIONS")).keys == columns.split()


@seen("4")
async def test_the_licence(world: World) -> None:
    """That there is no licence is told in words."""
    (one,) = await world.start("one")
    rows = dict((await one.ask("SHOW LICENSE INFO")).rows)
    assert (rows["is_valid"], rows["license_type"]) == (False, "")
    assert rows["status"] == "You have not provided any license!"


@unseen("4")
async def test_the_flags(world: World) -> None:
    """SHOW CONFIG tells the flags that safety rests on as they are."""
    (one,) = await world.start("one")
    config = {row[0]: row[2] for row in (await one.ask("SHOW CONFIG")).rows}
    assert config["replication_restore_state_on_startup"] == "true"
    assert config["storage_wal_enabled"] == "true"
    assert config["storage_wal_file_flush_every_n_tx"] == "1"


@seen("4")
async def test_what_needs_a_licence(world: World) -> None:
    """SHOW DATABASES is refused without a licence, with a sentence that says so."""
    (one,) = await world.start("one")
    refused = await one.refusal("SHOW DATABASES")
    assert refused.code == CLIENT
    assert refused.message.startswith("Your license has an invalid type.")


@unseen("4")
async def test_show_instances_in_community(world: World) -> None:
    """The coordinators' query says that there is none."""
    (one,) = await world.start("one")
    refused = await one.refusal("SHOW INSTANCES")
    assert refused.code == CLIENT
    assert refused.message == (
        "Coordinator was not initialized as coordinator port, coordinator id or management port "
        "were not set."
    )


@seen("2.4", releases=("3.6.1",))
async def test_no_replication_in_explicit_transactions_of_a_seen_release(world: World) -> None:
    """SHOW and SET alike are refused inside BEGIN, with the misspelling of 3.6."""
    await refused_in_transaction(world)


@unseen("2.4", releases=("3.12.0",))
async def test_no_replication_in_explicit_transactions_of_the_latest(world: World) -> None:
    """SHOW and SET alike are refused inside BEGIN, with the misspelling of 3.12."""
    await refused_in_transaction(world)


async def refused_in_transaction(world: World) -> None:
    """Every replication query in a transaction of its own."""
    (one,) = await world.start("one")
    for statement in ("SHOW REPLICATION ROLE", "SHOW REPLICAS", "SET REPLICATION ROLE TO MAIN"):
        with one.driver().session() as session:
            transaction = session.begin_transaction()
            with pytest.raises(ClientError) as told:
                transaction.run(statement).consume()
            transaction.close()
            assert told.value.message == in_transaction(await one.release()), statement


@seen("4", releases=("3.6.1",))
async def test_a_replica_makes_no_snapshot_up_to_36(world: World) -> None:
    """CREATE SNAPSHOT on a REPLICA is refused as transient up to 3.6."""
    (one,) = await world.start("one")
    if await one.release() > (3, 6):
        return
    await one.demote()
    refused = await one.refusal("CREATE SNAPSHOT")
    text = "Failed to create a snapshot. Replica instances are not allowed to create them."
    assert (refused.code, refused.message) == (TRANSIENT, text)


@unseen("4")
async def test_a_snapshot_tells_the_timestamp_of_the_data(world: World) -> None:
    """The path ends in `_timestamp_` and the last commit's timestamp, also on a replica from 3.8
    on: the only way to read an instance's own."""
    main, replica = await world.pair("SYNC")
    await main.write(3)
    ts = (await main.replica("r"))["ts"]
    asked = (main, replica) if await main.release() >= (3, 8) else (main,)
    for server in asked:
        path = str((await server.ask("CREATE SNAPSHOT")).value)
        assert path.endswith(f"_timestamp_{ts}")
        (row,) = (await server.ask("SHOW SNAPSHOTS")).rows
        assert row[:2] == (path, ts)


@seen("8")
async def test_what_takes_a_timestamp(world: World) -> None:
    """The first CREATE has timestamp 2, each commit takes two, each read one; SHOW takes none."""
    main, _ = await world.pair("SYNC")
    await main.write()
    assert (await main.replica("r"))["ts"] == 2
    for _ in range(3):
        await main.ask("SHOW REPLICATION ROLE")
    await main.write()
    assert (await main.replica("r"))["ts"] == 4
    await main.count()
    await main.write()
    assert await main.replica("r") == {"ts": 7, "behind": 0, "status": "ready"}


@unseen("8")
async def test_what_else_takes_a_timestamp(world: World) -> None:
    """An index and CREATE SNAPSHOT take one at their start; INFO queries take none."""
    main, _ = await world.pair("SYNC")
    await main.write()
    for show in ("SHOW STORAGE INFO", "SHOW INDEX INFO", "SHOW CONFIG", "SHOW VERSION"):
        await main.ask(show)
    await main.write()
    assert (await main.replica("r"))["ts"] == 4
    await main.ask("CREATE INDEX ON :X(v)")
    assert (await main.replica("r"))["ts"] == 6
    await main.ask("CREATE SNAPSHOT")
    await main.write()
    assert (await main.replica("r"))["ts"] == 9


@unseen("8")
async def test_explaining_takes_a_timestamp(world: World) -> None:
    """EXPLAIN takes one as a read does, and runs nothing."""
    main, _ = await world.pair("SYNC")
    await main.ask("EXPLAIN CREATE (:X)")
    await main.write()
    assert (await main.replica("r"))["ts"] == 3
    assert await main.count() == 1


@seen("8")
async def test_timestamps_go_on_after_a_restart(world: World) -> None:
    """A main that was killed goes on behind its last commit, with one taken at the start."""
    main, _ = await world.pair("SYNC")
    await main.write(5)
    assert (await main.replica("r"))["ts"] == 10
    await main.kill()
    await main.start()
    await main.wait_status("r", "ready")
    await main.write()
    assert (await main.replica("r"))["ts"] == 13


@unseen("10.14")
async def test_ids_are_the_same_everywhere(world: World) -> None:
    """A node has the same id on the main and on a replica that got it either way."""
    main, early, late = await world.start("main", "early", "late")
    await early.demote()
    await main.register("early", "SYNC", early)
    await main.ask("UNWIND range(1, 5) AS i CREATE (:X {i: i})")
    await late.demote()
    await main.register("late", "ASYNC", late)
    await main.wait_status("late", "ready")
    query = "MATCH (n:X) RETURN id(n), n.i ORDER BY n.i"
    expected = (await main.ask(query)).rows
    assert (await early.ask(query)).rows == (await late.ask(query)).rows == expected
