"""The two ends of a session, as the pump sees them.

No behaviour beyond "may the short path be taken": the pump and its mover move the bytes. An idle
link owns neither buffer nor pipe; `pending` exists only while something could not be written.
Every field is paid for once a session: add none without measuring (docs/performance.md).

What a newcomer gets wrong: the bytes go by descriptor, not by socket object. An object costs a
system call and half a microsecond for each client, and reads and writes by it cost more than by
number; so `End.sock` is made only when something else has to be done with the socket.
"""

import os
import sys
from collections.abc import Callable
from typing import Protocol

from gateway import wire
from gateway.pending import Pending
from gateway.reasons import Ending
from gateway.wire import Socket

NEVER = float("inf")
# Of one read, until an end has once filled it: what Python gives room from its own store. More
# comes from malloc, which tidies up after each message.
SMALL_BYTES = 512 - sys.getsizeof(b"")

JOINED = 1  # relayed; until then events go to the owner
BULK = 2  # reading goes through a pipe (splice)
ENDED = 4  # the end of what this side sends was seen, and passed on
MORE = 8  # there may be unread bytes whose edge is spent
ARMED = 16  # EPOLLOUT was asked for, once
METERED = 32  # its bytes are limited: never the short path
SPOKE = 64  # something came while it was not joined yet
LEFT = 128  # its end may have come already, without an event that is still to come
NAMED = 256  # its PROXY header was read, or there is none to be read
CAREFUL = BULK | ENDED | METERED


class Fence:
    """Until when the clients of one gateway may be answered: one object, seen by all its links.

    Attributes:
      at_s: monotonic; NEVER when nothing is to be confirmed.
      on_due: called when bytes were due towards a client at or after `at_s`; it ends every link.
    """

    __slots__ = ("at_s", "on_due")

    def __init__(self, on_due: Callable[[], None]) -> None:
        self.at_s = NEVER
        self.on_due = on_due


class Owner(Protocol):
    """Who made a link and is told about it."""

    session_bytes_max: int | None

    def on_waiting(self, end: "End", event: int) -> None:
        """An event of an end that is not relayed yet."""

    def on_end(self, link: "Link", reason: Ending) -> None:
        """Both sockets are closed; called once for a link that was joined."""


class End:
    """One socket of a link. What is read here goes to `peer`.

    Args:
      sock: its object, where there is one already.

    Attributes:
      fd: its descriptor, -1 once it is closed: the number may have a new owner then.
      to: the peer's descriptor while one read and one write will do; None: the careful path.
      fence: on the end whose bytes go to the client, where these have a deadline; else None.
      read_bytes: of one read; SMALL_BYTES until that was too little.
      delivered_bytes: read here and taken by the peer's socket.
      pending: what is still to be written *to this* socket.
      flags: JOINED and the others above.
    """

    __slots__ = (
        "_sock",
        "delivered_bytes",
        "fd",
        "fence",
        "flags",
        "link",
        "peer",
        "pending",
        "read_bytes",
        "to",
    )
    peer: "End"

    def __init__(self, fd: int, link: "Link", sock: Socket | None = None) -> None:
        self.fd = fd
        self._sock = sock
        self.link = link
        self.to: int | None = None
        self.fence: Fence | None = None
        self.pending: Pending | None = None
        self.read_bytes = SMALL_BYTES
        self.delivered_bytes = 0
        self.flags = 0

    def settle(self) -> None:
        """Take the short path exactly when nothing asks for care."""
        peer = self.peer
        careful = self.flags & CAREFUL or self.pending is not None or peer.pending is not None
        self.to = None if careful else peer.fd

    @property
    def sock(self) -> Socket:
        """The socket's object. Of an end that is still open."""
        if self._sock is None:
            self._sock = wire.as_socket(self.fd)
        return self._sock

    def reset(self) -> None:
        """Close at once: the kernel discards what it still held and sends RST."""
        try:
            wire.discard(self.sock)
        finally:
            self.close()

    def close_in_order(self, *, is_shut: bool) -> None:
        """Close a dialled socket so that the kernel still delivers what it holds.

        Args:
          is_shut: our end was sent before, and the other side's has come: nothing may be left.
        """
        try:
            if not (is_shut and wire.has_arrived(self.fd)):
                wire.let_linger(self.sock)
        finally:
            self.close()

    def close(self) -> None:
        """Close the descriptor. Of a dialled socket that is a reset, see `wire.dial`."""
        fd, self.fd = self.fd, -1
        if self._sock is None:
            os.close(fd)
        else:
            self._sock.close()

    def on_event(self, event: int) -> None:
        """Of an end that is not relayed yet."""
        self.link.owner.on_waiting(self, event)

    @property
    def is_upstream(self) -> bool:
        """Whether its bytes go to the client."""
        return self is self.link.upstream


class Watch(End):
    """A descriptor in the pump's table that belongs to no session: the callback gets its events.
    Of an end it has only what tells the pump that nothing is relayed."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[int], None]) -> None:
        self._callback = callback
        self.to = None
        self.flags = 0

    def on_event(self, event: int) -> None:
        """To the callback."""
        self._callback(event)


class Link:
    """A client's end, and its upstream's once there is one.

    Attributes:
      last: the end that spoke last: the client's means that an answer is outstanding.
    """

    __slots__ = ("client", "is_open", "last", "owner", "upstream")

    def __init__(self, client: int, owner: Owner) -> None:
        self.owner = owner
        self.client = End(client, self)
        self.upstream: End | None = None
        self.last: End | None = None
        self.is_open = True

    def let_go(self) -> None:
        """After its end: nothing refers in a circle any more, so the memory is free at once."""
        for end in (self.client, self.upstream):
            if end is not None and end.flags & JOINED:
                del end.peer
        del self.client
        self.upstream = None
        self.last = None

    @property
    def ends(self) -> "tuple[End, End]":
        """Client's and upstream's; only of a link that was joined."""
        assert self.upstream is not None
        return self.client, self.upstream

    @property
    def bytes_up(self) -> int:
        """Taken by the upstream's socket."""
        return self.client.delivered_bytes

    @property
    def bytes_down(self) -> int:
        """Taken by the client's socket."""
        return self.upstream.delivered_bytes if self.upstream is not None else 0

    @property
    def delivered_bytes(self) -> int:
        """Both ways together, since the link was joined."""
        return self.bytes_up + self.bytes_down

    @property
    def is_outstanding(self) -> bool:
        """Whether the client spoke last, or bytes are on their way to it."""
        client = self.client
        return self.last is client or client.pending is not None
