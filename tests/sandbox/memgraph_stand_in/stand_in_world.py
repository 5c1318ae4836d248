"""Stand-ins as real processes on addresses of their own, and a small raw Bolt client.

Promise: every process is ended with the world; every wait has a deadline.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import trio

from controller.sandbox.memgraph.bolt.framing import MAGIC, MessageReader, chunked
from controller.sandbox.memgraph.bolt.packstream import Structure, pack, unpack

CHECKOUT = Path(__file__).resolve().parents[3]
DEADLINE_S = 10.0
POLL_S = 0.02
_numbers = itertools.count(1)
CODE = "Memgraph.ClientError.MemgraphError.MemgraphError"
TRANSIENT = "Memgraph.TransientError.MemgraphError.MemgraphError"


class Refused(Exception):
    """A FAILURE from the server."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class BoltConnection:
    """Bolt 5.2, one message at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.reader = MessageReader(stream)
        self.fields: list[str] = []
        self.summary: dict[str, Any] = {}

    async def greet(self) -> None:
        await self.stream.send_all(MAGIC + b"\0\0\2\5" + bytes(12))
        assert await self.reader.read_exactly(4) == b"\0\0\2\5"
        await self.call(0x01, {"user_agent": "test"})
        await self.call(0x6A, {"scheme": "none"})

    async def send(self, tag: int, *fields: Any) -> None:
        await self.stream.send_all(chunked(pack(Structure(tag, fields))))

    async def receive(self) -> Structure:
        data = await self.reader.read_message()
        if data is None:
            raise ConnectionResetError("the server closed")
        answer: Structure = unpack(data)
        return answer

    async def call(self, tag: int, *fields: Any) -> list[Any]:
        """Send, then read records until SUCCESS; a FAILURE is raised after a RESET."""
        await self.send(tag, *fields)
        rows = []
        while True:
            answer = await self.receive()
            if answer.tag == 0x71:
                rows.append(answer.fields[0])
            elif answer.tag == 0x70:
                self.summary = answer.fields[0]
                return rows
            elif answer.tag == 0x7F:
                await self.send(0x0F)
                await self.receive()
                raise Refused(answer.fields[0]["code"], answer.fields[0]["message"])
            else:
                raise AssertionError(f"unexpected {answer}")

    async def run(self, query: str, **parameters: Any) -> list[Any]:
        await self.call(0x10, query, parameters, {})
        self.fields = self.summary["fields"]
        return await self.call(0x3F, {"n": -1})

    async def begin(self) -> None:
        await self.call(0x11, {})

    async def commit(self) -> None:
        await self.call(0x12)


@attrs.define(eq=False)
class Stand:
    """One instance: its address, its directory, its process while it runs."""

    name: str
    address: str
    directory: Path
    flags: tuple[str, ...] = ()
    env: dict[str, str] = attrs.Factory(dict)
    process: subprocess.Popen[bytes] | None = None
    connections: list[BoltConnection] = attrs.Factory(list)

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""

    @property
    def control_path(self) -> Path:
        return self.directory / "control.sock"

    def spawn(self, *more: str) -> None:
        self.directory.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "controller.sandbox.memgraph"),
            *("--bolt-address", self.address, "--bolt-port=7687"),
            *("--data-directory", str(self.directory / "data")),
            f"--log-file={self.directory / 'log'}",
            "--storage-wal-file-flush-every-n-tx=1",
            f"--stand-in-control={self.control_path}",
            *self.flags,
            *more,
        ]
        with (self.directory / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env={**os.environ, **self.env},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    async def start(self, *more: str) -> Stand:
        self.spawn(*more)
        with trio.fail_after(DEADLINE_S):
            while True:
                assert self.process is not None
                if self.process.poll() is not None:
                    text = (self.directory / "stderr").read_text()
                    raise AssertionError(f"{self.name} ended: {text}{self.log}")
                try:
                    await self.connect()
                    return self
                except OSError:
                    await trio.sleep(POLL_S)

    async def connect(self) -> BoltConnection:
        stream = await trio.open_tcp_stream(self.address, 7687)
        connection = BoltConnection(stream)
        self.connections.append(connection)
        try:
            await connection.greet()
        except BaseException:
            self.connections.remove(connection)
            stream.socket.close()
            raise
        return connection

    async def run(self, query: str, **parameters: Any) -> list[Any]:
        """The rows of an auto-commit query on the newest connection."""
        with trio.fail_after(60):
            return await self.connections[-1].run(query, **parameters)

    async def refused(self, query: str, **parameters: Any) -> Refused:
        """The failure of a query that must fail."""
        try:
            rows = await self.run(query, **parameters)
        except Refused as refusal:
            return refusal
        raise AssertionError(f"{query} succeeded with {rows}")

    async def role(self) -> str:
        return str((await self.run("SHOW REPLICATION ROLE"))[0][0])

    async def count(self, label: str = "") -> int:
        pattern = f"n:{label}" if label else "n"
        return int((await self.run(f"MATCH ({pattern}) RETURN count(n)"))[0][0])

    async def replica(self, name: str) -> dict[str, Any]:
        """The `memgraph` entry of a replica's data_info; empty for a zombie."""
        for row in await self.run("SHOW REPLICAS"):
            if row[0] == name:
                return dict(row[4].get("memgraph", {}))
        raise AssertionError(f"no replica {name}")

    async def wait_status(self, name: str, status: str, within_s: float = DEADLINE_S) -> None:
        with trio.fail_after(within_s):
            while (await self.replica(name)).get("status") != status:
                await trio.sleep(POLL_S)

    async def register(self, name: str, mode: str, other: Stand) -> None:
        await self.run(f'REGISTER REPLICA {name} {mode} TO "{other.address}:10000"')

    async def demote(self) -> None:
        await self.run("SET REPLICATION ROLE TO REPLICA WITH PORT 10000")

    async def promote(self) -> None:
        await self.run("SET REPLICATION ROLE TO MAIN")

    async def control(self, do: str, **more: Any) -> dict[str, Any]:
        async with await trio.open_unix_socket(str(self.control_path)) as stream:
            await stream.send_all(json.dumps({"do": do, **more}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                more_of_it = await stream.receive_some()
                if not more_of_it:
                    raise ConnectionResetError("the stand-in did not live to answer")
                answer += more_of_it
        return dict(json.loads(answer))

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def wait_end(self, within_s: float = DEADLINE_S) -> int:
        assert self.process is not None
        with trio.fail_after(within_s):
            while (code := self.process.poll()) is None:
                await trio.sleep(POLL_S)
        await self.forget_connections()
        return code

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.wait_end()

    async def forget_connections(self) -> None:
        for connection in self.connections:
            await trio.aclose_forcefully(connection.stream)
        self.connections.clear()


class World:
    """All stand-ins of one test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.stands: list[Stand] = []

    def stand(self, name: str, *flags: str, **env: str) -> Stand:
        number = next(_numbers)
        address = f"127.77.{os.getpid() % 250 + 1}.{number % 250 + 1}"
        stand = Stand(name, address, self._directory / name, flags, env)
        self.stands.append(stand)
        return stand

    async def start(self, *names: str) -> list[Stand]:
        """Several fresh instances, started side by side."""
        stands = [self.stand(name) for name in names]
        async with trio.open_nursery() as nursery:
            for stand in stands:
                nursery.start_soon(stand.start)
        return stands

    async def pair(self, mode: str) -> tuple[Stand, Stand]:
        """A main and its registered, ready replica `r`."""
        main, replica = await self.start("main", "replica")
        await replica.demote()
        await main.register("r", mode, replica)
        return main, replica

    async def end(self) -> None:
        for stand in self.stands:
            await stand.forget_connections()
            if stand.process is not None and stand.process.poll() is None:
                stand.signal(signal.SIGKILL)
                stand.process.wait()


def handshake(*proposals: tuple[int, int, int]) -> bytes:
    """Magic and proposals of (range, minor, major)."""
    raw = b"".join(struct.pack(">BBBB", 0, *proposal) for proposal in proposals)
    return MAGIC + raw.ljust(16, b"\0")
