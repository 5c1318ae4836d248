"""One server: its process, and what a client can ask of it.

Promise: statements go through the neo4j driver, auto-commit, as the recorded exchanges did; every
wait has a deadline; nothing of a server is left when its world ends.
"""

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import neo4j
import trio
from neo4j.exceptions import DriverError, Neo4jError, ServiceUnavailable
from server_kinds import REPLICATION_PORTS, Kind, Process

DEADLINE_S = 20.0  # for what takes well under a second; a loaded machine is given time
ANSWER_S = 60.0  # longer than the longest wait that Memgraph itself allows a commit
POLL_S = 0.01
BOLT_PORT = 7687
CLIENT = "Memgraph.ClientError.MemgraphError.MemgraphError"
TRANSIENT = "Memgraph.TransientError.MemgraphError.MemgraphError"
THREADS_MAX = 40  # drivers block; abandoned ones wait for their server's end


class Refused(Exception):
    """A FAILURE from the server."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@attrs.frozen
class Answer:
    """What an auto-commit statement returned."""

    keys: list[str]
    rows: list[tuple[Any, ...]]
    summary: Mapping[str, Any]

    @property
    def value(self) -> Any:
        """The only value of the only row."""
        ((value,),) = self.rows
        return value


@attrs.define(eq=False)
class Server:
    """One instance: its address, its directory, its process while it runs."""

    kind: Kind
    name: str
    host: str
    directory: Path
    flags: dict[str, str]
    env: dict[str, str] = attrs.Factory(dict)
    replication_port: int = attrs.Factory(lambda: next(REPLICATION_PORTS))
    process: Process | None = None
    _driver: neo4j.Driver | None = None
    _release: tuple[int, int] | None = None
    _threads: trio.CapacityLimiter = attrs.Factory(lambda: trio.CapacityLimiter(THREADS_MAX))

    @property
    def address(self) -> str:
        """Where a main finds this instance as a replica."""
        return f"{self.host}:{self.replication_port}"

    @property
    def bolt_port(self) -> int:
        """The port that Bolt listens on."""
        return int(self.flags.get("bolt_port", BOLT_PORT))

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def output(self) -> str:
        """What the process printed and logged."""
        files = (self.directory / "output", self.directory / "log")
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    # -- the process

    def spawn(self, **flags: str) -> None:
        """Start the process; flags are written with underscores and win over the usual ones."""
        self.directory.mkdir(exist_ok=True)
        values = {
            "bolt_address": self.host,
            "bolt_port": str(BOLT_PORT),
            "data_directory": str(self.data),
            "log_file": str(self.directory / "log"),
            "storage_wal_enabled": "true",
            "storage_wal_file_flush_every_n_tx": "1",
            "storage_snapshot_interval_sec": "300",
            "storage_snapshot_on_exit": "false",
            **self.flags,
            **flags,
        }
        argv = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        self.process = self.kind.launch(argv, self.env, self.directory, self.host)

    async def start(self, **flags: str) -> Self:
        """Running and answering afterwards. Raises AssertionError when it ends instead."""
        self.spawn(**flags)
        await self.wait_open()
        return self

    async def wait_open(self, *, within_s: float = DEADLINE_S) -> None:
        """Bolt is open. Raises AssertionError when the process ends instead."""
        with trio.fail_after(within_s):
            while not await self._is_open():
                if self.process is not None and self.process.poll() is not None:
                    raise AssertionError(f"{self.name} ended: {self.output}")
                await trio.sleep(POLL_S)

    async def _is_open(self) -> bool:
        try:
            stream = await trio.open_tcp_stream(self.host, self.bolt_port)
        except OSError:
            return False
        await stream.aclose()
        return True

    async def is_replication_port_open(self) -> bool:
        """Whether somebody listens on this instance's replication port."""
        try:
            stream = await trio.open_tcp_stream(self.host, self.replication_port)
        except OSError:
            return False
        await stream.aclose()
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def wait_end(self) -> int:
        """The exit code, negative for a signal."""
        assert self.process is not None
        with trio.fail_after(DEADLINE_S):
            while (code := self.process.poll()) is None:
                await trio.sleep(POLL_S)
        await self.hang_up()
        return code

    async def wait_refused_start(self) -> int:
        """The exit code of a start that must fail. Raises AssertionError when Bolt opens."""
        assert self.process is not None
        with trio.fail_after(DEADLINE_S):
            while (code := self.process.poll()) is None:
                assert not await self._is_open(), f"{self.name} has started"
                await trio.sleep(POLL_S)
        return code

    async def kill(self) -> None:
        """SIGKILL; gone afterwards."""
        self.signal(signal.SIGKILL)
        await self.wait_end()

    async def hang_up(self) -> None:
        """No connection of ours to it is left."""
        if self._driver is not None:
            driver, self._driver = self._driver, None
            await trio.to_thread.run_sync(driver.close, limiter=self._threads)

    # -- statements

    def driver(self) -> neo4j.Driver:
        """The driver of this server, until it ends."""
        if self._driver is None:
            self._driver = neo4j.GraphDatabase.driver(
                f"bolt://{self.host}:{self.bolt_port}", connection_timeout=5.0
            )
        return self._driver

    async def ask(self, statement: str, **parameters: Any) -> Answer:
        """What an auto-commit statement returns. Raises Refused."""
        driver = self.driver()
        with trio.fail_after(ANSWER_S):
            return await trio.to_thread.run_sync(
                _ask, driver, statement, parameters, limiter=self._threads, abandon_on_cancel=True
            )

    async def refusal(self, statement: str, **parameters: Any) -> Refused:
        """The failure of a statement that must fail."""
        try:
            answer = await self.ask(statement, **parameters)
        except Refused as refused:
            return refused
        raise AssertionError(f"{statement} was accepted: {answer.rows}")

    async def release(self) -> tuple[int, int]:
        """Major and minor version, by what the server says."""
        if self._release is None:
            found = re.match(r"(\d+)\.(\d+)", (await self.ask("SHOW VERSION")).value)
            assert found is not None
            self._release = int(found[1]), int(found[2])
        return self._release

    # -- what a controller does

    async def role(self) -> str:
        return str((await self.ask("SHOW REPLICATION ROLE")).value)

    async def demote(self) -> None:
        await self.ask(f"SET REPLICATION ROLE TO REPLICA WITH PORT {self.replication_port}")

    async def promote(self) -> None:
        await self.ask("SET REPLICATION ROLE TO MAIN")

    async def register(self, name: str, mode: str, replica: "Server") -> None:
        await self.ask(f'REGISTER REPLICA {name} {mode} TO "{replica.address}"')

    async def drop(self, name: str) -> None:
        await self.ask(f"DROP REPLICA {name}")

    async def replica(self, name: str) -> dict[str, Any]:
        """A replica's state on this main: ts, behind, status; empty for a zombie."""
        for row in (await self.ask("SHOW REPLICAS")).rows:
            if row[0] == name:
                return dict(row[4].get("memgraph", {}))
        raise AssertionError(f"no replica {name} on {self.name}")

    async def wait_status(self, name: str, status: str, *, within_s: float = DEADLINE_S) -> float:
        """Seconds until the replica's status on this main was `status`."""
        begin_s = trio.current_time()
        with trio.fail_after(within_s):
            while (await self.replica(name)).get("status") != status:
                await trio.sleep(POLL_S)
        return trio.current_time() - begin_s

    async def count(self, label: str = "") -> int:
        pattern = f"n:{label}" if label else "n"
        return int((await self.ask(f"MATCH ({pattern}) RETURN count(n)")).value)

    async def write(self, times: int = 1, label: str = "X") -> None:
        for _ in range(times):
            await self.ask(f"CREATE (:{label})")

    async def wait_writable(self) -> None:
        """One write succeeded; the first ones after a replica's return may fail (L7)."""
        with trio.fail_after(DEADLINE_S):
            while True:
                try:
                    await self.write()
                    return
                except Refused:
                    await trio.sleep(POLL_S)


def _ask(driver: neo4j.Driver, statement: str, parameters: dict[str, Any]) -> Answer:
    try:
        with driver.session() as session:
            result = session.run(statement, parameters)
            keys = list(result.keys())
            rows = [tuple(record.values()) for record in result]
            return Answer(keys, rows, result.consume().metadata)
    except Neo4jError as error:
        raise Refused(error.code or "", error.message or "") from error
    except (ServiceUnavailable, DriverError) as error:
        raise Refused(type(error).__name__, str(error)) from error
