"""Queries: what their summaries carry, how they fail, and how long they may take."""

import pytest
from contract_world import CLIENT, TRANSIENT, World
from fact_marks import seen, unseen
from raw_bolt import BEGIN, FAILURE, PULL, RESET, RUN, SUCCESS, RawBolt

pytestmark = pytest.mark.process

ALL = {"n": -1}


@seen("5")
async def test_what_a_summary_carries(world: World) -> None:
    """Times, cost, type, the database's name; counters only for what changed anything."""
    (one,) = await world.start("one")
    answer = await one.ask("CREATE (n:X {a: 1})-[:R]->(m:Y) SET n.b = 2 RETURN id(n)")
    summary = answer.summary
    usual = {"has_more", "type", "db", "parsing_time", "planning_time", "cost_estimate", "run_id"}
    assert usual <= set(summary)
    assert (summary["type"], summary["db"], summary["has_more"]) == ("rw", "memgraph", False)
    stats = {name: count for name, count in summary["stats"].items() if count}
    assert stats == {
        "nodes-created": 2,
        "relationships-created": 1,
        "labels-added": 2,
        "properties-set": 1,
    }
    assert "bookmark" not in summary
    assert "stats" not in (await one.ask("RETURN 1 AS x")).summary
    deleted = (await one.ask("MATCH (n:X) DETACH DELETE n")).summary["stats"]
    assert (deleted["nodes-deleted"], deleted["relationships-deleted"]) == (1, 1)


@seen("5")
async def test_an_index_is_told_of(world: World) -> None:
    """CREATE INDEX is of type `w` and says which one was made."""
    (one,) = await world.start("one")
    summary = (await one.ask("CREATE INDEX ON :X(a)")).summary
    assert summary["type"] == "w"
    (note,) = summary["notifications"]
    assert (note["code"], note["severity"]) == ("CreateIndex", "INFO")
    assert note["title"].startswith("Created index on label X on properties a")


@seen("5")
async def test_errors_of_queries(world: World) -> None:
    """Class and text of a client's mistakes; an unknown database is a TransientError."""
    (one,) = await world.start("one")
    cases = {
        "CREAT (n)": "Error on line 1 position 1. The underlying parsing error is mismatched input",
        "RETURN 1/0": "Invalid types: int and int for '/'.",
        "MATCH (n:U) RETURN $missing": "Parameter $missing not provided.",
        "CREATE (n:U {id: 1})": "Unable to commit due to unique constraint violation on :U(id)",
    }
    await one.ask("CREATE CONSTRAINT ON (n:U) ASSERT n.id IS UNIQUE")
    await one.ask("CREATE (n:U {id: 1})")
    for statement, text in cases.items():
        refused = await one.refusal(statement)
        assert refused.code == CLIENT, statement
        assert refused.message.startswith(text), refused.message
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        tag, failure = await bolt.call(RUN, "RETURN 1", {}, {"db": "x"})
        assert (tag, failure["code"]) == (FAILURE, TRANSIENT)
        assert failure["message"] == 'Tried to retrieve an unknown database "x".'
        await bolt.call(RESET)
        assert (await bolt.call(RUN, "RETURN 1", {}, {"db": "memgraph"}))[0] == SUCCESS


@seen("5")
async def test_a_query_has_its_time(world: World) -> None:
    """--query-execution-timeout-sec ends a query with a TransientError; the server goes on."""
    one = await world.server("one", query_execution_timeout_sec="1").start()
    query = "UNWIND range(1, 20000000) AS x WITH x WHERE x % 7 = 3 RETURN count(x)"
    refused = await one.refusal(query)
    assert refused.code == TRANSIENT
    assert refused.message == "Transaction was asked to abort because of transaction timeout."
    await one.write()


@unseen("5")
async def test_a_transaction_has_its_time(world: World) -> None:
    """`tx_timeout` of BEGIN ends the transaction's queries, and nothing of them stays."""
    (one,) = await world.start("one")
    async with RawBolt(one.host) as bolt:
        await bolt.greet()
        assert await bolt.call(BEGIN, {"tx_timeout": 500}) == (SUCCESS, {})
        create = "UNWIND range(1, 20000000) AS x WITH x CREATE (:Big {x: x})"
        answer = await bolt.call(RUN, create, {}, {})
        if answer[0] == SUCCESS:
            answer = await bolt.call(PULL, ALL)
        tag, failure = answer
        assert (tag, failure["code"]) == (FAILURE, TRANSIENT)
        assert (await bolt.call(RESET))[0] == SUCCESS
    assert await one.count() == 0
