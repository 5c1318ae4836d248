"""The faults of one stand-in, as plain switches, and the links that obey them.

Promise: a stopped link moves no byte in either direction and loses none: after `heal` the stream
goes on, as TCP does after a short cut. New connections are accepted and stay silent; outgoing ones
hang. Nothing here decides when a fault happens; `control` does.
"""

import socket
from pathlib import Path

import attrs
import trio


@attrs.define(eq=False)
class Faults:
    """Owned by the instance; written by the control socket, read everywhere."""

    hung: bool = False
    slow_s: float = 0.0
    drop_replies: int = 0
    lock_busy: int = 0
    lose_finalize: int = 0
    partitioned: bool = False  # from everybody
    silent_peers: frozenset[str] = frozenset()
    _moved: trio.Event = attrs.field(factory=trio.Event)

    def is_stopped(self, peer: str) -> bool:
        return self.hung or self.partitioned or peer in self.silent_peers

    def changed(self) -> None:
        """Wake every waiting link, to look again."""
        self._moved.set()
        self._moved = trio.Event()

    async def wait_moving(self, peer: str) -> None:
        """Return as soon as bytes may move to and from `peer`."""
        while self.is_stopped(peer):
            await self._moved.wait()

    def take(self, name: str) -> bool:
        """Use up one of a counted fault; False when none is left."""
        left: int = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True


class Link:
    """A TCP stream that stops when a fault says so."""

    def __init__(self, stream: trio.SocketStream, peer: str, faults: Faults) -> None:
        self._stream = stream
        self._faults = faults
        self.peer = peer

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._faults.wait_moving(self.peer)
        data = bytes(await self._stream.receive_some(max_bytes))
        await self._faults.wait_moving(self.peer)
        return data

    async def send_all(self, data: bytes) -> None:
        await self._faults.wait_moving(self.peer)
        await self._stream.send_all(data)

    def close_now(self) -> None:
        """Close without waiting and without a word to the peer beyond TCP's own."""
        self._stream.socket.close()


def accepted(stream: trio.SocketStream, faults: Faults) -> Link:
    """The link over an accepted connection."""
    stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        peer = str(stream.socket.getpeername()[0])
    except OSError:
        peer = "gone"
    return Link(stream, peer, faults)


@attrs.frozen
class Dialer:
    """Opens outgoing links from the instance's own address.

    Attributes:
        source: the address to bind; "0.0.0.0" leaves it to the system.
        hosts: a file in hosts(5) form that is asked before the resolver, or None.
    """

    faults: Faults
    source: str
    hosts: Path | None

    async def dial(self, host: str, port: int) -> Link:
        """A new link.

        Raises:
            OSError: not resolvable, refused, unreachable.
        """
        address = await self._resolve(host, port)
        await self.faults.wait_moving(address)
        sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.source != "0.0.0.0":
                await sock.bind((self.source, 0))
            await sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return Link(trio.SocketStream(sock), address, self.faults)

    async def _resolve(self, host: str, port: int) -> str:
        if self.hosts is not None and self.hosts.exists():
            for line in self.hosts.read_text().splitlines():
                address, *names = line.partition("#")[0].split() or [""]
                if host in names:
                    return address
        found = await trio.socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        return str(found[0][4][0])
