"""Reads what stands on an instance, past every gateway, and prepares a fresh cluster."""

from functools import partial

import neo4j
import trio
from neo4j.exceptions import DriverError, Neo4jError

from torture.book import Found
from torture.client import ACCOUNTS, BALANCE, REGISTERS

RETRY_S = 0.2
IDS = "MATCH (n:Write) RETURN n.id AS id"
BALANCES = "MATCH (a:Account) RETURN a.id AS id, a.balance AS balance"
VALUES = "MATCH (r:Register) RETURN r.id AS id, r.value AS value"
INTRUDERS = "MATCH (n:Intruder) RETURN count(n) AS intruders"
PREPARED = (
    "UNWIND range(0, $accounts - 1) AS id CREATE (:Account {id: id, balance: $balance})",
    "UNWIND range(0, $registers - 1) AS id CREATE (:Register {id: id})",
)


def _read(address: str) -> Found:
    with (
        neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None) as driver,
        driver.session() as session,
    ):
        ids = frozenset(str(record["id"]) for record in session.run(IDS))
        accounts = sorted((int(r["id"]), int(r["balance"])) for r in session.run(BALANCES))
        registers = sorted((int(r["id"]), r["value"]) for r in session.run(VALUES))
        intruders = int(session.run(INTRUDERS).single(strict=True)["intruders"])
    return Found(ids, tuple(accounts), tuple(registers), intruders)


def _prepare(address: str) -> None:
    with (
        neo4j.GraphDatabase.driver(f"bolt://{address}", auth=None) as driver,
        driver.session() as session,
    ):
        values = {"accounts": ACCOUNTS, "balance": BALANCE, "registers": REGISTERS}
        if session.run("MATCH (n) RETURN count(n) AS n").single(strict=True)["n"] == 0:
            with session.begin_transaction() as tx:
                for text in PREPARED:
                    tx.run(text, values).consume()
                tx.commit()


async def prepare(gateway: str, timeout_s: float) -> None:
    """Accounts and registers are there. Raises trio.TooSlowError."""
    with trio.fail_after(timeout_s):
        while True:
            try:
                await trio.to_thread.run_sync(partial(_prepare, gateway))
            except (Neo4jError, DriverError, OSError):
                await trio.sleep(RETRY_S)
            else:
                return


async def read_instance(address: str, timeout_s: float) -> Found:
    """What stands there. Raises trio.TooSlowError when it cannot be read for so long."""
    with trio.fail_after(timeout_s):
        while True:
            try:
                return await trio.to_thread.run_sync(partial(_read, address))
            except (Neo4jError, DriverError, OSError):
                await trio.sleep(RETRY_S)
