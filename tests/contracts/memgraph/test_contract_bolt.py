"""Bolt message by message: versions, states, errors, and what SUCCESS carries."""

import pytest
from contract_world import CLIENT, World
from fact_marks import seen, unseen
from raw_bolt import (
    BEGIN,
    COMMIT,
    DISCARD,
    FAILURE,
    IGNORED,
    LOGOFF,
    LOGON,
    PULL,
    RESET,
    ROLLBACK,
    ROUTE,
    RUN,
    SUCCESS,
    TELEMETRY,
    RawBolt,
)
from texts import UNKNOWN_MESSAGE

pytestmark = pytest.mark.process

SERVER_NAME = "Neo4j/v5.11.0 compatible graph database server - Memgraph"
BROKEN = {"code": "Memgraph.ExecutionException", "message": UNKNOWN_MESSAGE}
ALL = {"n": -1}


@seen("L16", releases=("3.6.1",))
async def test_versions_of_a_seen_release(world: World) -> None:
    """5.2, 4.3 and 4.1 are taken; 4.4 only from 3.12 on; the first of several that fits wins,
    ranges count downwards, the manifest's proposal is passed over."""
    await versions(world)


@unseen("5", releases=("3.12.0",))
async def test_versions_of_the_latest_release(world: World) -> None:
    """3.12 takes 4.4 besides 5.2, 4.3 and 4.1."""
    await versions(world)


async def versions(world: World) -> None:
    """Every proposal of the recorded exchange."""
    (one,) = await world.start("one")
    has_44 = await one.release() >= (3, 12)
    cases: dict[tuple[tuple[int, int, int], ...], tuple[int, int] | None] = {
        ((1, 255, 1), (8, 8, 5), (2, 4, 4), (0, 0, 3)): (5, 2),
        ((0, 0, 6),): None,
        ((8, 8, 5),): (5, 2),
        ((0, 4, 5),): None,
        ((0, 2, 5),): (5, 2),
        ((0, 0, 5),): None,
        ((2, 4, 4),): (4, 4) if has_44 else (4, 3),
        ((0, 4, 4),): (4, 4) if has_44 else None,
        ((0, 3, 4),): (4, 3),
        ((0, 2, 4),): None,
        ((0, 1, 4),): (4, 1),
        ((0, 0, 3),): None,
    }
    for proposals, chosen in cases.items():
        async with RawBolt(one.host) as bolt:
            answer = await bolt.propose(*proposals)
            if chosen is not None:
                assert answer == bytes((0, 0, chosen[1], chosen[0])), proposals
                continue
            bolt.buffer = answer + bolt.buffer
            assert await bolt.receive() == (FAILURE, BROKEN), proposals
            assert await bolt.is_closed()


@seen("L16")
async def test_the_oldest_versions(world: World) -> None:
    """4.0 and 1.0 are taken, too."""
    (one,) = await world.start("one")
    for major in (4, 1):
        async with RawBolt(one.host) as bolt:
            assert await bolt.propose((0, 0, major)) == bytes((0, 0, 0, major))


@unseen("5")
async def test_what_is_no_bolt(world: World) -> None:
    """Another magic number gets a FAILURE and the end of the connection; others go on."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.send_bytes(b"GET " + bytes(16))
        assert await bolt.receive() == (FAILURE, BROKEN)
        assert await bolt.is_closed()
    assert await one.role() == "main"


@unseen("5")
async def test_greeting(world: World) -> None:
    """5.2 greets and logs on; 4.x authenticates in its HELLO; the server's name is the usual one,
    or that of its flag."""
    one = await world.server("one").start()
    named = await world.server("named", bolt_server_name_for_init="Neo4j/5.2.0").start()
    for version in ((5, 2), (4, 3), (4, 1)):
        async with RawBolt(one.host) as bolt:
            assert (await bolt.greet(version))["server"] == SERVER_NAME
            assert (await bolt.call(RUN, "RETURN 1 AS x", {}, {}))[1]["fields"] == ["x"]
            assert (await bolt.call(PULL, ALL))[0] == SUCCESS
            assert bolt.records == [[1]]
    async with RawBolt(named.host) as bolt:
        assert (await bolt.greet())["server"] == "Neo4j/5.2.0"


@unseen("5")
async def test_logging_off_and_on(world: World) -> None:
    """LOGOFF is answered with nothing and leads back to before LOGON; the greeting names the
    connection."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        assert (await bolt.greet())["connection_id"].startswith("bolt-")
        assert await bolt.call(LOGOFF) == (SUCCESS, {})
        assert (await bolt.call(LOGON, {"scheme": "none"}))[0] == SUCCESS
        assert (await bolt.call(RUN, "RETURN 1", {}, {}))[0] == SUCCESS


@unseen("5")
async def test_after_a_failure_everything_is_ignored_until_reset(world: World) -> None:
    """IGNORED answers each message after a FAILURE; RESET makes it usable again."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        tag, failure = await bolt.call(RUN, "CREAT (n)", {}, {})
        assert (tag, failure["code"], set(failure)) == (FAILURE, CLIENT, {"code", "message"})
        for message in (PULL, DISCARD):
            assert (await bolt.call(message, ALL))[0] == IGNORED
        assert (await bolt.call(RUN, "RETURN 1", {}, {}))[0] == IGNORED
        assert await bolt.call(RESET) == (SUCCESS, {})
        assert (await bolt.call(RUN, "RETURN 1", {}, {}))[0] == SUCCESS


@unseen("5")
@pytest.mark.parametrize("what", ["unknown", "second-run", "begin", "commit"])
async def test_a_message_out_of_place_ends_the_connection(world: World, what: str) -> None:
    """An unknown message, and RUN, BEGIN or COMMIT while a result is open, get a FAILURE and the
    end."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        if what == "unknown":
            answer = await bolt.call(TELEMETRY, 1)
        else:
            assert (await bolt.call(RUN, "RETURN 1", {}, {}))[0] == SUCCESS
            if what == "second-run":
                answer = await bolt.call(RUN, "RETURN 1", {}, {})
            else:
                answer = await bolt.call(BEGIN, {}) if what == "begin" else await bolt.call(COMMIT)
        assert answer == (FAILURE, BROKEN)
        assert await bolt.is_closed()


@unseen("1.1")
async def test_nothing_happens_before_it_is_pulled(world: World) -> None:
    """A RUN alone changes nothing; refusals of a role's own come with PULL; syntax with RUN."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        assert (await bolt.call(RUN, "CREATE (:X)", {}, {}))[0] == SUCCESS
        assert await one.count() == 0
        assert (await bolt.call(PULL, ALL))[0] == SUCCESS
        assert await one.count() == 1
        assert (await bolt.call(RUN, "SET REPLICATION ROLE TO MAIN", {}, {}))[0] == SUCCESS
        tag, failure = await bolt.call(PULL, ALL)
        assert (tag, failure["message"]) == (FAILURE, "Couldn't set replication role to main!")


@unseen("5")
async def test_a_result_in_pieces(world: World) -> None:
    """PULL of n rows tells `has_more`; DISCARD throws the rest away; the summary's keys."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        tag, head = await bolt.call(RUN, "UNWIND range(1, 5) AS i RETURN i", {}, {})
        assert (tag, head) == (SUCCESS, {"fields": ["i"]})
        tag, told = await bolt.call(PULL, {"n": 2})
        assert (bolt.records, told["has_more"], "run_id" in told) == ([[1], [2]], True, True)
        tag, told = await bolt.call(PULL, {"n": 2})
        assert (bolt.records, told["has_more"]) == ([[3], [4]], True)
        tag, told = await bolt.call(DISCARD, ALL)
        assert (tag, bolt.records, told["has_more"]) == (SUCCESS, [], False)


@unseen("5")
async def test_transactions_by_message_and_by_text(world: World) -> None:
    """BEGIN, COMMIT and ROLLBACK work as messages and as text; results have a `qid` inside; nested
    ones and a commit after an error are refused."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()

        async def run(text: str) -> tuple[int, dict[str, object]]:
            tag, told = await bolt.call(RUN, text, {}, {})
            if tag == SUCCESS:
                tag, end = await bolt.call(PULL, ALL)
                told = {**told, **end}
            return tag, told

        assert await bolt.call(BEGIN, {}) == (SUCCESS, {})
        assert "qid" in (await run("CREATE (:A)"))[1]
        assert await bolt.call(COMMIT) == (SUCCESS, {})
        await bolt.call(BEGIN, {})
        await run("CREATE (:B)")
        assert await bolt.call(ROLLBACK) == (SUCCESS, {})
        for text in ("BEGIN", "CREATE (:C)", "COMMIT", "BEGIN", "CREATE (:D)", "ROLLBACK"):
            assert (await run(text))[0] == SUCCESS, text
        assert (await run("BEGIN"))[0] == SUCCESS
        tag, told = await run("BEGIN")
        assert (tag, told["message"]) == (FAILURE, "Nested transactions are not supported.")
    assert (await one.ask("MATCH (n) RETURN labels(n)[0] AS l ORDER BY l")).rows == [("A",), ("C",)]


@unseen("5")
async def test_an_unfinished_transaction_goes_with_its_connection(world: World) -> None:
    """What was not committed when the connection ended is gone, and blocks nobody."""
    (one,) = await world.start("one")
    await one.ask("CREATE (:T {v: 1})")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        await bolt.call(BEGIN, {})
        await bolt.call(RUN, "MATCH (t:T) SET t.v = 2", {}, {})
        await bolt.call(PULL, ALL)
        await bolt.call(RESET)
    await one.ask("MATCH (t:T) SET t.v = 3")
    assert (await one.ask("MATCH (t:T) RETURN t.v")).rows == [(3,)]


@unseen("5")
async def test_no_routing(world: World) -> None:
    """ROUTE is refused: this is no cluster with coordinators."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        tag, failure = await bolt.call(ROUTE, {}, [], {})
        assert (tag, failure["code"]) == (FAILURE, CLIENT)
        assert failure["message"] == (
            "You cannot fetch routing table from an instance which is not part of a cluster."
        )
