"""The faults of one stand-in, as plain switches, and the links that obey them.

Promise: a stopped link moves no byte in either direction and loses none: after `heal` the stream
goes on, as TCP does after a short cut. New connections are accepted and stay silent; outgoing ones
hang. A refused port is closed: dials fail at once, connections that exist go on.
Nothing here decides when a fault happens; `control` does.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
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
    deaf_to: frozenset[str] = frozenset()  # nothing arrives from these
    mute_to: frozenset[str] = frozenset()  # nothing goes to these
    refused_ports: frozenset[str] = frozenset()  # of "bolt" and "replication"
    disk_full: bool = False
    drop_crash: int = 0
    drop_hang: int = 0
    lose_power: Callable[[bool], None] | None = None  # what a power cut does to the disk
    _moved: trio.Event = attrs.field(factory=trio.Event)

    def is_stopped(self, peer: str) -> bool:
        """Whether nothing moves either way."""
        return self.hung or self.partitioned or peer in self.silent_peers

    def is_deaf_to(self, peer: str) -> bool:
        return self.is_stopped(peer) or peer in self.deaf_to

    def is_mute_to(self, peer: str) -> bool:
        return self.is_stopped(peer) or peer in self.mute_to

    def changed(self) -> None:
        """Wake every waiting link, to look again."""
        self._moved.set()
        self._moved = trio.Event()

    async def wait_while(self, is_so: Callable[[], bool]) -> None:
        """Return as soon as it is not so; looked at after every command."""
        while is_so():
            await self._moved.wait()

    def take(self, name: str) -> bool:
        """Use up one of a counted fault; False when none is left."""
        left: int = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True


class Link:
    """A TCP stream, with or without TLS over it, that stops when a fault says so."""

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: str,
        faults: Faults,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._bottom = stream
        self._stream: trio.abc.Stream = stream
        if tls is not None:
            self._stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        self._faults = faults
        self.peer = peer

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        faults, peer = self._faults, self.peer
        if faults.is_deaf_to(peer):
            await faults.wait_while(lambda: faults.is_deaf_to(peer))
        data = bytes(await self._stream.receive_some(max_bytes))
        if faults.is_deaf_to(peer):
            await faults.wait_while(lambda: faults.is_deaf_to(peer))
        return data

    async def send_all(self, data: bytes) -> None:
        faults, peer = self._faults, self.peer
        if faults.is_mute_to(peer):
            await faults.wait_while(lambda: faults.is_mute_to(peer))
        await self._stream.send_all(data)

    def close_now(self) -> None:
        """Close without waiting and without a word to the peer beyond TCP's own."""
        self._bottom.socket.close()


async def serve_port(
    name: str,
    open_listeners: Callable[[], Awaitable[Sequence[trio.SocketListener]]],
    handler: Callable[[trio.SocketStream], Awaitable[None]],
    faults: Faults,
    *,
    listeners: Sequence[trio.SocketListener] | None = None,
) -> None:
    """Serve a port until cancelled, except while a fault refuses it by `name`.

    Args:
        listeners: the ones to begin with, when the caller had to know that the port is free.

    Raises:
        OSError: the port is taken.
    """
    async with trio.open_nursery() as sessions:
        while True:
            current = list(listeners or await open_listeners())
            listeners = None
            async with trio.open_nursery() as accepting:
                serve = partial(trio.serve_listeners, handler, current, handler_nursery=sessions)
                accepting.start_soon(serve)
                await faults.wait_while(lambda: name not in faults.refused_ports)
                accepting.cancel_scope.cancel()
            await faults.wait_while(lambda: name in faults.refused_ports)


def accepted(stream: trio.SocketStream, faults: Faults, tls: ssl.SSLContext | None = None) -> Link:
    """The link over an accepted connection, with TLS inside when there is a context."""
    stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        peer = str(stream.socket.getpeername()[0])
    except OSError:
        peer = "gone"
    return Link(stream, peer, faults, tls)


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
        faults = self.faults
        await faults.wait_while(lambda: faults.is_deaf_to(address) or faults.is_mute_to(address))
        with ExitStack() as undone:
            sock = undone.enter_context(trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.source != "0.0.0.0":
                await sock.bind((self.source, 0))
            await sock.connect((address, port))
            undone.pop_all()  # from here on it is the link's
        return Link(trio.SocketStream(sock), address, self.faults)

    async def _resolve(self, host: str, port: int) -> str:
        if self.hosts is not None and self.hosts.exists():
            for line in self.hosts.read_text().splitlines():
                address, *names = line.partition("#")[0].split() or [""]
                if host in names:
                    return address
        found = await trio.socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        return str(found[0][4][0])
