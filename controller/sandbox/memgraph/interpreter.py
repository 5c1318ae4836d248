"""Statements of one connection: what RUN checks, what PULL does, what a transaction spans.

Promise: syntax, role of a writing query and the rule about explicit transactions fail at RUN;
everything else happens when the result is pulled (MEMGRAPH 1.1, "evaluation moment").
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph import failures, info
from controller.sandbox.memgraph.cypher.executor import columns_of, execute
from controller.sandbox.memgraph.cypher.parser import parse
from controller.sandbox.memgraph.cypher.syntax import Query
from controller.sandbox.memgraph.failures import ClientFailure, DatabaseFailure, TransientFailure
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.notices import (
    EXPLICIT,
    EXPLICIT_OLD,
    PORT_WARNING,
    notice,
    schema_notice,
)
from controller.sandbox.memgraph.statements import (
    Control,
    CreateSnapshot,
    Drop,
    Register,
    Schema,
    SetRole,
    Show,
    Statement,
    parse_statement,
)

BOLT_PORT_USUAL = 7687

_UNEXPECTED = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a query may hit in the small Cypher that nobody thought of: told to its client alone."""


@attrs.frozen
class Answer:
    """Rows and the summary's keys besides the usual ones."""

    rows: list[list[Any]]
    summary: Mapping[str, Any]


@attrs.frozen
class Prepared:
    """A statement after RUN.

    Attributes:
        transaction: what rows may refer to (nodes are encoded through it), None for others.
        run: does it; called once, by the first PULL.
        finish: commits an auto-commit query; called once, when the last row is due.
        release: lets go of what RUN took; harmless when repeated.
    """

    fields: list[str]
    transaction: Transaction | None
    run: Callable[[], Awaitable[Answer]]
    finish: Callable[[], Awaitable[None]]
    release: Callable[[], None]


class Interpreter:
    """The statements of one connection, one at a time."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._transaction: Transaction | None = None
        self._broken = False

    @property
    def in_transaction(self) -> bool:
        return self._transaction is not None

    # -- transactions ---------------------------------------------------------------------------

    async def begin(self) -> None:
        if self._transaction is not None:
            raise ClientFailure(failures.NESTED_TRANSACTION)
        self._transaction = await self._instance.committer.begin()
        self._broken = False

    async def commit(self) -> None:
        """Commit the explicit transaction; it is gone afterwards in every case but `_broken`."""
        if self._transaction is None:
            raise ClientFailure(failures.NO_TRANSACTION_COMMIT)
        if self._broken:
            raise ClientFailure(failures.TRANSACTION_BROKEN)
        transaction, self._transaction = self._transaction, None
        await self._instance.committer.commit(transaction, explicit=True)

    async def rollback(self) -> None:
        if self._transaction is None:
            raise ClientFailure(failures.NO_TRANSACTION_ROLLBACK)
        self.reset()

    def reset(self) -> None:
        """Abort the explicit transaction, if there is one."""
        if self._transaction is not None:
            self._transaction.close()
            self._transaction = None
        self._broken = False

    def failed(self) -> None:
        """A statement failed: an explicit transaction can only be rolled back now."""
        self._broken = self._transaction is not None

    # -- statements -----------------------------------------------------------------------------

    async def prepare(self, text: str, parameters: Mapping[str, Any]) -> Prepared:
        """Everything that RUN does.

        Raises:
            Failure: what Memgraph refuses at RUN.
        """
        statement, query = _parsed(text)
        if isinstance(statement, Control):
            return self._control(statement)
        if query is not None:
            return await self._cypher(query, parameters)
        if isinstance(statement, Schema):
            return await self._schema(statement)
        assert statement is not None
        self._refuse_in_transaction(statement)
        if isinstance(statement, (SetRole, Register, Drop)):
            return await self._system(statement)
        if isinstance(statement, CreateSnapshot):
            return _plain(["path"], self._create_snapshot)
        return self._show(statement)

    def _control(self, statement: Control) -> Prepared:
        actions = {"BEGIN": self.begin, "COMMIT": self.commit, "ROLLBACK": self.rollback}
        action = actions[statement.word]

        async def run() -> Answer:
            await action()
            return Answer([], {})

        return _plain([], run)

    async def _cypher(self, query: Query, parameters: Mapping[str, Any]) -> Prepared:
        if query.writes and not self._instance.roles.is_main:
            raise ClientFailure(failures.WRITE_ON_REPLICA)
        kind = "r" if query.reads and not query.writes else "rw"
        if query.writes and not query.reads and not columns_of(query):
            kind = "w"

        def work(transaction: Transaction) -> Answer:
            outcome = execute(query, parameters, transaction)
            summary: dict[str, Any] = {"type": kind, "plan_execution_time": 0.0001}
            summary["number_of_hops"] = 0
            if outcome.stats:
                summary["stats"] = dict(outcome.stats)
            return Answer(outcome.rows, summary)

        return await self._in_transaction(columns_of(query), work)

    async def _schema(self, statement: Schema) -> Prepared:
        if not self._instance.roles.is_main:
            raise ClientFailure(failures.WRITE_ON_REPLICA)
        if self._transaction is not None:
            what = "Index" if statement.kind == "index" else "Constraint"
            raise ClientFailure(f"{what} manipulation not allowed in multicommand transactions.")

        def work(transaction: Transaction) -> Answer:
            graph = self._instance.storage.graph
            table = graph.indexes if statement.kind == "index" else graph.constraints
            if ((statement.label, statement.keys) in table) is not statement.create:
                transaction.change_schema(
                    [statement.kind, statement.create, statement.label, list(statement.keys)]
                )
            return Answer([], {"type": "w", "notifications": [schema_notice(statement)]})

        return await self._in_transaction([], work)

    async def _in_transaction(
        self, fields: list[str], work: Callable[[Transaction], Answer]
    ) -> Prepared:
        committer = self._instance.committer
        explicit = self._transaction
        if explicit is not None and self._broken:
            raise ClientFailure(failures.TRANSACTION_BROKEN)
        transaction = explicit or await committer.begin()

        async def run() -> Answer:
            try:
                return work(transaction)
            except _UNEXPECTED as problem:
                self._instance.log.error(f"unexpected: {traceback.format_exc()}")
                raise DatabaseFailure from problem

        async def finish() -> None:
            if explicit is None:
                await committer.commit(transaction, explicit=False)

        def release() -> None:
            if explicit is None:
                transaction.close()

        return Prepared(fields, transaction, run, finish, release)

    def _refuse_in_transaction(self, statement: Statement) -> None:
        if self._transaction is None:
            return
        shown = isinstance(statement, Show) and not statement.what.startswith("REPLICA")
        if shown or isinstance(statement, CreateSnapshot):
            raise ClientFailure("Info queries are not allowed in multicommand transactions.")
        old = self._instance.flags.release < (3, 12)
        raise ClientFailure(EXPLICIT_OLD if old else EXPLICIT)

    # -- administration -------------------------------------------------------------------------

    def _show(self, statement: Statement) -> Prepared:
        assert isinstance(statement, Show)
        fields, rows_of = info.ANSWERS[statement.what]

        async def run() -> Answer:
            if statement.what.startswith("REPLICA"):
                await self._instance.roles.lock.wait_free()
            return Answer(rows_of(self._instance), {"type": "rw"})

        return _plain(fields, run)

    async def _create_snapshot(self) -> Answer:
        roles, release = self._instance.roles, self._instance.flags.release
        if not roles.is_main and release < (3, 8):
            raise TransientFailure(failures.SNAPSHOT_ON_REPLICA)
        return Answer([[await self._instance.create_snapshot()]], {"type": "rw"})

    async def _system(self, statement: SetRole | Register | Drop) -> Prepared:
        turn = self._instance.system_turn
        owner = object()
        if not await turn.take(owner):
            raise ClientFailure(failures.SYSTEM_QUERY_BUSY)

        async def run() -> Answer:
            notices = await self._do(statement)
            return Answer([], {"type": "rw", "notifications": notices})

        async def finish() -> None:
            turn.release(owner)

        return Prepared([], None, run, finish, lambda: turn.release(owner))

    async def _do(self, statement: SetRole | Register | Drop) -> list[dict[str, str]]:
        roles = self._instance.roles
        if isinstance(statement, Register):
            await roles.register(statement.name, statement.mode, statement.host, statement.port)
            return [notice("RegisterReplica", f"Replica {statement.name} is registered.")]
        if isinstance(statement, Drop):
            await roles.drop(statement.name)
            return [notice("DropReplica", f"Replica {statement.name} is dropped.")]
        if statement.port is None:
            await roles.promote()
            return [notice("SetReplica", "Replica role set to MAIN.")]
        await roles.demote(statement.port)
        notices = [notice("SetReplica", "Replica role set to REPLICA.")]
        if statement.port == BOLT_PORT_USUAL:
            notices.append(notice("ReplicaPortWarning", PORT_WARNING, "WARNING"))
        return notices


def _parsed(text: str) -> tuple[Statement | None, Query | None]:
    try:
        statement = parse_statement(text)
        return statement, parse(text) if statement is None else None
    except RecursionError as problem:
        raise ClientFailure("The query is nested too deeply.") from problem


def _plain(fields: list[str], run: Callable[[], Awaitable[Answer]]) -> Prepared:
    async def finish() -> None:
        return None

    return Prepared(fields, None, run, finish, lambda: None)
