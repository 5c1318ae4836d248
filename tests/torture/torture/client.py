"""A client process of the torture: applications with a plain, blocking driver, one thread and one
connection each. Prints one JSON line for each outcome; reads `round N` lines, ends at end of file.

Outcomes: `acked`; `refused`, a definite error of the database, so that under STRICT_SYNC it exists
nowhere; `unknown`, the connection broke. Times are of the monotonic clock, which all processes of a
machine share.

Workloads: `set` writes ids of which each is used once. `bank` moves money between accounts in
transactions of two statements, `audit` reads how many accounts there are and their sum. `register`
writes and reads a few registers, every value once. `intrude` tries to write through a read-only
gateway. A line says `begin` and `end`; nothing here knows who is main.
"""

import argparse
import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import neo4j
from neo4j.exceptions import ClientError, DatabaseError, Neo4jError, TransientError

from controller.sandbox.demo.crowd import HUNG_S, run_until_input_ends, say

ACCOUNTS, BALANCE = 5, 100
REGISTERS = 3
RETRY_S = 0.05  # an application's pause after an error
CONNECT_S = 2.0

CREATE_ID = "CREATE (:Write {id: $id, round: $round})"
TAKE = "MATCH (a:Account {id: $id}) SET a.balance = a.balance - $n"
GIVE = "MATCH (a:Account {id: $id}) SET a.balance = a.balance + $n"
AUDIT = "MATCH (a:Account) RETURN count(a) AS accounts, sum(a.balance) AS total"
SET_REGISTER = "MATCH (r:Register {id: $id}) SET r.value = $value"
GET_REGISTER = "MATCH (r:Register {id: $id}) RETURN r.value AS value"
INTRUDE = "CREATE (:Intruder {id: $id})"

Line = dict[str, Any]
Job = Callable[[neo4j.Session, int, Line], None]


class Client:
    """One thread: a job on one gateway, again and again."""

    def __init__(self, name: str, job: str, address: str, say: Callable[[Line], None], seed: int):
        self.name, self._job, self._say = name, job, say
        self._dice = random.Random(f"{seed}/{name}")
        self._driver = neo4j.GraphDatabase.driver(
            f"bolt://{address}",
            auth=None,
            max_connection_pool_size=1,
            connection_timeout=CONNECT_S,
            connection_acquisition_timeout=HUNG_S,
            telemetry_disabled=True,
        )
        self.round = 0

    def run(self, stop: threading.Event, pace_s: float) -> None:
        """Until told to stop."""
        with self._driver:
            for number in itertools.count():
                is_well = self._once(number)
                stop.wait(pace_s * self._dice.uniform(0.5, 1.5) if is_well else RETRY_S)
                if stop.is_set():
                    return

    def _once(self, number: int) -> bool:
        line: Line = {"client": self.name, "job": self._job, "round": self.round}
        line["begin"] = time.monotonic()
        try:
            with self._driver.session() as session:
                JOBS[self._job](self, session, number, line)
            line["outcome"] = "acked"
        except (ClientError, TransientError, DatabaseError) as error:
            line |= {"outcome": "refused", "error": str(error.message)[:300]}
        except (Neo4jError, neo4j.exceptions.DriverError, OSError) as error:
            line |= {"outcome": "unknown", "error": str(error)[:300]}
        line["end"] = time.monotonic()
        self._say(line)
        return bool(line["outcome"] == "acked")

    def add_to_set(self, session: neo4j.Session, number: int, line: Line) -> None:
        """One more id."""
        line["id"] = f"{self.name}-{number}"
        session.run(CREATE_ID, id=line["id"], round=self.round).consume()

    def transfer(self, session: neo4j.Session, number: int, line: Line) -> None:
        """Some money from one account to another."""
        one, other = self._dice.sample(range(ACCOUNTS), 2)
        amount = self._dice.randint(1, 9)
        with session.begin_transaction() as tx:
            tx.run(TAKE, id=one, n=amount).consume()
            tx.run(GIVE, id=other, n=amount).consume()
            tx.commit()

    def audit(self, session: neo4j.Session, number: int, line: Line) -> None:
        """How many accounts, and how much in all."""
        row = session.run(AUDIT).single(strict=True)
        line |= {"accounts": row["accounts"], "total": row["total"]}

    def use_register(self, session: neo4j.Session, number: int, line: Line) -> None:
        """Write a fresh value or read the present one."""
        line["key"] = self._dice.randrange(REGISTERS)
        if self._dice.random() < 0.5:
            line["write"] = f"{self.name}-{number}"
            session.run(SET_REGISTER, id=line["key"], value=line["write"]).consume()
        else:
            row = session.run(GET_REGISTER, id=line["key"]).single(strict=True)
            line["read"] = row["value"]

    def intrude(self, session: neo4j.Session, number: int, line: Line) -> None:
        """What must never be accepted."""
        session.run(INTRUDE, id=f"{self.name}-{number}").consume()


JOBS: dict[str, Callable[[Client, neo4j.Session, int, Line], None]] = {
    "set": Client.add_to_set,
    "bank": Client.transfer,
    "audit": Client.audit,
    "register": Client.use_register,
    "intrude": Client.intrude,
}


def main(words: Sequence[str] | None = None) -> int:
    """Runs until standard input closes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.05, help="seconds between two operations")
    parser.add_argument("--do", action="append", default=[], help="JOB@host:port of a gateway")
    options = parser.parse_args(words)
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    clients = []
    for number, what in enumerate(options.do):
        job, _, address = what.partition("@")
        clients.append(Client(f"{job}{number}", job, address, say, options.seed))

    def on_line(line: str) -> None:
        with contextlib.suppress(ValueError):
            for client in clients:
                client.round = int(line.removeprefix("round "))

    run_until_input_ends([partial(c.run, pace_s=options.pace) for c in clients], on_line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
