"""The story of test_clients.py with pymgclient, which begins and ends transactions by text.

Usage: mg_client.py bolt://HOST:PORT NAME; prints one line of JSON.
"""

import json
import sys
from urllib.parse import urlsplit

import mgclient

COUNT = "MATCH (n:Client {name: $name}) RETURN count(n) AS c"
CREATE = "CREATE (:Client {name: $name})"


def main(url: str, name: str) -> None:
    """Tell the story to the server and print what it answered."""
    where = urlsplit(url)
    connection = mgclient.connect(host=where.hostname, port=where.port, lazy=False)
    cursor = connection.cursor()

    def one(query: str) -> object:
        cursor.execute(query, {"name": name})
        return cursor.fetchone()[0]

    node = one("CREATE (n:Client {name: $name, n: 1}) RETURN n")
    connection.commit()
    failure = None
    try:
        cursor.execute("CREAT (n)")
    except mgclient.DatabaseError as refused:
        failure = str(refused)
        connection.rollback()
    cursor.execute(CREATE, {"name": name})
    connection.rollback()
    kept = one(COUNT)
    cursor.execute(CREATE, {"name": name})
    connection.commit()
    committed = one(COUNT)
    connection.commit()
    lazily = mgclient.connect(host=where.hostname, port=where.port, lazy=True)
    stream = lazily.cursor()
    stream.execute("UNWIND range(1, 10000) AS i RETURN i, [i] AS l")
    streamed = []
    while (row := stream.fetchone()) is not None:
        streamed.append(row[1][0])
    told = {"read": node.properties["name"], "labels": sorted(node.labels), "failure": failure}
    told |= {"kept": kept, "committed": committed, "rows": len(streamed), "sum": sum(streamed)}
    print(json.dumps(told))
    lazily.commit()
    lazily.close()
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
