"""Committing: the engine lock, one phase or two, and what the client is told.

Promise: with SYNC replicas a commit happens on the main whatever they say, and the error comes
after it; with a STRICT_SYNC one it happens everywhere or nowhere, except that a lost finalize is
ignored (MEMGRAPH 3.2, 3.3). While a replica keeps a commit waiting, new transactions wait too.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from controller.sandbox.memgraph.durability.commits import Commit
from controller.sandbox.memgraph.durability.storage import Storage
from controller.sandbox.memgraph.failures import NOT_MAIN_ANYMORE, ClientFailure
from controller.sandbox.memgraph.faults import Faults
from controller.sandbox.memgraph.graph import schema
from controller.sandbox.memgraph.graph.transaction import Transaction
from controller.sandbox.memgraph.replication.client import ReplicaClient
from controller.sandbox.memgraph.replication.report import Shortfall, replication_failure
from controller.sandbox.memgraph.replication.roles import RoleKeeper
from controller.sandbox.memgraph.replication.rpc import Reason


class Committer:
    """Begins and commits transactions; owned by the instance."""

    def __init__(
        self, storage: Storage, roles: RoleKeeper, faults: Faults, release: tuple[int, int]
    ) -> None:
        self._storage = storage
        self._roles = roles
        self._faults = faults
        self._release = release
        self._engine_lock = trio.Lock()

    @property
    def _clients(self) -> Sequence[ReplicaClient]:
        """Whom commits go to; without a log or in analytical mode nobody (MEMGRAPH 3.6d)."""
        return self._roles.clients if self._storage.replicates else ()

    async def begin(self) -> Transaction:
        """A transaction over what is committed now; waits for a commit in progress.

        Raises:
            TransientFailure: a snapshot is being loaded for longer than the access timeout.
        """
        if self._engine_lock.locked():
            async with self._engine_lock:
                pass
        await self._roles.lock.wait_free()
        await self._roles.access.wait_shared()
        return self._storage.begin()

    async def commit(self, transaction: Transaction, *, explicit: bool) -> None:
        """Commit, here and on the replicas; the transaction is closed in every case.

        Args:
            explicit: COMMIT of an explicit transaction (decides the error class up to 3.7).

        Raises:
            Failure: constraint, lost role, or replication; see the module's promise.
        """
        try:
            if not transaction.changes:
                return
            async with self._engine_lock:
                await self._roles.lock.wait_free()
                with self._roles.lock.shared():
                    await self._commit_locked(transaction, explicit=explicit)
        finally:
            transaction.close()

    async def _commit_locked(self, transaction: Transaction, *, explicit: bool) -> None:
        if not self._roles.is_main:
            raise ClientFailure(NOT_MAIN_ANYMORE)
        schema.check(transaction)
        commit = self._storage.next_commit(transaction)
        payload = commit.encode()
        strict = [c for c in self._clients if c.mode == "strict_sync"]
        if strict:
            shortfalls = await self._two_phases(transaction, commit, payload, strict)
        else:
            shortfalls = await self._one_phase(transaction, commit, payload)
        if shortfalls:
            raise replication_failure(
                shortfalls, aborted=bool(strict), release=self._release, explicit=explicit
            )

    async def _one_phase(
        self, transaction: Transaction, commit: Commit, payload: bytes
    ) -> list[Shortfall]:
        sync = [c for c in self._clients if c.mode == "sync"]
        shortfalls = await self._ship_all("apply", payload, sync)
        self._storage.install(transaction, commit, payload)
        failed = {shortfall.client for shortfall in shortfalls}
        for client in sync:
            if client not in failed:
                client.settled(commit.ts)
        self._feed_async(commit, payload)
        return shortfalls

    async def _two_phases(
        self,
        transaction: Transaction,
        commit: Commit,
        payload: bytes,
        strict: Sequence[ReplicaClient],
    ) -> list[Shortfall]:
        shortfalls = self._skip_sync() + await self._ship_all("prepare", payload, strict)
        failed = {shortfall.client for shortfall in shortfalls}
        voters = [client for client in strict if client not in failed]
        if not shortfalls:
            self._storage.install(transaction, commit, payload)
        await self._finalize_all(voters, commit.ts, committed=not shortfalls)
        for client in voters:
            client.settled(None if shortfalls else commit.ts)
        if not shortfalls:
            self._feed_async(commit, payload)
        return shortfalls

    def _skip_sync(self) -> list[Shortfall]:
        """SYNC beside STRICT_SYNC is skipped, and so every other write aborts (MEMGRAPH 2.3)."""
        shortfalls = []
        for client in self._clients:
            if client.mode != "sync":
                continue
            if client.status == "ready":
                client.status = type(client.status).INVALID
            else:
                shortfalls.append(Shortfall(client, Reason.NOT_IN_SYNC))
                client.want_check()
        return shortfalls

    async def _ship_all(
        self, operation: str, payload: bytes, clients: Sequence[ReplicaClient]
    ) -> list[Shortfall]:
        reasons: dict[ReplicaClient, Reason | None] = {}

        async def ship(client: ReplicaClient) -> None:
            reasons[client] = await client.ship(operation, payload)

        await _all(ship, clients)
        return [Shortfall(c, r) for c in clients if (r := reasons[c]) is not None]

    async def _finalize_all(
        self, clients: Sequence[ReplicaClient], ts: int, *, committed: bool
    ) -> None:
        if committed and self._faults.take("lose_finalize"):
            return

        async def finalize(client: ReplicaClient) -> None:
            await client.finalize(ts, committed=committed)

        await _all(finalize, clients)

    def _feed_async(self, commit: Commit, payload: bytes) -> None:
        for client in self._clients:
            if client.mode == "async":
                client.enqueue(commit, payload)


async def _all(
    action: Callable[[ReplicaClient], Awaitable[None]], clients: Sequence[ReplicaClient]
) -> None:
    """Do it for every client at once; a single one needs no task of its own."""
    if len(clients) == 1:
        await action(clients[0])
        return
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(action, client)
