"""What drivers make of it: neo4j's and Memgraph's own."""

from typing import Any

import mgclient
import neo4j
import pytest
import trio
from contract_world import Server, World
from fact_marks import seen, unseen
from neo4j.exceptions import ClientError, ServiceUnavailable

pytestmark = pytest.mark.process


def url(server: Server, scheme: str = "bolt") -> str:
    """Where a driver finds it."""
    return f"{scheme}://{server.host}:{server.bolt_port}"


@seen("5")
async def test_neo4j_driver(world: World) -> None:
    """5.2, the server's name, element ids, counters, no bookmark; and every way to run a query."""
    (one,) = await world.start("one")

    def work() -> None:
        with neo4j.GraphDatabase.driver(url(one)) as driver, driver.session() as session:
            driver.verify_connectivity()
            info = driver.get_server_info()
            assert (info.protocol_version, info.agent[:13]) == ((5, 2), "Neo4j/v5.11.0")
            result = session.run("CREATE (n:E {x: 1}) RETURN n")
            node = result.single(strict=True)["n"]
            counters = result.consume().counters
            assert (node.labels, dict(node)) == (frozenset({"E"}), {"x": 1})
            assert node.element_id.isdigit()
            assert (counters.nodes_created, counters.contains_updates) == (1, True)
            assert not session.last_bookmarks().raw_values
            found = driver.execute_query("MATCH (n:E) RETURN n.x AS x").records
            assert [record["x"] for record in found] == [1]
            session.execute_write(lambda tx: tx.run("CREATE (:E)").consume())
            read = session.execute_read(lambda tx: tx.run("MATCH (n:E) RETURN count(n)").single())
            assert read is not None
            assert read[0] == 2

    await trio.to_thread.run_sync(work)


@seen("L16")
async def test_a_read_session_may_write(world: World) -> None:
    """The access mode of a session does not keep auto-commit writes away."""
    (one,) = await world.start("one")

    def work() -> None:
        with one.driver().session(default_access_mode=neo4j.READ_ACCESS) as session:
            session.run("CREATE (:E)").consume()

    await trio.to_thread.run_sync(work)
    assert await one.count() == 1


@seen("5")
async def test_routing_drivers_find_nobody(world: World) -> None:
    """neo4j:// ends in ServiceUnavailable."""
    (one,) = await world.start("one")

    def work() -> None:
        nobody = pytest.raises(ServiceUnavailable, match="Unable to retrieve routing information")
        driver = neo4j.GraphDatabase.driver(url(one, "neo4j"))
        with driver, driver.session() as session, nobody:
            session.run("RETURN 1").consume()

    await trio.to_thread.run_sync(work)


@seen("5")
@pytest.mark.parametrize("auth", [None, ("", ""), ("user", "pw")])
async def test_without_users_everybody_may_come(world: World, auth: tuple[str, str] | None) -> None:
    """Nobody, the empty name and any name with any password are let in."""
    (one,) = await world.start("one")

    def work() -> Any:
        with neo4j.GraphDatabase.driver(url(one), auth=auth) as driver:
            return driver.execute_query("RETURN 1 AS x").records[0]["x"]

    assert await trio.to_thread.run_sync(work) == 1


@unseen("5")
async def test_the_user_of_the_environment(world: World) -> None:
    """With MEMGRAPH_USER and MEMGRAPH_PASSWORD others are refused with a plain ClientError and the
    connection's end; who has the password comes in."""
    one = world.server("one")
    one.env.update(MEMGRAPH_USER="ada", MEMGRAPH_PASSWORD="secret")
    await one.start()

    def work() -> None:
        with neo4j.GraphDatabase.driver(url(one), auth=("ada", "secret")) as driver:
            assert driver.execute_query("RETURN 1 AS x").records[0]["x"] == 1
        for auth in (("ada", "wrong"), None):
            refused = pytest.raises(ClientError, match="Authentication failure")
            with neo4j.GraphDatabase.driver(url(one), auth=auth) as driver, refused as told:
                driver.execute_query("RETURN 1")
            assert told.value.code == "Memgraph.ClientError.Security.Unauthenticated"

    await trio.to_thread.run_sync(work)


@unseen("5")
async def test_memgraphs_own_driver(world: World) -> None:
    """pymgclient connects, works in transactions of its own, rolls back and commits."""
    (one,) = await world.start("one")

    def work() -> None:
        connection = mgclient.connect(host=one.host, port=one.bolt_port)
        cursor = connection.cursor()
        cursor.execute("CREATE (:G)")
        connection.rollback()
        cursor.execute("CREATE (:G {v: $v}) RETURN 5", {"v": 5})
        assert cursor.fetchall() == [(5,)]
        connection.commit()
        connection.autocommit = True
        cursor.execute("SHOW REPLICATION ROLE")
        assert cursor.fetchall() == [("main",)]
        connection.close()

    await trio.to_thread.run_sync(work)
    assert await one.count("G") == 1


@unseen("5")
async def test_values_there_and_back(world: World) -> None:
    """Every kind of value that a parameter may be returns as it was."""
    (one,) = await world.start("one")
    values = {
        "i": [0, -1, 127, 128, -129, 40_000, -(2**31) - 1, 2**63 - 1],
        "f": [0.1, -1e300],
        "s": ["", "ü", "x" * 70_000],
        "m": {"k": [True, False, None, {"z": {}}]},
        "l": list(range(300)),
    }
    assert (await one.ask("RETURN $v", v=values)).rows == [(values,)]
