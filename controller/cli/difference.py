"""`difference`: what one database holds that another has not. For data that were set aside.

Promise: only reads, and prints every node and relationship of the one that the other lacks, with
all its properties, as JSON lines that a person or a script can put back. What a newcomer gets
wrong: Memgraph's internal ids differ from copy to copy, so things are compared by what they hold.
Two equal nodes are told apart by their number alone, and a relationship by what its ends hold.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from controller.cli import tables
from controller.cli.exits import FAILED, HELP, NO_ACCESS, NOT_FOUND, OK, Problem

if TYPE_CHECKING:  # `--help` need not wait for the driver
    from neo4j import Driver

NODES = "MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties"
RELATIONSHIPS = (
    "MATCH (a)-[r]->(b) RETURN labels(a) AS from_labels, properties(a) AS from_properties, "
    "type(r) AS type, properties(r) AS properties, "
    "labels(b) AS to_labels, properties(b) AS to_properties"
)
CONNECT_S = 10.0
DIGEST_BYTES = 16  # 10^9 things: a chance of 10^-21 that two differ and look equal
Thing = dict[str, Any]
Digests = Counter[bytes]
T = TypeVar("T")


@click.command("difference", epilog=HELP)
@click.argument("left", metavar="LEFT")
@click.argument("right", metavar="RIGHT")
@click.option("--count", "only_count", is_flag=True, help="Print no data, only how many there are.")
def difference(left: str, right: str, only_count: bool) -> None:
    """Print what LEFT holds that RIGHT has not, one JSON object a line.

    \b
    LEFT and RIGHT are HOST:PORT of two databases, for example a Memgraph that was started on data
    that had been set aside, and the read-only gateway. Both are only read; what changes while it
    is read may be told wrongly. User and password come from MEMGRAPH_USER and MEMGRAPH_PASSWORD.
    About 200 bytes of memory for each node and relationship. Exit code 1 when there is something.

    \b
    Examples:
      memgraph-controller difference 127.0.0.1:7700 memgraph-gateway-read:7687 > only-there.jsonl
      memgraph-controller difference --count 127.0.0.1:7700 127.0.0.1:7701
    """
    with _driver(left) as old, _driver(right) as new:
        missing = _asked(left, lambda: _digests(old))
        missing.subtract(_asked(right, lambda: _digests(new)))
        found = 0 if only_count else _asked(left, lambda: _print_all(old, missing))
    total = sum(n for n in missing.values() if n > 0)
    if not only_count and found != total:
        tables.loudly(f"{left} changed while it was read: {total} counted, {found} printed")
    click.echo(f"{total} nodes and relationships are in {left} and not in {right}", err=True)
    raise SystemExit(FAILED if total else OK)


def _driver(address: str) -> Driver:
    from neo4j import GraphDatabase

    user, password = os.environ.get("MEMGRAPH_USER"), os.environ.get("MEMGRAPH_PASSWORD", "")
    auth = (user, password) if user else None
    return GraphDatabase.driver(f"bolt://{address}", auth=auth, connection_timeout=CONNECT_S)


def _asked(address: str, ask: Callable[[], T]) -> T:
    """The answer; raises Problem when there is none."""
    from neo4j.exceptions import AuthError, DriverError, Neo4jError

    try:
        return ask()
    except AuthError as error:
        raise Problem(f"{address} does not let us in: {error}", NO_ACCESS) from error
    except (Neo4jError, DriverError, OSError) as error:
        raise Problem(f"{address} cannot be read: {error}", NOT_FOUND) from error


def _digests(driver: Driver) -> Digests:
    """How many of each there are."""
    return Counter(digest_of(thing) for thing in _things(driver))


def _print_all(driver: Driver, missing: Digests) -> int:
    """Print whatever of `missing` is met, as often as it is missing; how many lines."""
    left, printed = Counter({d: n for d, n in missing.items() if n > 0}), 0
    for thing in _things(driver):
        digest = digest_of(thing)
        if left[digest] > 0:
            left[digest] -= 1
            printed += 1
            click.echo(json.dumps(thing, default=_plain, sort_keys=True))
    return printed


def _things(driver: Driver) -> Iterator[Thing]:
    """Every node, then every relationship."""
    with driver.session(default_access_mode="READ") as session:
        for row in session.run(NODES):
            yield {"node": _node(row["labels"], row["properties"])}
        for row in session.run(RELATIONSHIPS):
            yield {
                "relationship": {
                    "from": _node(row["from_labels"], row["from_properties"]),
                    "type": row["type"],
                    "properties": row["properties"],
                    "to": _node(row["to_labels"], row["to_properties"]),
                }
            }


def _node(labels: list[str], properties: dict[str, Any]) -> Thing:
    return {"labels": sorted(labels), "properties": properties}


def digest_of(thing: Thing) -> bytes:
    """The same for the same content, whatever the order of labels and keys."""
    text = json.dumps(thing, default=_plain, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def _plain(value: object) -> list[str]:
    """What JSON has no word for: dates, durations, points, bytes."""
    text = value.hex() if isinstance(value, bytes | bytearray) else str(value)
    return [type(value).__name__, text]
