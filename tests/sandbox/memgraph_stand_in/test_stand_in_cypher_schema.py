"""Indexes and constraints: statements, texts, disk and replicas."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bolt_in_memory import CLIENT, Wire, instance_at, wire_to
from stand_in_world import World

from controller.sandbox.memgraph.instance import Instance


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    async with instance_at(tmp_path) as it:
        yield it


@pytest.fixture
async def wire(instance: Instance) -> AsyncIterator[Wire]:
    async with wire_to(instance) as it:
        yield it


def told(wire: Wire) -> list[tuple[str, str]]:
    return [(note["code"], note["title"]) for note in wire.summary["notifications"]]


CREATED: list[tuple[str, str, str, str]] = [
    (
        "INDEX ON :X",
        "Index",
        "index on label X",
        "Index on label X",
    ),
    (
        "INDEX ON :X(a)",
        "Index",
        "index on label X on properties a",
        "Index on label X on properties a",
    ),
    (
        "CONSTRAINT ON (n:X) ASSERT n.a, n.b IS UNIQUE",
        "Constraint",
        "UNIQUE constraint on label X on properties a, b",
        "Constraint UNIQUE on label X on properties a, b",
    ),
    (
        "CONSTRAINT ON (n:X) ASSERT EXISTS (n.a)",
        "Constraint",
        "EXISTS constraint on label X on properties a",
        "Constraint EXISTS on label X on properties a",
    ),
]


@pytest.mark.parametrize(("what", "kind", "done", "there"), CREATED)
async def test_schema_statements_are_told_of(
    wire: Wire, what: str, kind: str, done: str, there: str
) -> None:
    """MEMGRAPH 5 (transcript 12) and the sources' texts: creating and dropping say what they did,
    repeating says that there was nothing to do, and changes nothing."""
    await wire.run(f"CREATE {what}")
    assert told(wire) == [(f"Create{kind}", f"Created {done}.")]
    assert wire.summary["type"] == "w"
    await wire.run(f"CREATE {what}")
    assert told(wire) == [(f"{kind}AlreadyExists", f"{there} already exists.")]
    await wire.run(f"DROP {what}")
    assert told(wire) == [(f"Drop{kind}", f"Dropped {done}.")]
    await wire.run(f"DROP {what}")
    assert told(wire) == [(f"{kind}DoesNotExist", f"{there} doesn't exist.")]


async def test_existence(wire: Wire) -> None:
    """A node without the property is refused at the commit, whichever way it came about, and the
    constraint itself while such a node is there; texts as in the sources."""
    violated = "Unable to commit due to existence constraint violation on :X(a)"
    await wire.run("CREATE (:X {b: 1})")
    assert await wire.refusal("CREATE CONSTRAINT ON (n:X) ASSERT EXISTS (n.a)") == (
        CLIENT,
        "Unable to create existence constraint :X(a), because an existing node violates it.",
    )
    await wire.run("MATCH (n) SET n.a = 0")
    await wire.run("CREATE CONSTRAINT ON (n:X) ASSERT EXISTS (n.a)")
    for query in (
        "CREATE (:X {b: 1})",
        "MATCH (n:X) REMOVE n.a",
        "MATCH (n:X) SET n = {}",
        "MATCH (n:X) SET n.a = null",
        "CREATE (n:Y) SET n:X",
    ):
        assert await wire.refusal(query) == (CLIENT, violated), query
    assert await wire.run("MATCH (n) RETURN labels(n), n.a, n.b") == [[["X"], 0, 1]]
    await wire.run("MATCH (n:X) REMOVE n:X, n.a")
    await wire.run("CREATE (n:X) SET n.a = 1")


async def test_uniqueness(wire: Wire) -> None:
    """Values are compared as a whole; a missing one counts for nothing; two new nodes of one
    transaction offend each other; existing doubles refuse the constraint."""
    await wire.run("UNWIND [1, 1] AS a CREATE (:X {a: a, b: 1})")
    statement = "CREATE CONSTRAINT ON (n:X) ASSERT n.a, n.b IS UNIQUE"
    assert (await wire.refusal(statement))[1] == (
        "Unable to create unique constraint :X(a, b), because an existing node violates it."
    )
    await wire.run("MATCH (n:X) SET n.b = id(n)")
    await wire.run(statement)
    await wire.run("CREATE (:X {a: 1}), (:X {a: 1}), (:Y {a: 1, b: 0})")
    for query in ("CREATE (:X {a: 1, b: 0})", "CREATE (:X {a: 5, b: 5}), (:X {a: 5, b: 5})"):
        violated = "Unable to commit due to unique constraint violation on :X(a, b)"
        assert await wire.refusal(query) == (CLIENT, violated)
    twice = "CREATE CONSTRAINT ON (n:X) ASSERT n.a, n.a IS UNIQUE"
    assert (await wire.refusal(twice))[1] == "The given set of properties contains duplicates."


HINTS: list[tuple[list[str], str, list[str]]] = [
    (
        [],
        "MATCH (n:X) DETACH DELETE n",
        [
            "Sequential scan will be used on symbol `n` although there is a filter on labels :X. "
            "Consider creating a label index."
        ],
    ),
    (
        [],
        "MATCH (n:X:Y {a: 1}) WHERE n.b > 2 AND 3 = n.c RETURN n",
        [
            "Sequential scan will be used on symbol `n` although there is a filter on labels "
            ":X, :Y and properties a, b, c. Consider creating a label-property index."
        ],
    ),
    (
        ["CREATE INDEX ON :X"],
        "MATCH (n:X) WHERE n.a IS NOT NULL RETURN n",
        [
            "Label index will be used on symbol `n` although there is also a filter on properties "
            "a. Consider creating a label-property index."
        ],
    ),
    (["CREATE INDEX ON :X"], "MATCH (n:X) RETURN n", []),
    (["CREATE INDEX ON :X(a)"], "MATCH (n:X {a: $a}) RETURN n", []),
    ([], "MATCH (n) WHERE n.a = 1 RETURN n", []),
    ([], "CREATE (n:X {a: 1})", []),
]


@pytest.mark.parametrize(("before", "query", "titles"), HINTS)
async def test_an_index_that_would_help_is_told_of(
    wire: Wire, before: list[str], query: str, titles: list[str]
) -> None:
    """Transcript 12 and the sources: a scan over a label, or a filter behind a label's index, is
    told in a PlanHinting notification; what an index serves already is not."""
    for statement in before:
        await wire.run(statement)
    await wire.run(query, a=1)
    notes = wire.summary.get("notifications", [])
    assert [(note["code"], note["severity"], note["title"]) for note in notes] == [
        ("PlanHinting", "INFO", title) for title in titles
    ]


SCHEMA = [
    "CREATE INDEX ON :X",
    "CREATE INDEX ON :X(a)",
    "CREATE CONSTRAINT ON (n:X) ASSERT n.a IS UNIQUE",
    "CREATE CONSTRAINT ON (n:X) ASSERT EXISTS (n.a)",
    "CREATE INDEX ON :Gone",
    "DROP INDEX ON :Gone",
]
INDEXES: list[list[Any]] = [["label", "X", [], 1], ["label+property", "X", ["a"], 1]]
CONSTRAINTS: list[list[Any]] = [["exists", "X", "a", ""], ["unique", "X", ["a"], ""]]


@pytest.mark.parametrize("snapshot", [False, True])
async def test_a_schema_survives(tmp_path: Path, snapshot: bool) -> None:
    """Indexes and constraints are found again after a restart, from the log or from a snapshot."""
    async with instance_at(tmp_path) as instance, wire_to(instance) as wire:
        for statement in [*SCHEMA, "CREATE (:X {a: 1})"]:
            await wire.run(statement)
        if snapshot:
            await wire.run("CREATE SNAPSHOT")
    async with instance_at(tmp_path) as instance, wire_to(instance) as wire:
        assert await wire.run("SHOW INDEX INFO") == INDEXES
        assert await wire.run("SHOW CONSTRAINT INFO") == CONSTRAINTS
        assert "existence" in (await wire.refusal("CREATE (:X)"))[1]


@pytest.mark.process
@pytest.mark.parametrize("late", [False, True])
async def test_a_schema_is_replicated(world: World, late: bool) -> None:
    """A replica gets indexes and constraints, as they are made or with what it missed, refuses to
    make its own, and keeps the rules once it is promoted."""
    main, replica = await world.start("main", "replica")
    await replica.demote()
    if not late:
        await main.register("r", "SYNC", replica)
    for statement in [*SCHEMA, "CREATE (:X {a: 1})"]:
        await main.run(statement)
    if late:
        await main.run("CREATE SNAPSHOT")
        await main.register("r", "SYNC", replica)
        await main.wait_status("r", "ready")
    assert await replica.run("SHOW INDEX INFO") == INDEXES
    assert await replica.run("SHOW CONSTRAINT INFO") == CONSTRAINTS
    assert "Write queries are forbidden" in (await replica.refused("CREATE INDEX ON :Y")).message
    await replica.promote()
    assert "unique constraint" in (await replica.refused("CREATE (:X {a: 1})")).message


async def test_not_in_an_explicit_transaction(wire: Wire) -> None:
    """MEMGRAPH 2.4, the sources' words for the others: what manages the database is refused inside
    a transaction, and fails it."""
    cases = {
        "CREATE INDEX ON :X": "Index manipulation is",
        "DROP CONSTRAINT ON (n:X) ASSERT n.a IS UNIQUE": "Constraint manipulation is",
        "SHOW STORAGE INFO": "Storage information query is",
        "SHOW VERSION": "Version information query is",
        "SHOW TRANSACTIONS": "Querying transaction status is",
        "CREATE SNAPSHOT": "Creating snapshots is",
        "CREATE TRIGGER t BEFORE COMMIT EXECUTE CREATE (:X)": "Managing triggers is",
        "SHOW REPLICATION ROLE": "Managing replication is",
        "USING PERIODIC COMMIT 1 CREATE (:X)": "Periodic commit is",
    }
    for statement, begin in cases.items():
        await wire.run("BEGIN")
        code, message = await wire.refusal(statement)
        assert (code, message.startswith(f"{begin} not allowed in multi")) == (CLIENT, True), (
            message
        )
        assert message.endswith(
            "particularquery. For more details, visit https://memgraph.com/docs"
        )


async def test_what_is_not_imitated_says_so(wire: Wire) -> None:
    """What the real database may know and this one does not is refused by name."""
    for statement in (
        "CREATE CONSTRAINT ON (n:X) ASSERT n.a IS TYPED STRING",
        "CALL { RETURN 1 AS x } RETURN x",
        "CALL mg.procedures() YIELD name RETURN name",
        "FOREACH (i IN [1] | CREATE (:X))",
        "LOAD CSV FROM 'x' NO HEADER AS row RETURN row",
        "MATCH p = (a)-[]->(b) RETURN p",
        "MATCH (a)-[*1..3]->(b) RETURN a",
        "MATCH p = shortestPath((a)-[*]->(b)) RETURN p",
        "USING INDEX :X(a) MATCH (n:X) RETURN n",
        "RETURN apoc.meta()",
        "CREATE TRIGGER t BEFORE COMMIT EXECUTE UNWIND deletedVertices AS v CREATE (:X)",
        "PROFILE MATCH (n) RETURN n",
        "DUMP DATABASE",
    ):
        message = (await wire.refusal(statement))[1]
        assert "stand-in" in message, message
