"""The two ends of a relayed session, as the pump sees them.

No behaviour beyond "may the short path be taken": the pump moves the bytes. An idle link owns
neither buffer nor pipe; `pending` exists only while something could not be written.
"""

import socket
from collections.abc import Callable

from gateway.pipes import Pipe
from gateway.reasons import Ending


class Pending:
    """Bytes read already that the socket did not take: in memory, or in a pipe."""

    __slots__ = ("data", "left_bytes", "pipe")

    def __init__(self, data: memoryview | None, pipe: Pipe | None, left_bytes: int) -> None:
        self.data = data
        self.pipe = pipe
        self.left_bytes = left_bytes


class Watch:
    """A descriptor in the pump's table that is not relayed: the callback gets its events."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[int], None]) -> None:
        self.callback = callback


class End:
    """One socket of a link. What is read here goes to `peer`.

    Attributes:
      to: the peer's socket while one recv and one send will do; None: the careful path.
      delivered_bytes: read here and taken by the peer's socket.
      pending: what is still to be written *to this* socket.
      is_bulk: reading goes through a pipe (splice).
      has_more: there may be unread bytes whose edge is spent.
      is_armed: EPOLLOUT was asked for, once, after the first blocked write.
    """

    __slots__ = (
        "delivered_bytes",
        "fd",
        "has_more",
        "is_armed",
        "is_bulk",
        "is_ended",
        "link",
        "peer",
        "pending",
        "sock",
        "to",
        "to_client",
    )
    peer: "End"
    link: "Link"

    def __init__(self, sock: socket.socket, *, to_client: bool) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.to_client = to_client
        self.to: socket.socket | None = None
        self.pending: Pending | None = None
        self.delivered_bytes = 0
        self.is_bulk = self.is_ended = self.has_more = self.is_armed = False

    def settle(self) -> None:
        """Take the short path exactly when nothing asks for care."""
        peer = self.peer
        careful = self.is_bulk or self.is_ended or self.pending or peer.pending
        self.to = None if careful else peer.sock


class Link:
    """A client's socket joined with its upstream's."""

    __slots__ = ("client", "is_open", "on_end", "upstream")

    def __init__(
        self,
        client: socket.socket,
        upstream: socket.socket,
        on_end: "Callable[[Link, Ending], None]",
    ) -> None:
        self.client = End(client, to_client=False)
        self.upstream = End(upstream, to_client=True)
        self.on_end = on_end
        self.is_open = True
        for end, peer in ((self.client, self.upstream), (self.upstream, self.client)):
            end.peer, end.link = peer, self
            end.settle()

    @property
    def delivered_bytes(self) -> int:
        """Both ways together, since the link was made."""
        return self.client.delivered_bytes + self.upstream.delivered_bytes
