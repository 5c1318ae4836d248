"""Calls over the one connection that a main keeps to a replica.

Promise: one call at a time; a call that failed or was cancelled leaves no half-read connection
behind, the next one dials again.
"""

from enum import StrEnum
from typing import Any

import trio

from controller.sandbox.memgraph.faults import Dialer
from controller.sandbox.memgraph.replication.wire import Channel, WireBroken

CONNECT_S = 5.0  # Memgraph's own, since 3.3


class Reason(StrEnum):
    """Why a commit did not reach a replica; `plural` is the form for several."""

    NOT_IN_SYNC = "replica is not reachable or not in sync with the main"
    RPC_ERROR = "RPC communication error"
    RPC_TIMEOUT = "RPC timeout while replicating"
    DIVERGED = "replica has diverged from main"


class RpcFailed(Exception):
    """A call got no answer; the connection is closed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class RpcConnection:
    """Owned by one replica client."""

    def __init__(self, dialer: Dialer, host: str, port: int) -> None:
        self._dialer = dialer
        self._host = host
        self._port = port
        self._channel: Channel | None = None
        self._lock = trio.Lock()

    async def call(
        self, head: dict[str, Any], body: bytes = b"", *, within_s: float
    ) -> dict[str, Any]:
        """The replica's answer.

        Raises:
            RpcFailed: no connection, no answer in time, or a broken answer.
        """
        async with self._lock:
            channel = self._channel or await self._connect()
            self._channel = None  # a cancelled or failed call leaves no half-read connection
            answer = None
            try:
                with trio.fail_after(within_s):
                    await channel.send(head, body)
                    answer = await channel.receive()
            except trio.TooSlowError as problem:
                raise RpcFailed(Reason.RPC_TIMEOUT) from problem
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as problem:
                raise RpcFailed(Reason.RPC_ERROR) from problem
            except WireBroken as problem:
                raise RpcFailed(Reason.RPC_ERROR) from problem
            finally:
                if answer is None:
                    channel.close_now()
                else:
                    self._channel = channel
            if answer is None:
                raise RpcFailed(Reason.RPC_ERROR)
            return answer[0]

    async def _connect(self) -> Channel:
        try:
            with trio.fail_after(CONNECT_S):
                return Channel(await self._dialer.dial(self._host, self._port))
        except (OSError, trio.TooSlowError) as problem:
            raise RpcFailed(Reason.NOT_IN_SYNC) from problem

    def close_now(self) -> None:
        if self._channel is not None:
            self._channel.close_now()
            self._channel = None
