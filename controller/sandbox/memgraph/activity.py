"""Which transactions are open, for SHOW TRANSACTIONS.

Promise: a row for each transaction from its begin to its end, oldest first; nothing decides by it.
"""

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import attrs

FIRST_ID = 1 << 63  # where the real ids begin, so that nobody takes them for timestamps


@attrs.define(eq=False)
class Work:
    """One open transaction, as it is shown. `began_unix_s` is wall time, for people only."""

    user: str
    queries: list[str]
    metadata: Mapping[str, Any]
    id: int
    began_unix_s: float = attrs.Factory(time.time)

    def row(self) -> list[Any]:
        """Its row of SHOW TRANSACTIONS."""
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.began_unix_s))
        elapsed_ms = max(0, round((time.time() - self.began_unix_s) * 1000))
        queries, metadata = list(self.queries), dict(self.metadata)
        return [self.user, str(self.id), queries, "running", metadata, began, elapsed_ms]


class Activity:
    """Owned by the instance; each connection adds and ends its own work."""

    def __init__(self) -> None:
        self._open: dict[Work, None] = {}
        self._ids = count(FIRST_ID)

    def of(self, user: str, query: str, metadata: Mapping[str, Any]) -> Work:
        """Work of a single statement; it is shown from `add` on."""
        return Work(user, [query], metadata, next(self._ids))

    def begin(self, user: str, metadata: Mapping[str, Any]) -> Work:
        """Work of an explicit transaction, shown at once; its queries are added as they come."""
        work = Work(user, [], metadata, next(self._ids))
        self.add(work)
        return work

    def add(self, work: Work) -> None:
        self._open[work] = None

    def end(self, work: Work) -> None:
        """The transaction is over; harmless when repeated."""
        self._open.pop(work, None)

    def rows(self) -> list[list[Any]]:
        return [work.row() for work in self._open]
