"""Who this instance is: MAIN with its registrations, or REPLICA with its port.

Promise: every change is on the disk before the statement succeeds, except where Memgraph's own
order differs and a test names the fact. Role changes only try the lock and fail when it is busy.
The one thing a newcomer gets wrong: a failed REGISTER leaves its row behind, with no client; a
restart brings that row to life (MEMGRAPH 1.6).
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Sequence

import attrs
import trio

from controller.sandbox.memgraph import failures
from controller.sandbox.memgraph.durability.fatal import die
from controller.sandbox.memgraph.durability.state import (
    Registration,
    ReplicationState,
    StateFile,
)
from controller.sandbox.memgraph.durability.storage import Storage
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.faults import Dialer
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.client import (
    MainSide,
    ReplicaClient,
    Status,
)
from controller.sandbox.memgraph.replication.locks import RoleLock, StorageAccess
from controller.sandbox.memgraph.replication.options import RoleOptions
from controller.sandbox.memgraph.replication.rpc import RpcFailed
from controller.sandbox.memgraph.replication.server import ReplicaServer


class CannotRecoverReplica(Exception):
    """The persisted replica port cannot be bound: the real process aborts here."""


class RoleKeeper:
    """Owned by the instance. `nursery` is the instance's: clients and server live as long as it."""

    def __init__(
        self,
        options: RoleOptions,
        storage: Storage,
        file: StateFile,
        dialer: Dialer,
        log: Logbook,
    ) -> None:
        self.lock = RoleLock()
        self.access = StorageAccess(options.access_timeout_s)
        self.state: ReplicationState = file.load()
        self._options = options
        self._storage = storage
        self._file = file
        self._dialer = dialer
        self._faults = dialer.faults
        self._log = log
        self._clients: dict[str, ReplicaClient] = {}
        self._server: ReplicaServer | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def is_main(self) -> bool:
        return self.state.role == "main"

    @property
    def clients(self) -> Sequence[ReplicaClient]:
        """The attached replicas; a zombie row has none."""
        return tuple(self._clients.values())

    def client(self, name: str) -> ReplicaClient | None:
        return self._clients.get(name)

    async def start(self, nursery: trio.Nursery) -> None:
        """Take up the persisted role, before Bolt opens.

        Raises:
            CannotRecoverReplica: the port of a persisted REPLICA is taken.
        """
        self._nursery = nursery
        if not self.is_main:
            try:
                await self._open_server()
            except OSError as problem:
                raise CannotRecoverReplica("Replica recovery failure!") from problem
            return
        for registration in self.state.registrations:
            client = self._new_client(registration)
            await client.heartbeat()
            self._attach(client)

    # -- SET REPLICATION ROLE -------------------------------------------------------------------

    async def promote(self) -> None:
        """REPLICA becomes MAIN with a new epoch and nobody registered.

        Raises:
            ClientFailure: already MAIN, the lock is busy, or the disk does not take it.
        """
        self._refuse_managed("set role")
        if self.is_main or self._is_lock_busy():
            raise ClientFailure(failures.PROMOTE_REFUSED)
        with self.lock.exclusive():
            has_main = self._server is not None and self._server.has_main
            self._change(
                ReplicationState("main", str(uuid.uuid4()), None), failures.PROMOTE_REFUSED
            )
            if self._server is not None:
                await self._server.close()
                self._server = None
            if not has_main:
                await trio.sleep(self._options.promotion_delay_s)
            self._storage.end_epoch()

    async def demote(self, port: int) -> None:
        """MAIN becomes REPLICA; every registration is gone.

        Raises:
            ClientFailure: already REPLICA, the lock is busy, the disk does not take it, or the port
                is taken; in the last case the role *is* replica afterwards, without a server
                (MEMGRAPH 1.5, trap).
        """
        self._refuse_managed("set role")
        if not self.is_main or self._is_lock_busy():
            raise ClientFailure(failures.DEMOTE_REFUSED)
        with self.lock.exclusive():
            self._change(
                ReplicationState("replica", str(uuid.uuid4()), port), failures.DEMOTE_REFUSED
            )
            for client in self.clients:
                self._detach(client)
            try:
                await self._open_server()
            except OSError as problem:
                self._log.error(f"cannot bind the replication port {port}: {problem}")
                raise ClientFailure(failures.DEMOTE_REFUSED) from problem

    # -- REGISTER and DROP ----------------------------------------------------------------------

    async def register(self, name: str, mode: str, host: str, port: int) -> None:
        """Add a replica, by the steps of MEMGRAPH 1.6.

        Raises:
            ClientFailure: with Memgraph's error number; after 3 and 5 the row stays behind.
        """
        self._refuse_managed("register replica")
        if not self.is_main:
            raise ClientFailure(failures.REGISTER_ON_REPLICA)
        if self._is_lock_busy():
            raise _register_failure(name, 6)
        rows = self.state.registrations
        if any(row.name == name for row in rows):
            raise _register_failure(name, 1)
        if any((row.host, row.port) == (host, port) for row in rows):
            raise _register_failure(name, 2)
        registration = Registration(name, host, port, mode, self._options.check_frequency_s)
        with self.lock.exclusive():
            self._change(
                attrs.evolve(self.state, registrations=(*rows, registration)),
                _register_failure(name, 4).message,
            )
            await self._greet(registration)

    async def _greet(self, registration: Registration) -> None:
        client = self._new_client(registration)
        number = 5
        try:
            await client.claim()
            await client.align_storage()
            await client.heartbeat()
            number = 3 if client.status is Status.DIVERGED else 0
        except RpcFailed as problem:
            self._log.error(f"replica {registration.name} did not accept this main: {problem}")
        finally:
            if number:
                client.close_now()
        if number:
            raise _register_failure(registration.name, number)
        self._attach(client)

    async def drop(self, name: str) -> None:
        """Forget a replica; it is not told.

        Raises:
            ClientFailure: on a REPLICA, for an unknown name, or when the lock is busy.
        """
        self._refuse_managed("drop replica")
        if not self.is_main:
            raise ClientFailure(failures.DROP_ON_REPLICA)
        if self._is_lock_busy():
            raise ClientFailure(failures.DROP_BUSY)
        rows = tuple(row for row in self.state.registrations if row.name != name)
        if len(rows) == len(self.state.registrations):
            raise ClientFailure(f"Failed to unregister the replica {name}.")
        client = self.client(name)
        if client is not None and client.has_work:
            await self._maybe_break()
        self._change(
            attrs.evolve(self.state, registrations=rows),
            f"Failed to unregister the replica {name}.",
        )
        if client is not None:
            self._detach(client)

    async def _maybe_break(self) -> None:
        """What a DROP may do to the process while the replica's task is queued (MEMGRAPH L8)."""
        if self._faults.take("drop_crash"):
            die(signal.SIGSEGV)
        if self._faults.take("drop_hang"):
            with self.lock.exclusive():
                await trio.sleep_forever()

    # -- inside ---------------------------------------------------------------------------------

    def _refuse_managed(self, what: str) -> None:
        if self._options.is_managed:
            raise ClientFailure(f"Can't {what} manually on instance with coordinator server port.")

    def _is_lock_busy(self) -> bool:
        return self._faults.take("lock_busy") or self.lock.is_busy

    def _new_client(self, registration: Registration) -> ReplicaClient:
        side = MainSide(
            main_uuid=self.state.main_uuid,
            storage=self._storage,
            dialer=self._dialer,
            log=self._log,
            oldest_match=self._options.oldest_match,
        )
        return ReplicaClient(registration, side)

    def _attach(self, client: ReplicaClient) -> None:
        assert self._nursery is not None
        self._clients[client.registration.name] = client
        self._nursery.start_soon(client.run)

    def _detach(self, client: ReplicaClient) -> None:
        del self._clients[client.registration.name]
        client.scope.cancel()

    async def _open_server(self) -> None:
        assert self.state.port is not None
        assert self._nursery is not None
        server = ReplicaServer(
            self._storage,
            self._faults,
            self._log,
            self.state.main_uuid,
            self._swapped,
            self.access,
            self.lock if self._options.guards_promotion else None,
        )
        await server.open(self._options.address, self.state.port)
        self._server = server
        self._nursery.start_soon(server.run)

    def _swapped(self, main_uuid: str) -> None:
        self._save(attrs.evolve(self.state, main_uuid=main_uuid))

    def _change(self, state: ReplicationState, refusal: str) -> None:
        """Be in `state`, on the disk first.

        Raises:
            ClientFailure: with `refusal`, the disk did not take it; nothing has changed.
        """
        try:
            self._save(state)
        except OSError as problem:
            self._log.error(f"the replication state was not persisted: {problem}")
            raise ClientFailure(refusal) from problem

    def _save(self, state: ReplicationState) -> None:
        self._file.save(state)
        self.state = state


def _register_failure(name: str, number: int) -> ClientFailure:
    return ClientFailure(f"Couldn't register replica {name}. Error: {number}")
