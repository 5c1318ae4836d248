"""`check-gateways`: are the two gateways what they promise to be? What `helm test` runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from controller.cli.exits import FAILED, HELP, OK

if TYPE_CHECKING:  # `--help` need not wait for the driver
    from neo4j import Driver

WRITE = "CREATE (n:`__check` {id: $id}) WITH n DELETE n"  # leaves nothing, and needs a main
READ = "MATCH (n) RETURN n LIMIT 1"
RETRY_S = 0.5
CONNECT_S = 3.0
REFUSED = "forbidden on the replica"


@click.command("check-gateways", epilog=HELP)
@click.option("--write", required=True, metavar="HOST:PORT", help="The read/write gateway.")
@click.option("--read", required=True, metavar="HOST:PORT", help="The read-only gateway.")
@click.option("--tls", is_flag=True, help="The gateways speak TLS; any certificate will do.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds for each check.")
def check_gateways(write: str, read: str, tls: bool, timeout: float) -> None:
    """Write through the one, read through the other, and see a write refused there.

    User and password come from MEMGRAPH_USER and MEMGRAPH_PASSWORD. Nothing is left behind.
    """
    checks = (
        ("a write through the read/write gateway", write, writes),
        ("a read through the read-only gateway", read, reads),
        ("no write through the read-only gateway", read, refuses_writes),
    )
    scheme = "bolt+ssc" if tls else "bolt"
    results = [_check(what, f"{scheme}://{at}", holds, timeout) for what, at, holds in checks]
    sys.exit(OK if all(results) else FAILED)


def writes(driver: Driver) -> None:
    """Raises what the driver raises."""
    with driver.session() as session:
        session.run(WRITE, id="check").consume()


def reads(driver: Driver) -> None:
    """Raises what the driver raises."""
    with driver.session() as session:
        session.run(READ).consume()


def refuses_writes(driver: Driver) -> None:
    """Raises AssertionError when the write is accepted, and what the driver raises when nobody
    answers."""
    from neo4j.exceptions import Neo4jError

    try:
        writes(driver)
    except Neo4jError as error:
        if REFUSED in (error.message or ""):
            return
        raise
    raise AssertionError("a write was accepted")


def _check(what: str, address: str, holds: Callable[[Driver], None], timeout_s: float) -> bool:
    from neo4j import GraphDatabase
    from neo4j.exceptions import DriverError, Neo4jError

    deadline_s, problem = time.monotonic() + timeout_s, ""
    user, password = os.environ.get("MEMGRAPH_USER"), os.environ.get("MEMGRAPH_PASSWORD", "")
    auth = (user, password) if user else None
    while True:
        try:
            with GraphDatabase.driver(address, auth=auth, connection_timeout=CONNECT_S) as driver:
                holds(driver)
        except AssertionError as error:
            click.echo(f"FAILED  {what} ({address}): {error}")
            return False
        except (Neo4jError, DriverError, OSError) as error:
            problem = str(error)
        else:
            click.echo(f"ok      {what} ({address})")
            return True
        if time.monotonic() >= deadline_s:
            click.echo(f"FAILED  {what} ({address}): {problem}")
            return False
        threading.Event().wait(RETRY_S)
