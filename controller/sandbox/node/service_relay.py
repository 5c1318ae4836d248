"""Service addresses: a relay in user space on each, to a random ready endpoint.

Promise: a new connection goes to an endpoint that is ready at that moment, or is closed at once. A
real kube-proxy rewrites packets, so that clients see the endpoint's own refusals and resets; here
they see those of the relay.
"""

from __future__ import annotations

import random
from functools import partial

import trio

from .directory import Directory, Port

CHUNK_BYTES = 65_536
DIAL_S = 3.0


class ServiceRelay:
    """Keeps one listener for each port of each Service."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._open: dict[Port, trio.CancelScope] = {}

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                changed, wanted = self._directory.changed, self._directory.ports()
                for port in self._open.keys() - wanted:
                    self._open.pop(port).cancel()
                for port in wanted - self._open.keys():
                    self._open[port] = scope = trio.CancelScope()
                    nursery.start_soon(self._listen, port, scope)
                await changed.wait()

    async def _listen(self, port: Port, scope: trio.CancelScope) -> None:
        with scope:
            handler = partial(self._carry, port)
            await trio.serve_tcp(handler, port.number, host=port.address)

    async def _carry(self, port: Port, client: trio.SocketStream) -> None:
        async with client:
            upstreams = self._directory.upstreams(port)
            if not upstreams:
                return
            try:
                with trio.fail_after(DIAL_S):
                    upstream = await trio.open_tcp_stream(*random.choice(upstreams))
            except (OSError, trio.TooSlowError):
                return
            async with upstream, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, client, upstream)
                await _pump(upstream, client)


async def _pump(source: trio.SocketStream, target: trio.SocketStream) -> None:
    """Until the source ends; then its end goes across."""
    try:
        while data := await source.receive_some(CHUNK_BYTES):
            await target.send_all(data)
        await target.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(target)
