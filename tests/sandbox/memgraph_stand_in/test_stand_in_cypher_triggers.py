"""Triggers, transactions that are shown, EXPLAIN, periodic commits, and a query's time."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from bolt_in_memory import (
    ALL,
    BEGIN,
    CLIENT,
    COMMIT,
    FAILURE,
    PULL,
    RESET,
    RUN,
    SUCCESS,
    TRANSIENT,
    Wire,
    instance_at,
    wire_to,
)
from stand_in_world import World

from controller.sandbox.memgraph.cypher.pace import ROWS_A_LOOK, SLICE_S, Pace
from controller.sandbox.memgraph.failures import TransientFailure
from controller.sandbox.memgraph.instance import Instance


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    async with instance_at(tmp_path) as it:
        yield it


@pytest.fixture
async def wire(instance: Instance) -> AsyncIterator[Wire]:
    async with wire_to(instance) as it:
        yield it


# -- triggers -----------------------------------------------------------------------------------

STAMP = "ON () CREATE BEFORE COMMIT EXECUTE UNWIND createdVertices AS v SET v.stamped = true"


async def test_a_trigger_before_the_commit(wire: Wire) -> None:
    """It is part of the transaction: what it writes is there with the commit; it fires on its event
    alone; as long as it fails nothing is committed (MEMGRAPH 2.1, with the class and text)."""
    await wire.run(f"CREATE TRIGGER stamp {STAMP}")
    assert wire.summary["notifications"][0]["title"] == "Created trigger stamp."
    await wire.run("CREATE (:A {x: 1})")
    await wire.run("MATCH (a:A) SET a.stamped = false")
    assert await wire.run("MATCH (a:A) RETURN a.stamped") == [[False]]
    await wire.run("CREATE (:B)")
    assert await wire.run("MATCH (b:B) RETURN b.stamped") == [[True]]
    await wire.run("CREATE TRIGGER bad ON --> CREATE BEFORE COMMIT EXECUTE CREATE (:C) RETURN 1/0")
    code, message = await wire.refusal("MATCH (a:A), (b:B) CREATE (a)-[:R]->(b)")
    assert code == TRANSIENT
    assert message == (
        "Trigger 'bad' caused the transaction to fail.\n"
        "Exception: Invalid types: int and int for '/'."
    )
    assert await wire.run("MATCH ()-[r]->() RETURN count(r)") == [[0]]
    assert await wire.run("MATCH (c:C) RETURN count(c)") == [[0]]
    await wire.run("DROP TRIGGER bad")
    await wire.run("MATCH (a:A), (b:B) CREATE (a)-[:R]->(b)")


EVENTS = ["ANY", "() CREATE", "--> CREATE", "CREATE", "() DELETE", "--> DELETE", "DELETE", "UPDATE"]
FIRES = {
    "CREATE (:B)": ["() CREATE", "ANY", "CREATE"],
    "MATCH (a:A), (b:A2) CREATE (a)-[:R]->(b)": ["--> CREATE", "ANY", "CREATE"],
    "MATCH (a:A) SET a.x = 2": ["ANY", "UPDATE"],
    "MATCH (a:A) SET a:More": ["ANY", "UPDATE"],
    "MATCH (:C)-[r:OLD]->() DELETE r": ["--> DELETE", "ANY", "DELETE"],
    "MATCH (c:D) DELETE c": ["() DELETE", "ANY", "DELETE"],
    "CREATE INDEX ON :B": [],
    "MATCH (n) RETURN n": [],
}


@pytest.mark.parametrize(("query", "fired"), FIRES.items(), ids=FIRES)
async def test_a_trigger_fires_on_its_event(wire: Wire, query: str, fired: list[str]) -> None:
    """Each sort of change fires the triggers that name it, and those that name none."""
    await wire.run("CREATE (:A), (:A2), (:C)-[:OLD]->(:C), (:D)")
    for number, event in enumerate(EVENTS):
        on = "" if event == "ANY" else f"ON {event} "
        made = f"CREATE (:Fired {{by: '{event}'}})"
        await wire.run(f"CREATE TRIGGER t{number} {on}BEFORE COMMIT EXECUTE {made}")
    await wire.run(query)
    by = await wire.run("MATCH (f:Fired) RETURN f.by AS by ORDER BY by")
    assert [row[0] for row in by] == sorted(fired)


async def test_a_trigger_counts_in_an_explicit_transaction(wire: Wire) -> None:
    """It runs at COMMIT, not before."""
    await wire.run(f"CREATE TRIGGER stamp {STAMP}")
    await wire.call(BEGIN, {})
    await wire.run("CREATE (:A)")
    assert await wire.run("MATCH (a:A) RETURN a.stamped") == [[None]]
    assert await wire.call(COMMIT) == (SUCCESS, {})
    assert await wire.run("MATCH (a:A) RETURN a.stamped") == [[True]]


async def test_a_trigger_after_the_commit(wire: Wire) -> None:
    """It has a transaction of its own; its failure is only logged, and what it writes fires no
    trigger (MEMGRAPH 2.1)."""
    made = "UNWIND createdVertices AS v WITH v WHERE v:A CREATE (:Log {of: id(v)})"
    await wire.run(f"CREATE TRIGGER log ON CREATE AFTER COMMIT EXECUTE {made}")
    await wire.run("CREATE TRIGGER bad AFTER COMMIT EXECUTE RETURN 1/0")
    await wire.run("CREATE (:A), (:A)")
    await trio.testing.wait_all_tasks_blocked()
    assert await wire.run("MATCH (l:Log) RETURN l.of ORDER BY l.of") == [[0], [1]]
    await trio.testing.wait_all_tasks_blocked()
    assert await wire.run("MATCH (n) RETURN count(n)") == [[4]]


async def test_triggers_are_kept_and_shown(tmp_path: Path) -> None:
    """They survive a restart with all they say; names are taken once; DROP needs one."""
    async with instance_at(tmp_path) as instance, wire_to(instance) as wire:
        await wire.run(f"CREATE TRIGGER `a-b` {STAMP};")
        await wire.run("CREATE TRIGGER c AFTER COMMIT EXECUTE CREATE (:X)")
        taken = "CREATE TRIGGER c AFTER COMMIT EXECUTE CREATE (:X)"
        assert (await wire.refusal(taken))[1] == "Trigger with name 'c' already exists."
        assert (await wire.refusal("DROP TRIGGER d"))[1] == "Trigger with name 'd' doesn't exist"
        assert (
            "mismatched"
            in (await wire.refusal("CREATE TRIGGER d AFTER COMMIT EXECUTE CREAT (:X)"))[1]
        )
    async with instance_at(tmp_path) as instance, wire_to(instance) as wire:
        statement = STAMP.partition("EXECUTE ")[2]
        assert await wire.run("SHOW TRIGGERS") == [
            ["a-b", statement, "DEFINER", "() CREATE", "BEFORE COMMIT", None],
            ["c", "CREATE (:X)", "DEFINER", "ANY", "AFTER COMMIT", None],
        ]


@pytest.mark.process
async def test_triggers_stay_where_they_were_made(world: World) -> None:
    """MEMGRAPH 3.6e: definitions are not replicated; what a trigger wrote is, as part of its
    transaction, and it does not run again on the replica."""
    main, replica = await world.pair("STRICT_SYNC")
    await main.run("CREATE TRIGGER t ON () CREATE BEFORE COMMIT EXECUTE CREATE (:Made)")
    await main.run("CREATE (:A)")
    assert await replica.run("SHOW TRIGGERS") == []
    for stand in (main, replica):
        assert (await stand.count(), await stand.count("Made")) == (2, 1)


# -- what is open, and plans --------------------------------------------------------------------


async def test_open_transactions_are_shown(instance: Instance, wire: Wire) -> None:
    """MEMGRAPH 4: a row for each open transaction with its queries and its metadata, the asking one
    included; none is left when they have ended."""
    async with wire_to(instance) as other:
        await other.call(BEGIN, {"tx_metadata": {"who": "me"}})
        await other.run("CREATE (:A)")
        await other.call(RUN, "MATCH (n) RETURN n", {}, {})
        await wire.call(RUN, "MATCH (n) RETURN 1", {}, {})
        async with wire_to(instance) as third:
            rows = await third.run("SHOW TRANSACTIONS")
        shown = [(row[0], row[2], row[3], row[4]) for row in rows]
        assert shown == [
            ("", ["CREATE (:A)", "MATCH (n) RETURN n"], "running", {"who": "me"}),
            ("", ["MATCH (n) RETURN 1"], "running", {}),
            ("", ["SHOW TRANSACTIONS"], "running", {}),
        ]
        assert len({row[1] for row in rows}) == 3
        await wire.call(PULL, ALL)
        await other.call(RESET)
    assert [row[2] for row in await wire.run("SHOW TRANSACTIONS")] == [["SHOW TRANSACTIONS"]]


async def test_explaining_runs_nothing(instance: Instance, wire: Wire) -> None:
    """MEMGRAPH 8: a plan is a column of steps that ends with Once; nothing is written, also on a
    replica, and wrong Cypher is wrong here, too."""
    rows = await wire.run("EXPLAIN MATCH (n:A) WHERE n.x = 1 CREATE (n)-[:R]->(m) RETURN n")
    steps = " * Produce {n}, * CreateExpand, * CreateNode, * CreateNode, * Filter"
    assert [row[0].strip() for row in rows] == [
        *(step.strip() for step in steps.split(",")),
        "* ScanAllByLabel (n)",
        "* Once",
    ]
    assert instance.storage.graph.counts() == (0, 0)
    assert (await wire.refusal("EXPLAIN MATCH (n"))[0] == CLIENT


# -- periodic commits ---------------------------------------------------------------------------


async def test_a_periodic_commit(instance: Instance, wire: Wire) -> None:
    """It commits after each so many rows: the counter of commits tells how often."""
    rows = await wire.run(
        "USING PERIODIC COMMIT 10 UNWIND range(1, 25) AS i CREATE (n:P {i: i}) RETURN count(n) AS c"
    )
    assert rows == [[25]]
    assert wire.summary["stats"]["nodes-created"] == 25
    epoch, stamps = instance.storage.epoch, [ts for ts, _, _ in instance.storage._tail]
    assert (len(stamps), len(epoch)) == (3, 36)
    for count in ("0", "-1", "'x'"):
        query = f"USING PERIODIC COMMIT {count} CREATE (:P)"
        assert "must be a positive integer" in (await wire.refusal(query))[1]


async def test_a_periodic_commit_that_fails_keeps_what_it_had(wire: Wire) -> None:
    """Batches before the failing one stay; the failure says which kind of query it was."""
    await wire.run("CREATE CONSTRAINT ON (n:P) ASSERT n.i IS UNIQUE")
    query = "USING PERIODIC COMMIT 4 UNWIND [1, 2, 3, 4, 5, 5, 6, 7] AS i CREATE (:P {i: i})"
    code, message = await wire.refusal(query)
    assert code == CLIENT
    assert message.startswith("PeriodicCommit failed: Unable to commit due to unique constraint")
    assert await wire.run("MATCH (p:P) RETURN count(p)") == [[4]]


@pytest.mark.process
@pytest.mark.parametrize(("mode", "kept"), [("SYNC", 3), ("STRICT_SYNC", 0)])
async def test_a_periodic_commit_without_its_replica(world: World, mode: str, kept: int) -> None:
    """MEMGRAPH 2.1: a SYNC replica that does not answer is only logged; STRICT_SYNC fails it."""
    main, replica = await world.pair(mode)
    await replica.kill()
    query = "USING PERIODIC COMMIT 1 UNWIND [1, 2, 3] AS i CREATE (:P {i: i})"
    if mode == "SYNC":
        assert await main.run(query) == []
        assert "periodic commit" in main.log
    else:
        refusal = await main.refused(query)
        assert refusal.message.startswith("PeriodicCommit failed: ")
        assert refusal.code == CLIENT
    assert await main.count("P") == kept


# -- the time of a query ------------------------------------------------------------------------

ENDLESS = "UNWIND range(1, 100000000) AS x WITH x WHERE x % 7 = 3 RETURN count(x)"
TIMED_OUT = "Transaction was asked to abort because of transaction timeout."


async def test_a_query_ends_in_its_time(wire: Wire) -> None:
    """MEMGRAPH 5, transcript 12: tx_timeout of RUN and of BEGIN ends a long query with a
    TransientError; the conversation goes on after RESET."""
    tag, told = await wire.try_run(ENDLESS, extras={"tx_timeout": 20})
    assert (tag, told) == (FAILURE, {"code": TRANSIENT, "message": TIMED_OUT})
    await wire.call(RESET)
    await wire.call(BEGIN, {"tx_timeout": 20})
    assert (await wire.refusal(ENDLESS))[1] == TIMED_OUT
    assert await wire.run("RETURN 1") == [[1]]


async def test_the_flag_limits_every_query(tmp_path: Path) -> None:
    """MEMGRAPH 6: --query-execution-timeout-sec holds for whoever names no time of its own."""
    async with (
        instance_at(tmp_path, "--query-execution-timeout-sec=1") as instance,
        wire_to(instance) as wire,
    ):
        assert (await wire.refusal(ENDLESS))[1] == TIMED_OUT


async def test_a_long_query_keeps_nobody_waiting(instance: Instance, wire: Wire) -> None:
    """Others are answered while it runs, and it counts only what was there when it began."""
    await wire.run("UNWIND range(1, 300) AS i CREATE (:N {i: i})")
    long = "MATCH (a:N), (b:N) WHERE a.i + b.i > 0 RETURN count(*) AS pairs"
    finished: list[Any] = []

    async def ask() -> None:
        finished.extend(await wire.run(long))

    async with wire_to(instance) as other, trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await other.run("RETURN 1")
        await other.run("CREATE (:N {i: 1000})")
        assert not finished
    assert finished == [[300 * 300]]


def test_pace() -> None:
    """A query is told to pause once its slice is over, begins a new one when it goes on, and ends
    when its time is over: at the row where the clock is looked at."""
    now_s = 0.0
    pace = Pace(1.0, lambda: now_s)
    assert not any(pace.is_due() for _ in range(ROWS_A_LOOK * 3))
    now_s = SLICE_S
    assert [pace.is_due() for _ in range(ROWS_A_LOOK)] == [False] * (ROWS_A_LOOK - 1) + [True]
    pace.resumed()
    assert not any(pace.is_due() for _ in range(ROWS_A_LOOK * 3))
    now_s = 1.0
    with pytest.raises(TransientFailure, match="transaction timeout"):
        due(pace.is_due, ROWS_A_LOOK)
    now_s = 10_000.0
    assert due(Pace(None, lambda: now_s).is_due, ROWS_A_LOOK) == [False] * ROWS_A_LOOK


def due(ask: Callable[[], bool], times: int) -> list[bool]:
    return [ask() for _ in range(times)]
