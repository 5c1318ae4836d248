"""Statements of one connection: what RUN checks, what PULL does, what a transaction spans.

Promise: syntax, role of a writing query and the rule about explicit transactions fail at RUN;
everything else happens when the result is pulled (MEMGRAPH 1.1, "evaluation moment").
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.activity import Work
from controller.sandbox.memgraph.administration import Administration, refusal_in_transaction
from controller.sandbox.memgraph.bolt.messages import Extras
from controller.sandbox.memgraph.cypher.evaluate import Scope
from controller.sandbox.memgraph.cypher.executor import Outcome, columns_of, steps
from controller.sandbox.memgraph.cypher.pace import Pace
from controller.sandbox.memgraph.cypher.parser import PARSED_CHARS_MAX, PARSED_QUERIES_MAX, parse
from controller.sandbox.memgraph.cypher.syntax import Query
from controller.sandbox.memgraph.failures import ClientFailure, DatabaseFailure
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.notices import explicit_refusal, notice
from controller.sandbox.memgraph.periodic import run_in_batches
from controller.sandbox.memgraph.plans import index_hints, plan_of
from controller.sandbox.memgraph.prepared import Answer, Prepared, plain
from controller.sandbox.memgraph.statement_parser import parse_statement
from controller.sandbox.memgraph.statements import Control, Explain, Statement

_UNEXPECTED = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a query may hit in the small Cypher that nobody thought of: told to its client alone."""


@attrs.define(eq=False)
class Explicit:
    """An explicit transaction, from BEGIN to its end."""

    transaction: Transaction
    pace: Pace
    work: Work
    results: int = 0
    is_broken: bool = False


class Interpreter:
    """The statements of one connection, one at a time.

    Attributes:
        user: who logged on; empty when nobody had to.
    """

    def __init__(self, instance: Instance) -> None:
        self.user = ""
        self._instance = instance
        self._explicit: Explicit | None = None
        self._administration = Administration(instance)

    def take_qid(self) -> int | None:
        """The number of the next result inside an explicit transaction; None outside."""
        if self._explicit is None:
            return None
        self._explicit.results += 1
        return self._explicit.results - 1

    # -- transactions ---------------------------------------------------------------------------

    async def begin(self, extras: Extras) -> None:
        """Begin an explicit transaction.

        Raises:
            ClientFailure: there is one already.
        """
        if self._explicit is not None:
            raise ClientFailure(failures.NESTED_TRANSACTION)
        pace = self._pace(extras)
        transaction = await self._instance.committer.begin()
        work = self._instance.activity.begin(self.user, extras.metadata)
        self._explicit = Explicit(transaction, pace, work)

    async def commit(self) -> None:
        """Commit the explicit transaction; it is gone afterwards in every case but a broken one.

        Raises:
            Failure: see `Committer.commit`; or there is nothing to commit.
        """
        explicit = self._explicit
        if explicit is None:
            raise ClientFailure(failures.NO_TRANSACTION_COMMIT)
        if explicit.is_broken:
            raise ClientFailure(failures.TRANSACTION_BROKEN)
        self._explicit = None
        try:
            await self._instance.commit(explicit.transaction, explicit=True)
        finally:
            self._instance.activity.end(explicit.work)

    async def rollback(self) -> None:
        if self._explicit is None:
            raise ClientFailure(failures.NO_TRANSACTION_ROLLBACK)
        self.reset()

    def reset(self) -> None:
        """Abort the explicit transaction, if there is one."""
        if self._explicit is not None:
            self._explicit.transaction.close()
            self._instance.activity.end(self._explicit.work)
            self._explicit = None

    def failed(self) -> None:
        """A statement failed: an explicit transaction can only be rolled back now."""
        if self._explicit is not None:
            self._explicit.is_broken = True

    def _pace(self, extras: Extras) -> Pace:
        limit_s = extras.timeout_s or self._instance.flags.number("query_execution_timeout_sec")
        return Pace(limit_s or None)

    # -- statements -----------------------------------------------------------------------------

    async def prepare(
        self, text: str, parameters: Mapping[str, Any], extras: Extras | None = None
    ) -> Prepared:
        """Everything that RUN does.

        Raises:
            Failure: what Memgraph refuses at RUN.
        """
        extras = extras or Extras()
        statement, query = _parsed(text)
        if isinstance(statement, Control):
            return self._control(statement, extras)
        if self._explicit is not None:
            if self._explicit.is_broken:
                raise ClientFailure(failures.TRANSACTION_BROKEN)
            self._explicit.work.queries.append(text)
        if query is not None:
            return await self._cypher(query, parameters, text, extras)
        assert statement is not None
        if self._explicit is not None and not isinstance(statement, Explain):
            raise refusal_in_transaction(statement, self._instance.flags.release)
        work = self._instance.activity.of(self.user, text, extras.metadata)
        if isinstance(statement, Explain):
            return await self._explain(statement, work)
        return await self._administration.prepare(statement, work)

    def _control(self, statement: Control, extras: Extras) -> Prepared:
        async def run() -> Answer:
            if statement.word == "BEGIN":
                await self.begin(extras)
            elif statement.word == "COMMIT":
                await self.commit()
            else:
                await self.rollback()
            return Answer([], {})

        return plain([], run)

    async def _cypher(
        self, query: Query, parameters: Mapping[str, Any], text: str, extras: Extras
    ) -> Prepared:
        if query.writes and not self._instance.roles.is_main:
            raise ClientFailure(failures.WRITE_ON_REPLICA)
        if query.batch_rows is not None:
            if self._explicit is not None:
                raise explicit_refusal("Periodic commit", self._instance.flags.release)
            work = self._instance.activity.of(self.user, text, extras.metadata)
            pace = self._pace(extras)
            return await run_in_batches(self._instance, query, parameters, pace, work)

        hints = index_hints(query, self._instance.storage.graph.indexes) if query.reads else []

        async def work_on(transaction: Transaction, pace: Pace) -> Answer:
            scope = Scope(parameters, transaction, pace)
            outcome = await self._carry_out(query, scope)
            summary: dict[str, Any] = {"type": kind_of(query), "plan_execution_time": 0.0001}
            summary["number_of_hops"] = 0
            if outcome.stats:
                summary["stats"] = dict(outcome.stats)
            if hints:
                summary["notifications"] = [notice("PlanHinting", title) for title in hints]
            return Answer(outcome.rows, summary)

        if self._explicit is not None:
            return self._in_explicit(self._explicit, columns_of(query), work_on)
        work = self._instance.activity.of(self.user, text, extras.metadata)
        return await self._alone(columns_of(query), work_on, self._pace(extras), work)

    async def _carry_out(self, query: Query, scope: Scope) -> Outcome:
        scope.pace.check()
        try:
            for outcome in steps(query, scope):
                if outcome is not None:
                    return outcome
                await trio.lowlevel.checkpoint()
                scope.pace.resumed()
        except _UNEXPECTED as problem:
            self._instance.log.error(f"unexpected: {traceback.format_exc()}")
            raise DatabaseFailure from problem
        raise AssertionError("a query has an outcome")

    def _in_explicit(self, explicit: Explicit, fields: list[str], work_on: WorkOn) -> Prepared:
        async def run() -> Answer:
            return await work_on(explicit.transaction, explicit.pace)

        async def finish() -> None:
            return None

        return Prepared(fields, explicit.transaction, run, finish, lambda: None)

    async def _alone(self, fields: list[str], work_on: WorkOn, pace: Pace, work: Work) -> Prepared:
        transaction = await self._instance.committer.begin()
        activity = self._instance.activity
        activity.add(work)

        async def run() -> Answer:
            return await work_on(transaction, pace)

        async def finish() -> None:
            await self._instance.commit(transaction, explicit=False)

        def release() -> None:
            transaction.close()
            activity.end(work)

        return Prepared(fields, transaction, run, finish, release)

    async def _explain(self, statement: Explain, work: Work) -> Prepared:
        async def work_on(transaction: Transaction, pace: Pace) -> Answer:
            return Answer([[line] for line in plan_of(statement.query)], {"type": "r"})

        if self._explicit is not None:
            return self._in_explicit(self._explicit, ["QUERY PLAN"], work_on)
        return await self._alone(["QUERY PLAN"], work_on, Pace(), work)


WorkOn = Callable[[Transaction, Pace], Awaitable[Answer]]


def kind_of(query: Query) -> str:
    """`type` of the summary: r, w or rw."""
    if query.reads and not query.writes:
        return "r"
    return "w" if query.writes and not query.reads and not columns_of(query) else "rw"


def _parsed(text: str) -> tuple[Statement | None, Query | None]:
    return _remembered(text) if len(text) <= PARSED_CHARS_MAX else _parse(text)


def _parse(text: str) -> tuple[Statement | None, Query | None]:
    try:
        statement = parse_statement(text)
        return statement, parse(text) if statement is None else None
    except RecursionError as problem:
        raise ClientFailure("The query is nested too deeply.") from problem


_remembered = lru_cache(maxsize=PARSED_QUERIES_MAX)(_parse)
