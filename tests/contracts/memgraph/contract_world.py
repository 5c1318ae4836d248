"""The servers of one test, ended with it.

Promise: each has an address of 127/8, ports and a directory of its own; nothing of a server is left
when its world ends.
"""

import itertools
import os
from pathlib import Path

import trio
from contract_server import CLIENT, TRANSIENT, Answer, Refused, Server
from server_kinds import Kind

__all__ = ["CLIENT", "TRANSIENT", "Answer", "Refused", "Server", "World"]

_hosts = itertools.count(1)


class World:
    """All servers of one test."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self.kind = kind
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._servers: list[Server] = []

    def server(self, name: str, **flags: str) -> Server:
        """A server that does not run yet."""
        number = next(_hosts)
        block = os.getpid() % 250
        host = f"127.{90 + number // 250}.{block + 1}.{number % 250 + 1}"
        server = Server(self.kind, name, host, self._directory / name, flags)
        self._servers.append(server)
        return server

    async def start(self, *names: str, **flags: str) -> list[Server]:
        """Several fresh instances, started side by side."""
        servers = [self.server(name, **flags) for name in names]
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(server.start)
        return servers

    async def pair(self, mode: str, **flags: str) -> tuple[Server, Server]:
        """A main and its registered, ready replica `r`."""
        main, replica = await self.start("main", "replica", **flags)
        await replica.demote()
        await main.register("r", mode, replica)
        return main, replica

    async def end(self) -> None:
        """Nothing of it runs afterwards."""
        running = [server for server in self._servers if server.process is not None]
        for server in running:
            assert server.process is not None
            server.process.kill()
        for server in running:
            await server.wait_end()
