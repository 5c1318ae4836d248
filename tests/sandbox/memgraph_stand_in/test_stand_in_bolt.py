"""The stand-in's Bolt, seen by real drivers and by bytes no driver would send."""

import asyncio
from typing import Any

import mgclient
import neo4j
import pytest
import trio
from neo4j.exceptions import ClientError, ServiceUnavailable, TransientError
from stand_in_world import CODE, TRANSIENT, Refused, Stand, World, handshake

from controller.sandbox.memgraph.bolt.framing import MAGIC, MessageReader, chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack, unpack

pytestmark = pytest.mark.process


@pytest.fixture
async def stand(world: World) -> Stand:
    return (await world.start("stand"))[0]


def url(stand: Stand) -> str:
    return f"bolt://{stand.address}:7687"


async def test_neo4j_driver(stand: Stand) -> None:
    """MEMGRAPH 5, transcript 12: Bolt 5.2, the server's name, values, nodes with element ids,
    counters, notifications, and the database's name."""

    def work() -> None:
        with neo4j.GraphDatabase.driver(url(stand)) as driver, driver.session() as session:
            driver.verify_connectivity()
            result = session.run("CREATE (n:X {a: 1})-[r:R {w: 2.5}]->(m:Y) SET n.b = 2 RETURN *")
            record = result.single(strict=True)
            summary = result.consume()
            assert record.keys() == ["m", "n", "r"]
            assert (record["n"].element_id, dict(record["n"])) == ("0", {"a": 1, "b": 2})
            assert (record["r"].type, record["r"]["w"]) == ("R", 2.5)
            assert (summary.counters.nodes_created, summary.counters.properties_set) == (2, 1)
            assert (summary.database, summary.query_type) == ("memgraph", "rw")
            assert summary.server.protocol_version == (5, 2)
            assert summary.server.agent.startswith("Neo4j/v5.11.0")
            told = session.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000").consume()
            notes = [(n["code"], n["title"], n["severity"]) for n in told.metadata["notifications"]]
            assert notes == [("SetReplica", "Replica role set to REPLICA.", "INFO")]
            with pytest.raises(ClientError, match="Write queries are forbidden"):
                session.run("CREATE (n)").consume()

    await trio.to_thread.run_sync(work)


async def test_neo4j_driver_values_and_transactions(stand: Stand) -> None:
    """Every kind of value survives; explicit transactions commit, roll back and conflict."""
    values: dict[str, Any] = {
        "i": [0, -1, 127, 128, -129, 40_000, -(2**31) - 1, 2**63 - 1],
        "f": 0.1,
        "s": "x" * 70_000,
        "m": {"k": [True, False, None, {"z": "ü"}]},
        "l": list(range(300)),
        "b": b"\x00\x01",
    }

    def work() -> None:
        with neo4j.GraphDatabase.driver(url(stand)) as driver, driver.session() as session:
            assert session.run("RETURN $v AS v", v=values).single(strict=True)["v"] == values
            with session.begin_transaction() as tx:
                tx.run("CREATE (:T {v: 1})").consume()
                assert tx.run("MATCH (t:T) RETURN count(t) AS c").single(strict=True)["c"] == 1
                tx.rollback()
            session.execute_write(lambda tx: tx.run("CREATE (:T {v: 2})").consume())
            with driver.session() as other, session.begin_transaction() as tx:
                tx.run("MATCH (t:T) SET t.v = 3").consume()
                with pytest.raises(TransientError, match="Cannot resolve conflicting"):
                    other.run("MATCH (t:T) SET t.v = 4").consume()
                assert other.run("MATCH (t:T) RETURN t.v AS v").single(strict=True)["v"] == 2
                tx.commit()
            assert driver.execute_query("MATCH (t:T) RETURN t.v AS v").records[0]["v"] == 3

    await trio.to_thread.run_sync(work)


async def test_neo4j_driver_streams_and_refuses(stand: Stand) -> None:
    """MEMGRAPH 5: results larger than a fetch come in pieces; another database's name and neo4j://
    are refused; replication in an explicit transaction is refused with the verbatim sentence."""

    def work() -> None:
        with neo4j.GraphDatabase.driver(url(stand)) as driver, driver.session() as session:
            found = session.run("UNWIND range(1, 2500) AS i RETURN i").value()
            assert found == list(range(1, 2501))
            with (
                pytest.raises(TransientError, match='unknown database "x"'),
                driver.session(database="x") as other,
            ):
                other.run("RETURN 1").consume()
            with (
                pytest.raises(ClientError, match="execute this particularquery"),
                session.begin_transaction() as tx,
            ):
                tx.run("SHOW REPLICAS").consume()
        uri = url(stand).replace("bolt", "neo4j")
        with (
            neo4j.GraphDatabase.driver(uri, max_transaction_retry_time=0.1) as driver,
            pytest.raises(ServiceUnavailable),
        ):
            driver.execute_query("RETURN 1")

    await trio.to_thread.run_sync(work)


async def test_async_driver(stand: Stand) -> None:
    """The asyncio driver writes over several connections at once and reads everything back."""

    async def one(driver: neo4j.AsyncDriver, number: int) -> None:
        async with driver.session() as session:
            for step in range(10):
                result = await session.run("CREATE (:A {n: $n})", n=number * 10 + step)
                await result.consume()

    async def work() -> list[Any]:
        async with neo4j.AsyncGraphDatabase.driver(url(stand)) as driver:
            await asyncio.gather(*(one(driver, number) for number in range(4)))
            records, _, _ = await driver.execute_query("MATCH (a:A) RETURN a.n ORDER BY a.n")
            return [record.value() for record in records]

    assert await trio.to_thread.run_sync(asyncio.run, work()) == list(range(40))


async def test_pymgclient(stand: Stand) -> None:
    """MEMGRAPH 5: pymgclient speaks 4.4 and sends BEGIN, COMMIT and ROLLBACK as queries."""

    def work() -> None:
        connection = mgclient.connect(host=stand.address, port=7687)
        cursor = connection.cursor()
        cursor.execute("CREATE (n:P {name: $name})-[:R]->(:Q) RETURN n", {"name": "a"})
        node = cursor.fetchone()[0]
        assert (node.labels, node.properties) == ({"P"}, {"name": "a"})
        connection.rollback()
        cursor.execute("MATCH (p:P) RETURN count(p)")
        assert cursor.fetchall() == [(0,)]
        cursor.execute("CREATE (:P)")
        connection.commit()
        connection.autocommit = True
        cursor.execute("SHOW REPLICATION ROLE")
        assert [column.name for column in cursor.description] == ["replication role"]
        assert cursor.fetchall() == [("main",)]
        with pytest.raises(mgclient.DatabaseError, match="stand-in does not know"):
            cursor.execute("RETURN shortestPath(1)")
        connection.close()

    await trio.to_thread.run_sync(work)
    assert await stand.count("P") == 1


async def test_users_from_the_environment(world: World) -> None:
    """MEMGRAPH 5: with MEMGRAPH_USER set, only its password is let in; the code is Memgraph's."""
    stand = world.stand("locked", MEMGRAPH_USER="u", MEMGRAPH_PASSWORD="p")
    stand.spawn()

    def work(auth: tuple[str, str]) -> Any:
        with neo4j.GraphDatabase.driver(url(stand), auth=auth) as driver:
            return driver.execute_query("RETURN 1").records

    with trio.fail_after(10):
        while "Bolt is open" not in stand.log:
            await trio.sleep(0.02)
    assert len(await trio.to_thread.run_sync(work, ("u", "p"))) == 1
    with pytest.raises(ClientError, match="Authentication failure") as caught:
        await trio.to_thread.run_sync(work, ("u", "q"))
    assert caught.value.code == "Memgraph.ClientError.Security.Unauthenticated"


@pytest.mark.parametrize(
    ("proposals", "answer"),
    [
        ([(8, 8, 5), (2, 4, 4), (0, 0, 3)], b"\0\0\2\5"),
        ([(0, 4, 4), (0, 3, 4)], b"\0\0\4\4"),
        ([(2, 4, 4)], b"\0\0\4\4"),
        ([(0, 1, 4)], b"\0\0\1\4"),
    ],
)
async def test_handshake(
    stand: Stand, proposals: list[tuple[int, int, int]], answer: bytes
) -> None:
    """MEMGRAPH 5: the first proposal with a supported version wins, ranges from the top."""
    async with await trio.open_tcp_stream(stand.address, 7687) as stream:
        await stream.send_all(handshake(*proposals))
        assert await stream.receive_some(4) == answer


@pytest.mark.parametrize(
    "opening", [handshake((0, 0, 3)), handshake((0, 4, 5)), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
)
async def test_no_common_version(stand: Stand, opening: bytes) -> None:
    """MEMGRAPH 5: no match or bad magic is a FAILURE chunk and a close, not four zero bytes."""
    async with await trio.open_tcp_stream(stand.address, 7687) as stream:
        await stream.send_all(opening)
        message = await MessageReader(stream).read_message()
        assert message is not None
        assert unpack(message).fields[0]["code"] == "Memgraph.ExecutionException"
        assert await stream.receive_some() == b""


async def test_ignored_until_reset(stand: Stand) -> None:
    """MEMGRAPH 5: after a FAILURE everything is IGNORED until RESET."""
    connection = stand.connections[-1]
    for tag, fields in ((0x10, ("RETURN nobody", {}, {})), (0x3F, ({"n": -1},)), (0x3F, ({},))):
        await connection.send(tag, *fields)
    tags = [(await connection.receive()).tag for _ in range(3)]
    assert tags == [0x70, 0x7F, 0x7E]
    await connection.call(0x0F)
    assert await stand.run("RETURN 1") == [[1]]


@pytest.mark.parametrize("tag", [0x10, 0x12, 0x54, 0x66])
async def test_wrong_message_in_a_result_breaks_off(stand: Stand, tag: int) -> None:
    """MEMGRAPH 5: RUN, COMMIT or an unknown message while a result is open ends the connection."""
    connection = stand.connections[-1]
    await connection.call(0x10, "RETURN 1", {}, {})
    await connection.send(tag, "RETURN 1", {}, {})
    failure = await connection.receive()
    assert failure.fields[0]["code"] == "Memgraph.ExecutionException"
    with pytest.raises(ConnectionResetError):
        await connection.receive()


HOSTILE = [
    b"\xff\xff",
    chunked(b"\xde\xff\xff\xff\xff"),
    chunked(b"\xd6\xff\xff\xff\xff"),
    chunked(b"\x91" * 5000),
    chunked(pack(Structure(0x10, (5, {}, {})))),
    chunked(pack("no structure")),
    chunked(b"\xb1\x01\xa1\x01\x01"),
    b"\x00\x01",
]


@pytest.mark.parametrize("junk", HOSTILE)
async def test_hostile_bytes_close_that_connection_only(stand: Stand, junk: bytes) -> None:
    """Nothing a client sends disturbs another client."""
    hurt = await stand.connect()
    await hurt.stream.send_all(junk)
    await hurt.stream.send_eof()
    last_words: list[str] = []
    with pytest.raises((ConnectionResetError, trio.BrokenResourceError)):  # noqa: PT012
        while True:
            last_words.append((await hurt.receive()).fields[0]["code"])
    assert last_words in ([], ["Memgraph.ExecutionException"])
    stand.connections.pop()
    assert await stand.run("RETURN 1") == [[1]]
    await trio.aclose_forcefully(hurt.stream)


async def test_half_opened_connections_are_harmless(stand: Stand) -> None:
    """A connection that only says the magic, or nothing, keeps nobody waiting."""
    streams = [await trio.open_tcp_stream(stand.address, 7687) for _ in range(5)]
    await streams[0].send_all(MAGIC)
    assert await stand.run("RETURN 1") == [[1]]
    for stream in streams:
        await trio.aclose_forcefully(stream)


async def test_result_in_pieces_commits_with_the_last(stand: Stand) -> None:
    """MEMGRAPH 5: PULL n answers `has_more`; an auto-commit query commits with its last row."""
    first, second = stand.connections[-1], await stand.connect()
    await first.call(0x10, "UNWIND [1, 2] AS i CREATE (n:P {i: i}) RETURN i", {}, {})
    assert await first.call(0x3F, {"n": 1}) == [[1]]
    assert first.summary["has_more"] is True
    assert await second.run("MATCH (n:P) RETURN count(n)") == [[0]]
    assert await first.call(0x3F, {"n": 1}) == [[2]]
    assert (first.summary["has_more"], first.summary["stats"]["nodes-created"]) == (False, 2)
    assert await second.run("MATCH (n:P) RETURN count(n)") == [[2]]


async def test_run_without_pull_does_nothing_but_holds_the_turn(stand: Stand) -> None:
    """MEMGRAPH 1.1: a system query acts in PULL; until then another is refused."""
    first, second = stand.connections[-1], await stand.connect()
    await first.call(0x10, "SET REPLICATION ROLE TO REPLICA WITH PORT 10000", {}, {})
    assert await second.run("SHOW REPLICATION ROLE") == [["main"]]
    with pytest.raises(Refused, match="Multiple concurrent system queries are not supported"):
        await second.run("DROP REPLICA r")
    await first.call(0x0F)
    with pytest.raises(Refused, match="Failed to unregister the replica r"):
        await second.run("DROP REPLICA r")


async def test_info_queries(stand: Stand) -> None:
    """MEMGRAPH 4: columns and rows of SHOW; 3.12 has no vertex_count in the plain form."""
    await stand.run("CREATE (:X)-[:R]->(:X)")
    plain = dict(await stand.run("SHOW STORAGE INFO"))
    assert "vertex_count" not in plain
    assert plain["global_storage_mode"] == "IN_MEMORY_TRANSACTIONAL"
    database = dict(await stand.run("SHOW STORAGE INFO ON CURRENT DATABASE"))
    assert (database["vertex_count"], database["edge_count"]) == (2, 1)
    assert await stand.run("SHOW VERSION") == [["3.12.0"]]
    config = {row[0]: row[2] for row in await stand.run("SHOW CONFIG")}
    assert config["replication_restore_state_on_startup"] == "true"
    path = (await stand.run("CREATE SNAPSHOT"))[0][0]
    assert path.endswith("_timestamp_2")
    assert [row[:2] for row in await stand.run("SHOW SNAPSHOTS")] == [[path, 2]]
    assert stand.connections[-1].fields == ["path", "timestamp", "creation_time", "size"]


async def test_older_version(world: World) -> None:
    """MEMGRAPH 2, L16: 3.6.1 has no Bolt 4.4, another class and text for a missing SYNC replica,
    the old storage info, and refuses snapshots on a replica."""
    flags = "--stand-in-version=3.6.1"
    main, replica = world.stand("main", flags), world.stand("replica", flags)
    await main.start()
    await replica.start()
    await replica.demote()
    await main.register("r", "SYNC", replica)
    refusal = await replica.refused("CREATE SNAPSHOT")
    assert (refusal.code, "Replica instances" in refusal.message) == (TRANSIENT, True)
    await replica.kill()
    refusal = await main.refused("CREATE (:X)")
    text = "At least one SYNC replica has not confirmed committing last transaction."
    assert (refusal.code, refusal.message) == (TRANSIENT, text)
    connection = main.connections[-1]
    await connection.begin()
    await connection.run("CREATE (:X)")
    with pytest.raises(Refused, match=CODE):
        await connection.commit()
    assert dict(await main.run("SHOW STORAGE INFO"))["vertex_count"] == 2
    async with await trio.open_tcp_stream(main.address, 7687) as stream:
        await stream.send_all(handshake((2, 4, 4)))
        assert await stream.receive_some(4) == b"\0\0\3\4"
