"""A client process of the demo: writers, readers, and one that tries to write through the read-only
gateway. A plain blocking program, as applications are; it prints one JSON line for each outcome.

Outcomes of a write: `acked`; `refused`, a definite error of the database, so that under
STRICT_SYNC it exists nowhere; `unknown`, the connection broke, so that it may or may not exist.
Each attempt has an id of its own: an application that tries again cannot know either.
"""

import argparse
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import neo4j
from neo4j.exceptions import ClientError, DatabaseError, Neo4jError, TransientError

from controller.sandbox.demo.crowd import HUNG_S, run_until_input_ends, say

WRITE = "CREATE (:Write {id: $id})"
READ = "MATCH (n:Write {id: $id}) RETURN count(n)"
PACE_S = 0.02  # of each client: the demo is about failover, not about load
RETRY_S = 0.02  # an application's pause after an error
CONNECT_S = 2.0


class Client:
    """One thread with one driver on one gateway."""

    def __init__(self, kind: str, name: str, address: str, say: Callable[[dict[str, Any]], None]):
        self.kind, self.name, self._say = kind, name, say
        self._driver = neo4j.GraphDatabase.driver(
            f"bolt://{address}",
            auth=None,
            max_connection_pool_size=1,
            connection_timeout=CONNECT_S,
            connection_acquisition_timeout=HUNG_S,
            telemetry_disabled=True,
        )
        self._numbers = itertools.count()

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        with self._driver:
            while not stop.is_set():
                is_well = self._once()
                stop.wait(PACE_S if is_well else RETRY_S)

    def _once(self) -> bool:
        identity = f"{self.name}-{next(self._numbers)}"
        query = READ if self.kind == "read" else WRITE
        try:
            with self._driver.session() as session:
                session.run(query, id=identity).consume()
        except (ClientError, TransientError, DatabaseError) as error:
            self._tell(identity, "refused", error)
        except (Neo4jError, neo4j.exceptions.DriverError, OSError) as error:
            self._tell(identity, "unknown", error)
        else:
            self._tell(identity, "acked", None)
            return True
        return False

    def _tell(self, identity: str, outcome: str, error: BaseException | None) -> None:
        line = {"at": time.time(), "kind": self.kind, "id": identity, "outcome": outcome}
        if error is not None:
            line["error"] = str(getattr(error, "message", None) or error)[:300]
        self._say(line)


def main(words: Sequence[str] | None = None) -> int:
    """Runs until standard input closes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", action="append", default=[], help="host:port of an RW gateway")
    parser.add_argument("--read", action="append", default=[], help="host:port of an RO gateway")
    parser.add_argument("--intrude", action="append", default=[], help="write through this RO one")
    parser.add_argument("--prefix", default="", help="of every id, for several runs on one cluster")
    options = parser.parse_args(words)
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    run_until_input_ends(
        [
            Client(kind, f"{options.prefix}{kind}{number}", address, say).run
            for kind in ("write", "read", "intrude")
            for number, address in enumerate(getattr(options, kind))
        ]
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
