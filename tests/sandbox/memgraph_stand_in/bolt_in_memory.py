"""Bolt conversations with an instance in this process, over streams in memory: no socket, no wait.

Promise: what answers is the stand-in's own session over its own storage in a directory of the test;
only TCP is left out. Every wait has a deadline.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio
import trio.testing

from controller.sandbox.memgraph.bolt.framing import MAGIC, MessageReader, Version, chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack, unpack
from controller.sandbox.memgraph.bolt.session import Session
from controller.sandbox.memgraph.flags import parse_flags
from controller.sandbox.memgraph.instance import Instance, build_instance
from controller.sandbox.memgraph.logbook import Logbook

HELLO, RUN, PULL, DISCARD, RESET = 0x01, 0x10, 0x3F, 0x2F, 0x0F
BEGIN, COMMIT, ROLLBACK, ROUTE, LOGON, LOGOFF, ACK_FAILURE = (
    0x11,
    0x12,
    0x13,
    0x66,
    0x6A,
    0x6B,
    0x0E,
)
SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
CLIENT = "Memgraph.ClientError.MemgraphError.MemgraphError"
TRANSIENT = "Memgraph.TransientError.MemgraphError.MemgraphError"
BROKEN = {
    "code": "Memgraph.ExecutionException",
    "message": "Something went wrong while executing the query! Check the server logs for more "
    "details.",
}
ALL = {"n": -1}
DEADLINE_S = 20.0


class Wire:
    """The client's end of one conversation."""

    def __init__(self, stream: trio.StapledStream[Any, Any]) -> None:
        self._stream = stream
        self._reader = MessageReader(stream)
        self.version: Version = (5, 2)
        self.records: list[Any] = []
        self.summary: dict[str, Any] = {}

    async def send_bytes(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def end(self) -> None:
        """No more bytes will come."""
        await self._stream.send_stream.aclose()

    async def send(self, tag: int, *fields: Any) -> None:
        await self.send_bytes(chunked(pack(Structure(tag, fields))))

    async def propose(self, *versions: Version) -> None:
        """Handshake for exactly these versions; the first is taken to be chosen."""
        raw = b"".join(bytes((0, 0, minor, major)) for major, minor in versions)
        await self.send_bytes(MAGIC + raw.ljust(16, b"\0"))
        answer = await self._reader.read_exactly(4)
        assert answer == bytes((0, 0, versions[0][1], versions[0][0]))
        self.version = versions[0]

    async def receive(self) -> Structure | None:
        """The next message; None when the server closed."""
        try:
            data = await self._reader.read_message()
        except trio.BrokenResourceError:
            return None
        return None if data is None else unpack(data)

    async def call(self, tag: int, *fields: Any) -> tuple[int, Any]:
        """The answer to one message; records before it are in `records`. (0, None) at the end."""
        await self.send(tag, *fields)
        self.records = []
        while True:
            answer = await self.receive()
            if answer is None:
                return 0, None
            if answer.tag != RECORD:
                return answer.tag, answer.fields[0] if answer.fields else None
            self.records.append(answer.fields[0])

    async def greet(self, *, auth: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Say who we are, in the way of the version."""
        auth = auth or {"scheme": "none"}
        if self.version < (4, 0):
            return await self.call(HELLO, "test/1", auth)
        if self.version < (5, 1):
            return await self.call(HELLO, {"user_agent": "test/1", **auth})
        answer = await self.call(HELLO, {"user_agent": "test/1"})
        return await self.call(LOGON, auth) if answer[0] == SUCCESS else answer

    async def run(self, query: str, /, **parameters: Any) -> list[Any]:
        """The rows of a query, whose summary is in `summary`; asserts that it succeeds."""
        answer = await self.try_run(query, **parameters)
        assert answer[0] == SUCCESS, answer
        return self.records

    async def try_run(
        self, query: str, /, extras: dict[str, Any] | None = None, **parameters: Any
    ) -> tuple[int, Any]:
        """The last answer to RUN and PULL of everything."""
        old = self.version < (4, 0)
        answer = await self.call(RUN, query, parameters, *(() if old else (extras or {},)))
        if answer[0] == SUCCESS:
            answer = await self.call(PULL, *(() if old else (ALL,)))
            self.summary = answer[1]
        return answer

    async def refusal(self, query: str, /, **parameters: Any) -> tuple[str, str]:
        """Code and message of a query that must fail; the conversation is reset."""
        tag, told = await self.try_run(query, **parameters)
        assert tag == FAILURE, (query, told)
        assert await self.call(RESET) == (SUCCESS, {})
        return told["code"], told["message"]


class FarEnd:
    """The server's end: what `Session` needs of a connection."""

    peer = "memory"

    def __init__(self, stream: trio.StapledStream[Any, Any]) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)


@asynccontextmanager
async def instance_at(directory: Path, *flags: str) -> AsyncIterator[Instance]:
    """An instance over this directory, as it is between its start and its end."""
    words = [f"--data-directory={directory}", "--bolt-address=127.0.0.1", *flags]
    instance = build_instance(parse_flags(words), Logbook(None))
    try:
        async with trio.open_nursery() as nursery:
            await instance.roles.start(nursery)
            nursery.start_soon(instance.triggers.run_after_commits, instance.committer)
            yield instance
            nursery.cancel_scope.cancel()
    finally:
        instance.storage.close()


@asynccontextmanager
async def wire_to(
    instance: Instance, version: Version = (5, 2), *, greet: bool = True
) -> AsyncIterator[Wire]:
    """A conversation with the instance, greeted unless told otherwise."""
    near, far = trio.testing.memory_stream_pair()

    async def serve() -> None:
        with suppress(trio.BrokenResourceError):  # the client closed first
            await Session(FarEnd(far), instance).serve()
        await far.aclose()

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            wire = Wire(near)
            if greet:
                await wire.propose(version)
                assert (await wire.greet())[0] == SUCCESS
            yield wire
            await near.aclose()
