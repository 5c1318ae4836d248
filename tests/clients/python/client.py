"""The story of test_clients.py with the neo4j driver for Python, whichever release is on the path.

Usage: client.py bolt://HOST:PORT NAME; prints one line of JSON.
"""

import json
import sys

import neo4j
from neo4j.exceptions import ClientError

COUNT = "MATCH (n:Client {name: $name}) RETURN count(n) AS c"
CREATE = "CREATE (:Client {name: $name})"


def main(url: str, name: str) -> None:
    """Tell the story to the server and print what it answered."""
    with neo4j.GraphDatabase.driver(url) as driver, driver.session(fetch_size=100) as session:

        def count() -> int:
            return session.run(COUNT, name=name).single(strict=True)["c"]

        result = session.run("CREATE (n:Client {name: $name, n: 1}) RETURN n", name=name)
        node = result.single(strict=True)["n"]
        summary = result.consume()
        code = None
        try:
            session.run("CREAT (n)").consume()
        except ClientError as refused:
            code = refused.code
        with session.begin_transaction() as transaction:
            transaction.run(CREATE, name=name).consume()
            transaction.rollback()
        kept = count()
        session.execute_write(lambda tx: tx.run(CREATE, name=name).consume())
        streamed = [
            r["l"][0] for r in session.run("UNWIND range(1, 10000) AS i RETURN i, [i] AS l")
        ]
        told = {
            "created": summary.counters.nodes_created,
            "read": node["name"],
            "labels": sorted(node.labels),
            "code": code,
            "kept": kept,
            "committed": count(),
            "rows": len(streamed),
            "sum": sum(streamed),
            "database": summary.database,
            "protocol": ".".join(map(str, summary.server.protocol_version)),
            "driver": neo4j.__version__.partition(".")[0],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
