"""The small Cypher over an in-memory graph, by table."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.memgraph.cypher.evaluate import Scope
from controller.sandbox.memgraph.cypher.executor import Outcome, columns_of, execute
from controller.sandbox.memgraph.cypher.parser import parse
from controller.sandbox.memgraph.failures import ClientFailure, Failure
from controller.sandbox.memgraph.graph.changes import replay
from controller.sandbox.memgraph.graph.store import GraphStore
from controller.sandbox.memgraph.graph.transaction import Transaction


class Database:
    """A graph with auto-commit queries; `log` holds each commit's changes."""

    def __init__(self) -> None:
        self.store = GraphStore()
        self.now = 0
        self.log: list[list[Any]] = []

    def begin(self) -> Transaction:
        self.now += 1
        return Transaction(self.store, self.now)

    def commit(self, transaction: Transaction) -> None:
        self.now += 1
        self.store.install(transaction, self.now)
        self.log.append(transaction.changes)
        transaction.close()

    def run(self, query: str, **parameters: Any) -> Outcome:
        transaction = self.begin()
        try:
            outcome = execute(parse(query), Scope(parameters, transaction))
        except Failure:
            transaction.close()
            raise
        self.commit(transaction)
        return outcome

    def rows(self, query: str, **parameters: Any) -> list[list[Any]]:
        return self.run(query, **parameters).rows


@pytest.fixture
def database() -> Database:
    it = Database()
    it.run("UNWIND range(1, 6) AS i CREATE (:N {i: i, odd: i % 2 = 1})")
    it.run("CREATE (:A {name: 'a'})-[:KNOWS {since: 1}]->(:B {name: 'b'})<-[:OWNS]-(:C)")
    return it


READS: list[tuple[str, list[list[Any]]]] = [
    ("RETURN 1 + 2 * 3 - 4 / 2, 7 % 4, 2 ^ 3, -(1), 7.0 / 2", [[5, 3, 8.0, -1, 3.5]]),
    ("RETURN 'a' + \"b\", 'it\\'s', '\\u00e9'", [["ab", "it's", "é"]]),
    ("RETURN [1, 2] + 3, [1, [2]][1], {a: {b: 1}}.a.b, [1][5]", [[[1, 2, 3], [2], 1, None]]),
    ("RETURN null = 1, null IS NULL, NOT true, true XOR true", [[None, True, False, False]]),
    ("RETURN null AND false, null OR true, null AND true", [[False, True, None]]),
    ("RETURN 1 IN [1, 2], 3 IN [1, null], 3 IN [1], null IN []", [[True, None, False, False]]),
    ("RETURN 1 = 1.0, true = 1, 'a' <> 'b', 1 < 2 < 3", [[True, False, True, True]]),
    (
        "RETURN 'abc' STARTS WITH 'ab', 'abc' ENDS WITH 'x', 'abc' CONTAINS 'b'",
        [[True, False, True]],
    ),
    ("RETURN -7 / 2, -7 % 2", [[-3, -1]]),
    (
        "RETURN size([1, 2]), coalesce(null, 3), toString(1), toInteger('7'), abs(-2)",
        [[2, 3, "1", 7, 2]],
    ),
    (
        "MATCH (n:N) RETURN count(*), count(n.nothing), sum(n.i), min(n.i), max(n.i), avg(n.i)",
        [[6, 0, 21, 1, 6, 3.5]],
    ),
    ("MATCH (n:N {i: 3}) RETURN n.i", [[3]]),
    ("MATCH (n:N) WHERE n.i = $three RETURN n.i", [[3]]),
    (
        "MATCH (n:N) WHERE n.i > 2 AND NOT n.odd OR n.i = 1 RETURN n.i ORDER BY n.i DESC",
        [[6], [4], [1]],
    ),
    ("MATCH (n:N) RETURN n.odd AS odd, count(*) AS c ORDER BY c, odd", [[False, 3], [True, 3]]),
    ("MATCH (n:N) WITH n.odd AS odd, collect(n.i) AS all WHERE odd RETURN all", [[[1, 3, 5]]]),
    ("MATCH (n:N) RETURN DISTINCT n.odd ORDER BY n.odd", [[False], [True]]),
    ("MATCH (n:N) RETURN n.i ORDER BY n.i SKIP 1 LIMIT 2", [[2], [3]]),
    ("MATCH (n:N) WITH n ORDER BY n.i DESC LIMIT 1 RETURN n.i", [[6]]),
    ("MATCH (n:Nobody) RETURN count(n)", [[0]]),
    ("MATCH (n:Nobody) RETURN n.x, count(n)", []),
    ("OPTIONAL MATCH (n:Nobody) RETURN n, n.x", [[None, None]]),
    (
        "MATCH (a:A)-[r:KNOWS]->(b) RETURN r.since, b.name, type(r), labels(b)",
        [[1, "b", "KNOWS", ["B"]]],
    ),
    ("MATCH (b:B)<-[r]-(x) RETURN type(r) ORDER BY type(r)", [["KNOWS"], ["OWNS"]]),
    ("MATCH (a:A)-[:KNOWS]-(b)-[:OWNS]-(c:C) RETURN count(*)", [[1]]),
    ("MATCH (a:A)-->(b)-->(c) RETURN count(*)", [[0]]),
    ("MATCH (a:A)-[:KNOWS|OWNS]->(b:B {name: 'b'}), (c:C) RETURN a.name, b.name", [["a", "b"]]),
    ("MATCH (n) WHERE n:A OR n:C RETURN count(n)", [[2]]),
    ("MATCH (n:`A`) RETURN id(n), properties(n), keys(n)", [[6, {"name": "a"}, ["name"]]]),
    ("UNWIND [3, 1, 2] AS x WITH x WHERE x > 1 RETURN x ORDER BY x", [[2], [3]]),
    ("UNWIND [1, 1, 2] AS x RETURN count(DISTINCT x), collect(DISTINCT x)", [[2, [1, 2]]]),
    ("UNWIND [true, 1] AS x RETURN count(DISTINCT x)", [[2]]),
    ("RETURN count(*) + 1 // a comment", [[2]]),
    ("RETURN 1 AS x /* and */ ;", [[1]]),
    ("MATCH (n:A) RETURN *, 1 AS one", [["n", 1]]),
]


@pytest.mark.parametrize(("query", "expected"), READS, ids=[query for query, _ in READS])
def test_reads(database: Database, query: str, expected: list[list[Any]]) -> None:
    """Each query gives exactly these rows."""
    rows = database.rows(query, three=3)
    if "RETURN *" in query:
        assert columns_of(parse(query)) == ["n", "one"]
        rows = [["n", row[1]] for row in rows]
    assert rows == expected


WRITES: list[tuple[str, str, list[list[Any]]]] = [
    ("MATCH (n:N {i: 1}) SET n.x = 5, n:M", "MATCH (n:M) RETURN n.x, n.i", [[5, 1]]),
    (
        "MATCH (n:N {i: 1}) SET n += {x: 1, odd: null}",
        "MATCH (n {x: 1}) RETURN keys(n)",
        [[["i", "x"]]],
    ),
    ("MATCH (n:N {i: 1}) SET n = {y: 1}", "MATCH (n {y: 1}) RETURN properties(n)", [[{"y": 1}]]),
    ("MATCH (n:N {i: 2}) REMOVE n.i, n:N", "MATCH (n:N) RETURN count(n), sum(n.i)", [[5, 19]]),
    ("MATCH ()-[r:KNOWS]->() SET r.since = 2", "MATCH ()-[r]->() RETURN sum(r.since)", [[2]]),
    ("MATCH ()-[r:KNOWS]->() DELETE r", "MATCH ()-[r]->() RETURN type(r)", [["OWNS"]]),
    ("MATCH (b:B) DETACH DELETE b", "MATCH (n)-[r]-() RETURN count(r)", [[0]]),
    ("MATCH (n:N) DELETE n", "MATCH (n:N) RETURN count(n)", [[0]]),
    (
        "MERGE (n:N {i: 1}) ON MATCH SET n.m = 1 ON CREATE SET n.m = 2",
        "MATCH (n:N {i: 1}) RETURN n.m",
        [[1]],
    ),
    (
        "MERGE (n:N {i: 9}) ON MATCH SET n.m = 1 ON CREATE SET n.m = 2",
        "MATCH (n:N {i: 9}) RETURN n.m",
        [[2]],
    ),
    ("UNWIND [1, 1] AS x MERGE (:K {x: x})", "MATCH (k:K) RETURN count(k)", [[1]]),
    (
        "MATCH (a:A), (c:C) CREATE (c)-[:TO {w: 1}]->(a)",
        "MATCH (:C)-[r:TO]->(a:A) RETURN r.w",
        [[1]],
    ),
    ("CREATE (x:S)-[:SELF]->(x)", "MATCH (s:S)-[:SELF]-(t) RETURN count(*)", [[1]]),
    ("CREATE (n:`__memgraph_controller`) DELETE n", "MATCH (n) RETURN count(n)", [[9]]),
    ("MATCH (n:N) SET n.i = n.i + 1", "MATCH (n:N) RETURN sum(n.i)", [[27]]),
    ("CREATE (:P $map)", "MATCH (p:P) RETURN p.k, p.l", [["v", [1, "x"]]]),
]


@pytest.mark.parametrize(("write", "read", "expected"), WRITES, ids=[w[0] for w in WRITES])
def test_writes(database: Database, write: str, read: str, expected: list[list[Any]]) -> None:
    """A write has this effect, and replaying its changes elsewhere has the same (the replicas)."""
    database.run(write, map={"k": "v", "l": [1, "x"], "none": None})
    assert database.rows(read) == expected
    copy = Database()
    for changes in database.log:
        transaction = copy.begin()
        replay(transaction, changes)
        copy.commit(transaction)
    assert copy.rows(read) == expected


def test_marker_write_leaves_changes_and_no_node(database: Database) -> None:
    """MEMGRAPH L6: the marker write is a commit (it has changes) though nothing stays."""
    outcome = database.run("CREATE (n:`__memgraph_controller`) DELETE n")
    assert [change[0] for change in database.log[-1]] == ["node", "drop-node"]
    assert (outcome.stats["nodes-created"], outcome.stats["nodes-deleted"]) == (1, 1)


REFUSALS = [
    ("CREAT (n)", "mismatched input 'CREAT'"),
    ("MATCH (n)", "mismatched input '<EOF>'"),
    ("RETURN $missing", "Parameter $missing not provided."),
    ("RETURN nobody", "Unbound variable: nobody."),
    ("RETURN 1 / 0", "Invalid types: int and int for '/'."),
    ("RETURN 1 + 'a'", "Invalid types: int and string"),
    ("RETURN 1 < 'a'", "Invalid types"),
    ("RETURN true < false", "Invalid types"),
    ("RETURN NOT 1", "Invalid type"),
    ("RETURN unheard(1)", "does not know the function 'unheard'"),
    ("RETURN size(1)", "'size' cannot take"),
    ("RETURN count()", "COUNT takes one argument"),
    ("MATCH (n:N) WHERE count(n) > 1 RETURN n", "Aggregation"),
    ("MATCH (b:B) DELETE b", "existing connections"),
    ("CREATE (a)-[r]->(b)", "one type and one direction"),
    ("CREATE (a)-[:R]-(b)", "one type and one direction"),
    ("MATCH (n:A) CREATE (n:Again)", "Redeclaring variable"),
    ("CREATE (n {x: $bytes})", "property value"),
    ("RETURN 1 LIMIT -1", "non-negative"),
    ("UNWIND 1 AS x RETURN x", "must be a list"),
    ("RETURN 'open", "token recognition error"),
    ("CALL db.labels()", "The Memgraph stand-in does not know the clause CALL."),
    ("RETURN 1 RETURN 2", "mismatched input 'RETURN'"),
    ("MATCH (n) WITH n.i RETURN 1", "expecting {AS}"),
]


@pytest.mark.parametrize(("query", "text"), REFUSALS, ids=[query for query, _ in REFUSALS])
def test_refusals(database: Database, query: str, text: str) -> None:
    """What is wrong or unknown is the client's fault, says why, and changes nothing."""
    before = database.store.counts()
    with pytest.raises(ClientFailure) as caught:
        database.run(query, bytes=b"x")
    assert text in caught.value.message
    assert database.store.counts() == before
    assert database.store.open_count == 0


def test_column_names() -> None:
    """A column without alias is named by its own text."""
    query = parse("MATCH (n) RETURN n.v, count( n ) , n, `odd name`.x AS y, 1+1")
    assert columns_of(query) == ["n.v", "count( n )", "n", "y", "1+1"]


def test_snapshot_reads_and_conflicts(database: Database) -> None:
    """MEMGRAPH 2.1: a transaction reads what was committed at its start, also through indexes; the
    second writer of a node fails, whether the first is open or committed since."""
    reader, late = database.begin(), database.begin()
    database.run("MATCH (n:N {i: 1}) SET n.i = 100")
    database.run("MATCH (n:N {i: 2}) DELETE n")
    database.run("CREATE (:N {i: 7})")
    query = parse("MATCH (n:N) RETURN n.i ORDER BY n.i")
    assert execute(query, Scope({}, reader)).rows == [[i] for i in range(1, 7)]
    assert execute(parse("MATCH (n:N {i: 1}) RETURN n.i"), Scope({}, reader)).rows == [[1]]
    assert database.rows("MATCH (n:N {i: 100}) RETURN count(n)") == [[1]]
    for number in (1, 3):
        if number == 3:
            execute(parse("MATCH (n:N {i: 3}) SET n.x = 1"), Scope({}, reader))
        with pytest.raises(Failure, match="Cannot resolve conflicting transactions"):
            execute(parse(f"MATCH (n:N {{i: {number}}}) SET n.x = 2"), Scope({}, late))
    reader.close()
    late.close()
    assert database.store.replaced_ids("n") == []
    assert database.store.writers == {}


LABELS = st.sampled_from(["P", "Q"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("CREATE (:{0} {{v: {1}}})"), LABELS, st.integers(0, 3)),
        st.tuples(st.just("MATCH (n:{0} {{v: {1}}}) SET n.v = n.v + 1"), LABELS, st.integers(0, 3)),
        st.tuples(st.just("MATCH (n:{0} {{v: {1}}}) DETACH DELETE n"), LABELS, st.integers(0, 3)),
        st.tuples(
            st.just("MATCH (n:{0}), (m {{v: {1}}}) CREATE (n)-[:R]->(m)"), LABELS, st.integers(0, 3)
        ),
        st.tuples(
            st.just("MATCH (n:{0} {{v: {1}}}) SET n:Q REMOVE n:P"), LABELS, st.integers(0, 3)
        ),
    ),
    max_size=12,
)


@given(STEPS)
def test_index_and_scan_agree(steps: list[tuple[str, str, int]]) -> None:
    """A lookup by label and value finds what a full scan finds, after any history."""
    database = Database()
    for form, label, value in steps:
        if database.store.counts()[1] < 200:
            database.run(form.format(label, value))
    for label in ("P", "Q"):
        for value in range(8):
            looked_up = database.rows(f"MATCH (n:{label} {{v: {value}}}) RETURN id(n)")
            scanned = [
                [n.id]
                for n in database.store.nodes.values()
                if label in n.labels and n.properties.get("v") == value
            ]
            assert looked_up == sorted(scanned)
