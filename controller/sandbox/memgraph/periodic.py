"""USING PERIODIC COMMIT: a query that commits after each so many rows.

Promise: what an earlier batch committed stays, whatever happens to a later one. A SYNC replica that
does not answer is only logged; an aborted batch ends the query (MEMGRAPH 2.1).
The reading part sees the graph as it was at the query's start.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph.activity import Work
from controller.sandbox.memgraph.cypher.clauses import apply
from controller.sandbox.memgraph.cypher.evaluate import PAUSE, Row, Scope, evaluate
from controller.sandbox.memgraph.cypher.executor import columns_of, stats_of
from controller.sandbox.memgraph.cypher.pace import Pace
from controller.sandbox.memgraph.cypher.syntax import Clause, Match, Projection, Query, Unwind
from controller.sandbox.memgraph.failures import ClientFailure, Failure
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.prepared import Answer, Prepared

_READING = (Match, Unwind, Projection)


@attrs.define(eq=False)
class _Run:
    """One such query, from its first batch to its last."""

    instance: Instance
    query: Query
    parameters: Mapping[str, Any]
    pace: Pace
    source: Transaction
    changes: list[Any] = attrs.Factory(list)

    def scope(self, transaction: Transaction) -> Scope:
        return Scope(self.parameters, transaction, self.pace)

    async def answer(self) -> Answer:
        """All batches, each committed.

        Raises:
            ClientFailure: a batch was aborted.
        """
        reading, writing, ending = _split(self.query.clauses)
        batch_rows = self._batch_rows()
        done: list[Row] = []
        batch: list[Row] = []
        for row in _through(reading, [{}], self.scope(self.source)):
            if row is PAUSE:
                await trio.lowlevel.checkpoint()
                self.pace.resumed()
                continue
            batch.append(row)
            if len(batch) == batch_rows:
                done += await self._commit(writing, batch)
                batch = []
        done += await self._commit(writing, batch)
        return await self._finished(ending, done)

    def _batch_rows(self) -> int:
        assert self.query.batch_rows is not None
        value = evaluate(self.query.batch_rows, {}, self.scope(self.source))
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise ClientFailure("Periodic commit frequency must be a positive integer.")
        return value

    async def _commit(self, writing: tuple[Clause, ...], batch: list[Row]) -> list[Row]:
        transaction = await self.instance.committer.begin()
        try:
            rows = [
                row for row in _through(writing, batch, self.scope(transaction)) if row is not PAUSE
            ]
            self.changes += transaction.changes
            await self.instance.commit(transaction, explicit=False)
        except Failure as problem:
            if "still committed on the main" in problem.message or (
                "SYNC replica has not confirmed" in problem.message
                and "STRICT_SYNC" not in problem.message
            ):
                self.instance.log.error(f"periodic commit: {problem.message}")
            else:
                raise ClientFailure(f"PeriodicCommit failed: {problem.message}") from problem
        finally:
            transaction.close()
        return rows

    async def _finished(self, ending: tuple[Clause, ...], done: list[Row]) -> Answer:
        transaction = await self.instance.committer.begin()
        try:
            names = columns_of(self.query)
            rows = [
                [row.get(name) for name in names]
                for row in _through(ending, done, self.scope(transaction))
                if row is not PAUSE and names
            ]
        finally:
            transaction.close()
        return Answer(rows, {"type": "rw", "stats": stats_of(self.changes)})


def _through(clauses: tuple[Clause, ...], rows: Iterable[Row], scope: Scope) -> Iterator[Row]:
    for clause in clauses:
        rows = apply(clause, rows, scope)
    yield from rows


def _split(
    clauses: tuple[Clause, ...],
) -> tuple[tuple[Clause, ...], tuple[Clause, ...], tuple[Clause, ...]]:
    """The clauses before the first write, up to the last one, and behind it."""
    writes = [at for at, clause in enumerate(clauses) if not isinstance(clause, _READING)]
    if not writes:
        return clauses, (), ()
    first, last = writes[0], writes[-1] + 1
    return clauses[:first], clauses[first:last], clauses[last:]


async def run_in_batches(
    instance: Instance, query: Query, parameters: Mapping[str, Any], pace: Pace, work: Work
) -> Prepared:
    """A prepared query that commits as it goes."""
    source = await instance.committer.begin()
    instance.activity.add(work)
    run = _Run(instance, query, parameters, pace, source)

    async def finish() -> None:
        return None

    def release() -> None:
        source.close()
        instance.activity.end(work)

    return Prepared(columns_of(query), source, run.answer, finish, release)
