"""The one open result of a conversation.

Promise: the statement runs with the first fetch and commits with the last row; what is sent comes
after the commit, so that a failed commit leaves no record behind it (MEMGRAPH 5).
"""

import uuid
from typing import Any

from controller.sandbox.memgraph.bolt.framing import Version
from controller.sandbox.memgraph.bolt.messages import DATABASE, message_bytes
from controller.sandbox.memgraph.bolt.records import to_bolt
from controller.sandbox.memgraph.bolt.rules import RECORD, SUCCESS, V5
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.prepared import Answer, Prepared

NO_SUCH_QUERY = "Invalid arguments sent: qid - Query with specified ID does not exist!"
NEGATIVE_COUNT = "Invalid arguments sent: n - Cannot fetch negative number of results!"


class Result:
    """A statement from RUN to its last row.

    Attributes:
        qid: its number within an explicit transaction; None outside.
        is_finished: the last row is delivered and an auto-commit query is committed.
    """

    def __init__(self, prepared: Prepared, version: Version, qid: int | None) -> None:
        self.qid = qid
        self.is_finished = False
        self._prepared = prepared
        self._element_ids = version >= V5
        self._answer: Answer | None = None
        self._taken = 0
        self._run_id = str(uuid.uuid4())

    def head(self) -> dict[str, Any]:
        """What the SUCCESS of RUN carries."""
        fields: dict[str, Any] = {"fields": self._prepared.fields}
        return fields if self.qid is None else {**fields, "qid": self.qid}

    async def fetch(self, count: int | None, qid: int | None, *, keep: bool) -> bytes:
        """The next rows and a SUCCESS, as bytes.

        Args:
            count: at most so many rows; None for all.
            qid: which result is meant; None for the last one.
            keep: False throws the rows away (DISCARD).

        Raises:
            Failure: the query, its commit, or the fetch itself failed.
        """
        if qid is not None and qid != (self.qid or 0):
            raise ClientFailure(NO_SUCH_QUERY)
        if count is not None and count < 0:
            raise ClientFailure(NEGATIVE_COUNT)
        if self._answer is None:
            self._answer = await self._prepared.run()
        rows = self._answer.rows
        left = len(rows) - self._taken
        end = self._taken + (left if count is None else min(count, left))
        out = bytearray()
        if keep:
            for row in rows[self._taken : end]:
                out += self._record(row)
        self._taken = end
        if end < len(rows):
            return bytes(out + message_bytes(SUCCESS, {"has_more": True, "run_id": self._run_id}))
        await self._prepared.finish()
        self.is_finished = True
        return bytes(out + message_bytes(SUCCESS, self._summary(self._answer)))

    def release(self) -> None:
        """Let go of what RUN took; harmless when repeated."""
        self._prepared.release()

    def _record(self, row: list[Any]) -> bytes:
        transaction = self._prepared.transaction
        values = [to_bolt(v, transaction, element_ids=self._element_ids) for v in row]
        try:
            return message_bytes(RECORD, values)
        except (TypeError, RecursionError) as problem:
            raise ClientFailure(f"A value of the result cannot be sent: {problem}.") from problem

    def _summary(self, answer: Answer) -> dict[str, Any]:
        return {
            "has_more": False,
            "type": "rw",
            "db": DATABASE,
            "parsing_time": 0.0001,
            "planning_time": 0.0001,
            "cost_estimate": 0.0,
            "run_id": self._run_id,
            **answer.summary,
        }
