"""Relays one session of which a side speaks TLS: in place of the pump, in the same loop.

Promise: as the mover's: whole and in order or both ends are reset, bounded memory (one record for
each direction), a bounded turn, and no byte to a client at or after the fence.
"""

import select
import socket
import ssl
from typing import TYPE_CHECKING

from gateway.link import ENDED, LEFT, MORE, End
from gateway.pump import Pump
from gateway.reasons import Ending
from gateway.tls import Side
from gateway.wire import Socket

if TYPE_CHECKING:
    from gateway.session import Session

TURN_READS = 16  # of 16 KiB each, before others have their turn
ERR = select.EPOLLERR
LAST = select.EPOLLRDHUP | select.EPOLLHUP
READABLE = select.EPOLLIN | LAST


class SecureRelay:
    """Owned by its session.

    Args:
      client: its side, with the handshake done.
    """

    def __init__(self, pump: Pump, session: "Session", client: Side) -> None:
        self._pump, self._session = pump, session
        self.client = client
        self.upstream: Side | None = None

    def dialled(self, sock: Socket, context: ssl.SSLContext | None, name: str) -> None:
        """There is an upstream's socket; its handshake is to follow."""
        self.upstream = Side(sock, context, name=name)

    def begin(self) -> None:
        """Relay from now on, beginning with what has come already."""
        self._move_both()

    def on_event(self, end: End, event: int) -> None:
        """Of either socket."""
        client_end, upstream_end = self._session.ends
        assert self.upstream is not None
        if event & ERR:
            self._fail(end)
            return
        if event & LAST:
            end.flags |= LEFT  # no other event will tell of its end
        if end is client_end:
            other_end, source, sink = upstream_end, self.client, self.upstream
        else:
            other_end, source, sink = client_end, self.upstream, self.client
        if other_end.flags & MORE:  # it waits for this one to take what is there
            self._move(other_end, sink, source)
        if self._session.is_open and event & READABLE:
            self._move(end, source, sink)

    def _move_both(self) -> None:
        client_end, upstream_end = self._session.ends
        assert self.upstream is not None
        self._move(client_end, self.client, self.upstream)
        if self._session.is_open:
            self._move(upstream_end, self.upstream, self.client)

    def _move(self, end: End, source: Side, sink: Side) -> None:
        session = self._session
        end.flags &= ~MORE
        for _ in range(TURN_READS):
            if end.fence is not None and self._is_fenced(end):
                return
            try:
                if sink.to_send and not sink.flush():
                    end.flags |= MORE  # an event of the other end comes back to it
                    return
                if source.is_ended:
                    return
                data = source.read()
                source.flush()  # TLS may have to answer what it read
            except OSError:
                self._fail(end)
                return
            if data is None:
                return
            if not self._deliver(end, source, sink, data) or not session.is_open:
                return
            if source.is_dry and not end.flags & LEFT:
                return  # what comes later has an edge of its own
        end.flags |= MORE
        self._pump.mover.unfinished.append(end)

    def _is_fenced(self, end: End) -> bool:
        fence = end.fence
        if fence is None or not self._pump.is_due(fence):
            return False
        fence.on_due()
        return True

    def _deliver(self, end: End, source: Side, sink: Side, data: bytes) -> bool:
        """False when the session is over, or this direction is."""
        session = self._session
        try:
            if data:
                sink.write(data)
            else:
                sink.end()
        except OSError:
            client, upstream = session.ends
            self._fail(client if end is upstream else upstream)
            return False
        if not data:
            self._ended(end, source, sink)
            return False
        end.delivered_bytes += len(data)
        session.last = end
        most = session.owner.session_bytes_max
        if most is not None and session.delivered_bytes > most:
            self._pump.reset(session, Ending.BYTES_LIMIT)
            return False
        return True

    def _ended(self, end: End, source: Side, sink: Side) -> None:
        source.is_ended = True
        end.flags |= ENDED
        if sink.is_ended:
            is_client_first = end.is_upstream
            first = Ending.CLIENT_CLOSED if is_client_first else Ending.UPSTREAM_CLOSED
            self._pump.finish(self._session, first)
            return
        try:
            sink.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._fail(end)

    def _fail(self, end: End) -> None:
        reason = Ending.UPSTREAM_ERROR if end.is_upstream else Ending.CLIENT_ERROR
        self._pump.reset(self._session, reason)
