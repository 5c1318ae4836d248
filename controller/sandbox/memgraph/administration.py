"""Statements that are no Cypher: roles, replicas, schema, triggers, snapshots, SHOW.

Promise: what the role or an explicit transaction forbids fails here, at RUN; what they do happens
when they are pulled. A RUN of a system query takes the turn and keeps it until it is pulled.
"""

from __future__ import annotations

from typing import Any

from controller.sandbox.memgraph import failures, info
from controller.sandbox.memgraph.activity import Work
from controller.sandbox.memgraph.failures import ClientFailure, Failure, TransientFailure
from controller.sandbox.memgraph.graph.schema import change_of
from controller.sandbox.memgraph.instance import Instance
from controller.sandbox.memgraph.notices import (
    PORT_WARNING,
    explicit_refusal,
    notice,
    schema_notice,
)
from controller.sandbox.memgraph.prepared import Answer, Prepared, plain
from controller.sandbox.memgraph.statements import (
    STORAGE_MODES,
    CreateSnapshot,
    CreateTrigger,
    Drop,
    DropTrigger,
    Register,
    Schema,
    SetRole,
    SetStorageMode,
    Show,
    Statement,
    UserStatement,
)
from controller.sandbox.memgraph.users import FORBIDDEN_ON_REPLICA

BOLT_PORT_USUAL = 7687

_SHOWN_IN_WORDS = {
    "VERSION": "Version information query",
    "CONFIG": "Configuration information query",
    "TRANSACTIONS": "Querying transaction status",
    "TRIGGERS": "Managing triggers",
    "USERS": "Managing users",
    "SNAPSHOTS": "Snapshots listing",
}


def refusal_in_transaction(statement: Statement, release: tuple[int, int]) -> Failure:
    """Why this statement cannot be part of an explicit transaction."""
    if isinstance(statement, Schema):
        what = "Index manipulation" if statement.kind == "index" else "Constraint manipulation"
    elif isinstance(statement, (CreateTrigger, DropTrigger)):
        what = "Managing triggers"
    elif isinstance(statement, UserStatement):
        what = "Managing users"
    elif isinstance(statement, SetStorageMode):
        what = "Modifying storage modes"
    elif isinstance(statement, CreateSnapshot):
        what = "Creating snapshots"
    elif isinstance(statement, Show) and not statement.what.startswith("REPLICA"):
        what = _SHOWN_IN_WORDS.get(statement.what, "Storage information query")
    else:
        what = "Managing replication"
    return explicit_refusal(what, release)


class Administration:
    """The administration statements of one connection."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def prepare(self, statement: Statement, work: Work) -> Prepared:
        """Everything that RUN does.

        Raises:
            Failure: what Memgraph refuses at RUN.
        """
        if isinstance(statement, (SetRole, Register, Drop)):
            return await self._system(statement)
        if isinstance(statement, Schema):
            return await self._schema(statement, work)
        if isinstance(statement, (CreateTrigger, DropTrigger)):
            return self._trigger(statement)
        if isinstance(statement, UserStatement):
            return self._user(statement)
        if isinstance(statement, SetStorageMode):
            return self._storage_mode(statement)
        if isinstance(statement, CreateSnapshot):
            return plain(["path"], self._create_snapshot)
        assert isinstance(statement, Show)
        return self._show(statement, work)

    def _show(self, statement: Show, work: Work) -> Prepared:
        fields, rows_of = info.ANSWERS[statement.what]
        activity = self._instance.activity

        async def run() -> Answer:
            if statement.what.startswith("REPLICA"):
                await self._instance.roles.lock.wait_free()
            activity.add(work)
            try:
                return Answer(rows_of(self._instance), {"type": "rw"})
            finally:
                activity.end(work)

        return plain(fields, run)

    async def _create_snapshot(self) -> Answer:
        roles, release = self._instance.roles, self._instance.flags.release
        if not roles.is_main and release < (3, 8):
            raise TransientFailure(failures.SNAPSHOT_ON_REPLICA)
        return Answer([[await self._instance.create_snapshot()]], {"type": "rw"})

    async def _schema(self, statement: Schema, work: Work) -> Prepared:
        if not self._instance.roles.is_main:
            raise ClientFailure(failures.WRITE_ON_REPLICA)
        transaction = await self._instance.committer.begin()
        self._instance.activity.add(work)

        async def run() -> Answer:
            graph = self._instance.storage.graph
            change = change_of(graph, statement)
            if change is not None:
                transaction.change_schema(change)
            told = schema_notice(statement, has_effect=change is not None)
            return Answer([], {"type": "w", "notifications": [told]})

        async def finish() -> None:
            await self._instance.committer.commit(transaction, explicit=False)

        def release() -> None:
            transaction.close()
            self._instance.activity.end(work)

        return Prepared([], transaction, run, finish, release)

    def _trigger(self, statement: CreateTrigger | DropTrigger) -> Prepared:
        triggers, committer = self._instance.triggers, self._instance.committer

        async def run() -> Answer:
            transaction = await committer.begin()  # as any statement with a storage accessor does
            transaction.close()
            if isinstance(statement, CreateTrigger):
                triggers.create(statement)
                told = notice("CreateTrigger", f"Created trigger {statement.name}.")
            else:
                triggers.drop(statement.name)
                told = notice("DropTrigger", f"Dropped trigger {statement.name}.")
            return Answer([], {"type": "rw", "notifications": [told]})

        return plain([], run)

    def _user(self, statement: UserStatement) -> Prepared:
        if not self._instance.roles.is_main:
            raise ClientFailure(FORBIDDEN_ON_REPLICA)

        async def run() -> Answer:
            self._instance.users.change(statement)
            return Answer([], {"type": "rw"})

        return plain([], run)

    def _storage_mode(self, statement: SetStorageMode) -> Prepared:
        async def run() -> Answer:
            self._instance.storage.mode = statement.mode
            told = notice("StorageModeChanged", f"Storage mode set to {statement.mode}.")
            return Answer([], {"type": "rw", "notifications": [told]})

        return plain([], run)

    async def _system(self, statement: SetRole | Register | Drop) -> Prepared:
        if self._instance.storage.mode != STORAGE_MODES[0]:
            raise ClientFailure(f"Replication query requires {STORAGE_MODES[0]} mode.")
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

    async def _do(self, statement: SetRole | Register | Drop) -> list[dict[str, Any]]:
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
