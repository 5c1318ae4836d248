"""One registered replica, seen from the main.

Promise: `status` and `ts` are what SHOW REPLICAS tells, from this cache, with no network. Every RPC
has Memgraph's time limit (MEMGRAPH 2.2) and shares one connection and one lock with all others.
The one thing a newcomer gets wrong: `ready` is not re-verified while idle; only a write, or three
failed pings, change it.
"""

from enum import StrEnum
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph.durability.commits import Commit
from controller.sandbox.memgraph.durability.history import is_diverged
from controller.sandbox.memgraph.durability.state import Registration
from controller.sandbox.memgraph.durability.storage import Storage
from controller.sandbox.memgraph.faults import Dialer
from controller.sandbox.memgraph.logbook import Logbook
from controller.sandbox.memgraph.replication.rpc import Reason, RpcConnection, RpcFailed

PING_S = 5.0
HEARTBEAT_S = 10.0
SWAP_S = 10.0
SYSTEM_S = 30.0
PREPARE_S = 30.0
FINALIZE_S = 10.0
WAL_S = 30.0
SNAPSHOT_S = 60.0
FAILED_PINGS_MAX = 3  # then the replica is invalid
ASYNC_QUEUE_MAX = 10_000  # commits; beyond this an async replica has missed one
RECOVERY_ROUNDS_MAX = 20  # a replica that cannot catch up with the writers becomes invalid again
BATCH_BYTES = 1024 * 1024


class Status(StrEnum):
    """The strings of `data_info`."""

    READY = "ready"
    REPLICATING = "replicating"
    RECOVERY = "recovery"
    INVALID = "invalid"
    DIVERGED = "diverged"


@attrs.frozen
class MainSide:
    """What a client needs of its main."""

    main_uuid: str
    storage: Storage
    dialer: Dialer
    log: Logbook
    oldest_match: bool


class ReplicaClient:
    """Owned by the role keeper; `run` is its task."""

    def __init__(self, registration: Registration, side: MainSide) -> None:
        self.registration = registration
        self.status = Status.INVALID
        self.ts = 0
        self.scope = trio.CancelScope()
        self._side = side
        self._rpc = RpcConnection(side.dialer, registration.host, registration.port)
        self._failed_pings = 0
        self._check_wanted = trio.Event()
        self._queue_in, self._queue_out = trio.open_memory_channel[tuple[Commit, bytes]](
            ASYNC_QUEUE_MAX
        )

    @property
    def has_work(self) -> bool:
        """Whether a check, a recovery or a commit for this replica is queued or under way."""
        return self.status in (Status.INVALID, Status.RECOVERY, Status.REPLICATING)

    @property
    def mode(self) -> str:
        return self.registration.mode

    async def _call(
        self, head: dict[str, Any], body: bytes = b"", *, within_s: float
    ) -> dict[str, Any]:
        identity = {"main": self._side.main_uuid, "storage": self._side.storage.uuid}
        return await self._rpc.call({**identity, **head}, body, within_s=within_s)

    # -- registering ----------------------------------------------------------------------------

    async def claim(self) -> None:
        """Make the replica listen to this main, and to no other.

        Raises:
            RpcFailed: it did not.
        """
        answer = await self._call({"op": "swap"}, within_s=SWAP_S)
        if not answer.get("ok"):
            raise RpcFailed(Reason.RPC_ERROR)

    async def align_storage(self) -> None:
        """Offer our storage UUID; whatever comes of it is found by the heartbeat."""
        try:
            await self._call({"op": "system"}, within_s=SYSTEM_S)
        except RpcFailed as problem:
            self._log("system recovery failed", problem)

    async def heartbeat(self) -> None:
        """Set `status` and `ts` by what the replica says of its data."""
        try:
            answer = await self._call({"op": "heartbeat"}, within_s=HEARTBEAT_S)
        except RpcFailed as problem:
            self.status = Status.INVALID
            self._log("heartbeat failed", problem)
            return
        if not answer.get("ok"):
            self.status = Status.INVALID
            return
        storage = self._side.storage
        diverged = is_diverged(
            main_epoch=storage.epoch,
            main_history=storage.history,
            replica_epoch=str(answer["epoch"]),
            replica_ldt=int(answer["ldt"]),
            oldest_match=self._side.oldest_match,
        )
        self._failed_pings = 0
        self.ts = int(answer["ldt"])
        if diverged:
            self.status = Status.DIVERGED
            self._side.log.error(_DIVERGED.format(name=self.registration.name))
            return
        self.status = Status.READY if self.ts >= storage.ldt else Status.RECOVERY

    # -- commits --------------------------------------------------------------------------------

    async def ship(self, op: str, payload: bytes) -> Reason | None:
        """Send a commit (`prepare` or `apply`); None when the replica took it.

        On success the status stays `replicating` until `settled`.
        """
        if self.status is not Status.READY:
            if self.status is Status.INVALID:
                self.want_check()
            return Reason.DIVERGED if self.status is Status.DIVERGED else Reason.NOT_IN_SYNC
        self.status = Status.REPLICATING
        reason: Reason | None = Reason.RPC_TIMEOUT
        with trio.move_on_after(PREPARE_S):
            reason = await self._ship_once(op, payload)
        if reason is not None:
            self.status = Status.INVALID
            self.want_check()
        return reason

    async def _ship_once(self, op: str, payload: bytes) -> Reason | None:
        try:
            answer = await self._call({"op": op}, payload, within_s=PREPARE_S)
        except RpcFailed as problem:
            self._log(f"{op} failed", problem)
            return problem.reason
        return None if answer.get("ok") else Reason.RPC_ERROR

    def settled(self, ts: int | None) -> None:
        """A shipped commit ended: committed at `ts`, or aborted (None)."""
        if ts is not None:
            self.ts = max(self.ts, ts)
        if self.status is Status.REPLICATING:
            self.status = Status.READY

    async def finalize(self, ts: int, *, committed: bool) -> None:
        """Second phase. Its failure is ignored, as Memgraph does (MEMGRAPH 3.3)."""
        try:
            await self._call(
                {"op": "finalize", "ts": ts, "committed": committed}, within_s=FINALIZE_S
            )
        except RpcFailed as problem:
            self._log("finalize failed, ignored", problem)

    def enqueue(self, commit: Commit, payload: bytes) -> None:
        """Give an ASYNC replica a commit, without waiting."""
        if self.status is Status.INVALID:
            self.want_check()
        if self.status not in (Status.READY, Status.REPLICATING):
            return
        try:
            self._queue_in.send_nowait((commit, payload))
        except trio.WouldBlock:
            self.status = Status.INVALID
        else:
            self.status = Status.REPLICATING

    # -- tasks ----------------------------------------------------------------------------------

    def want_check(self) -> None:
        self._check_wanted.set()

    async def run(self) -> None:
        """Check, recover and feed the replica until `scope` is cancelled."""
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._check_forever)
                    nursery.start_soon(self._feed_forever)
        finally:
            self.close_now()

    def close_now(self) -> None:
        self._rpc.close_now()
        self._queue_in.close()
        self._queue_out.close()

    async def _check_forever(self) -> None:
        frequency_s = self.registration.check_frequency_s
        if self.status is Status.RECOVERY:
            await self._recover()
        while frequency_s >= 1:
            with trio.move_on_after(frequency_s):
                await self._check_wanted.wait()
            self._check_wanted = trio.Event()
            await self._check()

    async def _check(self) -> None:
        try:
            await self._call({"op": "ping"}, within_s=PING_S)
        except RpcFailed:
            self._failed_pings += 1
            if self._failed_pings >= FAILED_PINGS_MAX and self.status is not Status.DIVERGED:
                self.status = Status.INVALID
            return
        self._failed_pings = 0
        if self.status is Status.INVALID:
            await self.heartbeat()
        if self.status is Status.RECOVERY:
            await self._recover()

    async def _recover(self) -> None:
        storage = self._side.storage
        for _ in range(RECOVERY_ROUNDS_MAX):
            try:
                answer = await self._send_missing()
            except RpcFailed as problem:
                self._log("recovery failed", problem)
                break
            if not answer.get("ok"):
                break
            self.ts = int(answer["ldt"])
            if self.ts >= storage.ldt:
                self.status = Status.READY
                return
        self.status = Status.INVALID

    async def _send_missing(self) -> dict[str, Any]:
        storage = self._side.storage
        payloads = storage.commits_after(self.ts)
        if payloads is None:
            data = storage.snapshot_data()
            return await self._call({"op": "snapshot"}, data, within_s=SNAPSHOT_S)
        batch: list[bytes] = []
        size = 0
        for payload in payloads:
            batch.append(payload)
            size += len(payload)
            if size > BATCH_BYTES:
                break
        sizes = [len(payload) for payload in batch]
        return await self._call({"op": "wal", "sizes": sizes}, b"".join(batch), within_s=WAL_S)

    async def _feed_forever(self) -> None:
        async for commit, payload in self._queue_out:
            if self.status is not Status.REPLICATING:
                continue
            reason = await self._ship_once("apply", payload)
            if reason is not None:
                self.status = Status.INVALID
            elif self._queue_out.statistics().current_buffer_used:
                self.ts = max(self.ts, commit.ts)
            else:
                self.settled(commit.ts)

    def _log(self, what: str, problem: RpcFailed) -> None:
        self._side.log.warning(f"replica {self.registration.name}: {what}: {problem}")


_DIVERGED = (
    "You cannot register Replica {name} to this Main because at one point Replica {name} acted as "
    "the Main instance. Both the Main and Replica {name} now hold unique data. Please resolve data "
    "conflicts and start the replication on a clean instance."
)
