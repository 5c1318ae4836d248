"""The replication port of an instance in the REPLICA role.

Promise: data is accepted only from the main whose UUID was swapped in last, and only for the same
storage UUID; a ping needs neither (MEMGRAPH fact 4). Each message but a snapshot is handled without
awaiting, so a promotion falls between two messages; a snapshot takes effect at its end, at once.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import trio

from controller.sandbox.memgraph.durability.commits import Commit, decode_commit
from controller.sandbox.memgraph.durability.history import reported_epoch
from controller.sandbox.memgraph.durability.storage import Storage
from controller.sandbox.memgraph.failures import Failure
from controller.sandbox.memgraph.faults import Faults, accepted, serve_port
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.locks import RoleLock, StorageAccess
from controller.sandbox.memgraph.replication.wire import Channel, WireBroken

Head = dict[str, Any]


class ReplicaServer:
    """Opened at demotion, closed at promotion; owned by the role keeper."""

    def __init__(
        self,
        storage: Storage,
        faults: Faults,
        log: Logbook,
        main_uuid: str,
        on_swap: Callable[[str], None],
        access: StorageAccess,
        lock: RoleLock | None = None,
    ) -> None:
        self.main_uuid = main_uuid
        self._access = access
        self._lock = lock  # held while data arrives, by the releases that do so
        self._connections = 0
        self._storage = storage
        self._faults = faults
        self._log = log
        self._on_swap = on_swap
        self._listeners: list[trio.SocketListener] = []
        self._address, self._port = "", 0
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def open(self, address: str, port: int) -> None:
        """Bind the port.

        Raises:
            OSError: it is taken.
        """
        self._address, self._port = address, port
        self._listeners = await trio.open_tcp_listeners(port, host=address)

    @property
    def has_main(self) -> bool:
        """Whether anybody is connected."""
        return self._connections > 0

    async def run(self) -> None:
        """Serve until `close`."""

        async def open_again() -> list[trio.SocketListener]:
            return await trio.open_tcp_listeners(self._port, host=self._address)

        try:
            with self._scope:
                await serve_port(
                    "replication",
                    open_again,
                    self._serve,
                    self._faults,
                    listeners=self._listeners,
                )
        finally:
            self._ended.set()

    async def close(self) -> None:
        """The port is closed and every main's connection cut afterwards."""
        self._scope.cancel()
        if self._listeners:
            await self._ended.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        link = accepted(stream, self._faults)
        channel = Channel(link)
        self._connections += 1
        try:
            while (frame := await channel.receive()) is not None:
                await channel.send(await self.respond(*frame))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, WireBroken) as problem:
            self._log.info(f"replication connection from {link.peer} ended: {problem}")
        finally:
            self._connections -= 1
            link.close_now()

    async def respond(self, head: Head, body: bytes) -> Head:
        """Do what one message asks for; its answer. Only a slow or loading replica awaits here."""
        loads = head.get("op") == "snapshot" and self._is_ours(head)
        if not self._faults.slow_s and not loads:
            return self._answer(head, body)
        guards = self._lock is not None and head.get("op") in _GUARDED
        with self._lock.shared() if guards and self._lock else nullcontext():
            if loads:
                with self._access.alone():
                    return await self._load(body)
            await trio.sleep(self._faults.slow_s)
            return self._answer(head, body)

    async def _load(self, body: bytes) -> Head:
        """Load a snapshot in steps; a promotion that falls between two leaves all as it was."""
        await trio.sleep(self._faults.slow_s)
        try:
            for _ in self._storage.replace_in_steps(body):
                await trio.lowlevel.checkpoint()
        except (ValueError, LookupError, TypeError) as problem:
            self._log.error(f"replication: a snapshot cannot be loaded: {problem}")
            return {"ok": False}
        return {"ok": True, "ldt": self._storage.ldt}

    def _is_ours(self, head: Head) -> bool:
        return head.get("main") == self.main_uuid and head.get("storage") == self._storage.uuid

    def _answer(self, head: Head, body: bytes) -> Head:
        operation = head.get("op")
        if operation == "ping":
            return {"ok": True}
        if operation == "swap":
            self.main_uuid = str(head.get("main"))
            self._on_swap(self.main_uuid)
            return {"ok": True}
        if head.get("main") != self.main_uuid:
            return {"ok": False}
        if operation == "system":
            if self._storage.ldt == 0:
                self._storage.adopt_uuid(str(head.get("storage")))
            return {"ok": True}
        if not self._is_ours(head) or operation not in _DATA:
            return {"ok": False}
        try:
            return _DATA[operation](self, head, body)
        except (Failure, ValueError, LookupError, TypeError) as problem:
            self._log.error(f"replication: {operation} failed: {problem}")
            self._storage.abort_prepared()
            return {"ok": False}

    def _heartbeat(self, head: Head, body: bytes) -> Head:
        storage = self._storage
        epoch = reported_epoch(storage.history, storage.epoch, storage.ldt)
        return {"ok": True, "ldt": storage.ldt, "epoch": epoch}

    def _prepare(self, head: Head, body: bytes) -> Head:
        commit = decode_commit(body)
        self._storage.abort_prepared()
        if commit.ts <= self._storage.ldt:
            return {"ok": True}  # Memgraph skips silently what it believes to have
        if not self._follows(commit):
            return {"ok": False}
        self._storage.prepare(commit, body)
        return {"ok": True}

    def _apply(self, head: Head, body: bytes) -> Head:
        commit = decode_commit(body)
        self._storage.abort_prepared()
        if commit.ts > self._storage.ldt and not self._follows(commit):
            return {"ok": False}
        self._storage.apply(commit, body)
        return {"ok": True}

    def _follows(self, commit: Commit) -> bool:
        return commit.previous_ts <= self._storage.ldt

    def _finalize(self, head: Head, body: bytes) -> Head:
        if head.get("committed"):
            return {"ok": self._storage.finalize(int(head["ts"]))}
        self._storage.abort_prepared()
        return {"ok": True}

    def _wal(self, head: Head, body: bytes) -> Head:
        self._storage.abort_prepared()
        at = 0
        for size in head["sizes"]:
            payload = body[at : at + size]
            at += size
            commit = decode_commit(payload)
            if commit.ts > self._storage.ldt and not self._follows(commit):
                return {"ok": False, "ldt": self._storage.ldt}
            self._storage.apply(commit, payload)
        return {"ok": True, "ldt": self._storage.ldt}


_GUARDED = frozenset({"prepare", "apply", "finalize", "wal", "snapshot"})
_DATA: dict[Any, Callable[[ReplicaServer, Head, bytes], Head]] = {
    "heartbeat": ReplicaServer._heartbeat,
    "prepare": ReplicaServer._prepare,
    "apply": ReplicaServer._apply,
    "finalize": ReplicaServer._finalize,
    "wal": ReplicaServer._wal,
}
