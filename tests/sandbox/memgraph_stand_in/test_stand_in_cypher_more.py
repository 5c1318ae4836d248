"""CASE, UNION, functions and clauses in combination, through a conversation in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bolt_in_memory import CLIENT, Wire, instance_at, wire_to

from controller.sandbox.memgraph.bolt.packstream import Structure
from controller.sandbox.memgraph.cypher import executor


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    async with instance_at(tmp_path) as instance, wire_to(instance) as it:
        await it.run("UNWIND range(1, 4) AS i CREATE (:N {i: i, even: i % 2 = 0})")
        await it.run("MATCH (a:N {i: 1}), (b:N {i: 2}) CREATE (a)-[:TO {w: 5}]->(b)")
        yield it


READS: list[tuple[str, list[list[Any]]]] = [
    # CASE, with and without a subject
    ("RETURN CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END", [["b"]]),
    ("RETURN CASE WHEN null THEN 1 WHEN 1 > 2 THEN 2 END AS x", [[None]]),
    ("RETURN CASE null WHEN null THEN 1 ELSE 2 END AS x", [[2]]),
    (
        "MATCH (n:N) RETURN sum(CASE WHEN n.even THEN n.i ELSE 0 END) AS s, count(*) AS c",
        [[6, 4]],
    ),
    # UNION
    ("RETURN 1 AS x UNION RETURN 1 AS x UNION RETURN 2 AS x", [[1], [2]]),
    ("RETURN 1 AS x UNION ALL RETURN 1 AS x", [[1], [1]]),
    ("RETURN 1 AS x UNION RETURN true AS x UNION RETURN 1.0 AS x", [[1], [True]]),
    (
        "MATCH (n:N) WHERE n.i > 3 RETURN n.i AS i UNION MATCH (n:N {i: 1}) RETURN n.i AS i",
        [[4], [1]],
    ),
    # DISTINCT, ORDER BY, SKIP, LIMIT in WITH
    ("MATCH (n:N) WITH DISTINCT n.even AS e ORDER BY e RETURN collect(e) AS c", [[[False, True]]]),
    ("MATCH (n:N) WITH n ORDER BY n.i DESC SKIP 1 LIMIT 2 RETURN collect(n.i) AS c", [[[3, 2]]]),
    ("MATCH (n:N) WITH n.i AS i ORDER BY i LIMIT 3 WHERE i > 1 RETURN collect(i) AS c", [[[2, 3]]]),
    ("UNWIND [3, 1, 2] AS x WITH x ORDER BY x RETURN collect(x) AS c", [[[1, 2, 3]]]),
    ("UNWIND [1, 2, 3] AS x RETURN x LIMIT 0", []),
    ("UNWIND range(1, 9, 4) AS x RETURN x", [[1], [5], [9]]),
    ("UNWIND range(3, 1, -1) AS x RETURN x SKIP 1", [[2], [1]]),
    ("UNWIND null AS x RETURN x", []),
    # functions
    ("RETURN 'abc' =~ 'a.c', 'abc' =~ 'b', null =~ 'x'", [[True, False, None]]),
    (
        "RETURN toFloat('1.5'), toBoolean('TRUE'), toInteger('x'), toFloat(null)",
        [[1.5, True, None, None]],
    ),
    ("RETURN ceil(1.2), floor(-1.2), sqrt(4), abs(-1)", [[2.0, -2.0, 2.0, 1]]),
    ("RETURN trim(' a '), substring('hello', 1, 3), replace('aa', 'a', 'b')", [["a", "ell", "bb"]]),
    ("RETURN split('a,b', ','), reverse([1, 2]), tail([1, 2, 3])", [[["a", "b"], [2, 1], [2, 3]]]),
    ("MATCH (n:N {i: 1}) RETURN exists(n.i), exists(n.nothing)", [[True, False]]),
    ("MATCH ()-[r:TO]->() RETURN id(startNode(r)), id(endNode(r)), type(r)", [[0, 1, "TO"]]),
    ("MATCH ()-[r]->() RETURN properties(r), keys(r)", [[{"w": 5}, ["w"]]]),
    # OPTIONAL MATCH and shapes
    ("MATCH (n:N {i: 4}) OPTIONAL MATCH (n)-[r]-(m) RETURN r, m", [[None, None]]),
    ("MATCH (n:N)--(m:N) RETURN n.i, m.i ORDER BY n.i", [[1, 2], [2, 1]]),
]


@pytest.mark.parametrize(("query", "rows"), READS, ids=[query for query, _ in READS])
async def test_reads(wire: Wire, query: str, rows: list[list[Any]]) -> None:
    """Each query gives these rows."""
    assert await wire.run(query) == rows


WRITES: list[tuple[str, str, list[list[Any]], dict[str, int]]] = [
    (
        "MATCH (n:N {i: 1}) SET n += {i: 10, x: 'a'}, n:Big",
        "MATCH (n:Big) RETURN n.i, n.x, n.even",
        [[10, "a", False]],
        {"properties-set": 1, "labels-added": 1},
    ),
    (
        "MATCH (n:N {i: 1}) SET n = $p REMOVE n:N",
        "MATCH (n {a: 1}) RETURN properties(n), labels(n)",
        [[{"a": 1}, []]],
        {},
    ),
    (
        "MERGE (n:N {i: 3}) ON CREATE SET n.c = 1 ON MATCH SET n.m = 1",
        "MATCH (n:N {i: 3}) RETURN n.c, n.m",
        [[None, 1]],
        {"properties-set": 1},
    ),
    (
        "MERGE (n:N {i: 9}) ON CREATE SET n.c = 1 ON MATCH SET n.m = 1",
        "MATCH (n:N {i: 9}) RETURN n.c, n.m",
        [[1, None]],
        {"nodes-created": 1},
    ),
    (
        "MATCH (a:N {i: 1}) MERGE (a)-[r:TO]->(b:N {i: 2}) SET r.seen = true",
        "MATCH ()-[r]->() RETURN r.w, r.seen",
        [[5, True]],
        {"properties-set": 1},
    ),
    (
        "MATCH (n:N) WHERE n.i < 3 DETACH DELETE n",
        "MATCH (n) RETURN count(n)",
        [[2]],
        {"nodes-deleted": 2, "relationships-deleted": 1},
    ),
    (
        "MATCH ()-[r:TO]->() DELETE r",
        "MATCH (n) RETURN count(n)",
        [[4]],
        {"relationships-deleted": 1},
    ),
    (
        "UNWIND $list AS i CREATE (:M {i: i})-[:R]->(:M)",
        "MATCH (:M)-[r:R]->(:M) RETURN count(r)",
        [[2]],
        {"nodes-created": 4, "relationships-created": 2},
    ),
]


@pytest.mark.parametrize(("write", "read", "rows", "stats"), WRITES, ids=[w[0] for w in WRITES])
async def test_writes(
    wire: Wire, write: str, read: str, rows: list[list[Any]], stats: dict[str, int]
) -> None:
    """Each query leaves this behind, and counts it; nothing else is counted."""
    await wire.run(write, p={"a": 1, "b": None}, list=[1, 2])
    counted = {name: count for name, count in wire.summary["stats"].items() if count}
    assert not stats or counted.items() >= stats.items()
    assert await wire.run(read) == rows


REFUSED: list[tuple[str, str]] = [
    ("RETURN 1 AS x UNION RETURN 2 AS y", "All subqueries in an UNION must have the same column"),
    ("RETURN 1 AS x UNION RETURN 1 AS x UNION ALL RETURN 1 AS x", "Invalid combination of UNION"),
    ("RETURN CASE 1 END", "mismatched input 'END' expecting {WHEN}"),
    ("RETURN 'a' =~ '('", "Regex error in '('"),
    ("MATCH (n:N {i: 1}) DELETE n", "Failed to remove node because of it's existing connections"),
    ("UNWIND range(1, 'a') AS x RETURN x", "'range' cannot take these arguments."),
    ("RETURN range(1, 100000000)", "The stand-in does not hold a range that long."),
    ("MATCH (n:N) RETURN n LIMIT -1", "must be a non-negative integer"),
    ("RETURN $nobody", "Parameter $nobody not provided."),
    ("CREATE (n:N {x: $node})", "Parameter $node not provided."),
    ("CREATE ({x: 9223372036854775808})", "beyond 64 bits"),
    ("RETURN 9223372036854775807 + 1 AS x", "cannot be sent: an integer beyond 64 bits"),
    ("RETURN 1 +", "mismatched input '<EOF>'"),
]


@pytest.mark.parametrize(("query", "text"), REFUSED, ids=[query for query, _ in REFUSED])
async def test_refusals(wire: Wire, query: str, text: str) -> None:
    """What is wrong is the client's fault, says why, and changes nothing."""
    code, message = await wire.refusal(query)
    assert (code, text in message) == (CLIENT, True), message
    assert await wire.run("MATCH (n) RETURN count(n)") == [[4]]


async def test_the_sentence_of_a_misspelt_statement(wire: Wire) -> None:
    """Transcript 12: the list of what a statement may begin with is the one of a running 3.6.1."""
    _, message = await wire.refusal("CREAT (n)")
    assert message.startswith(
        "Error on line 1 position 1. The underlying parsing error is mismatched input 'CREAT' "
        "expecting {ADD, ALTER, ANALYZE, CALL, CHECK, CLEAR, DATA, DEMOTE, DENY,"
    )


async def test_dates_are_passed_on_but_not_kept(wire: Wire) -> None:
    """A date as a parameter comes back as it is; storing it is what this one does not know."""
    date = Structure(0x44, (19000,))
    assert await wire.run("RETURN $date AS d", date=date) == [[date]]
    code, message = await wire.refusal("CREATE (:D {at: $date})", date=date)
    assert (code, "stand-in does not know how to keep dates" in message) == (CLIENT, True)


async def test_a_result_has_an_end(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than the stand-in holds are refused while they are made."""
    monkeypatch.setattr(executor, "ROWS_MAX", 10)
    await wire.run("UNWIND range(1, 10) AS x RETURN x")
    assert "that long" in (await wire.refusal("UNWIND range(1, 11) AS x RETURN x"))[1]
