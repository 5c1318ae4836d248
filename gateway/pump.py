"""Moves bytes: one edge-triggered epoll table for every socket, no task per session.

Promise: a message costs one read and one write; a session that waits owns no buffer; a cut closes
every client before it closes an upstream, and has ended all when it returns; no byte goes towards
a client at or after its gateway's fence. There is no trio in here: `step(timeout)` handles one
batch, whoever owns the loop drives it.

What a newcomer gets wrong: with edge-triggering, readiness is told once. A read shorter than its
buffer has drained the socket; after a full one somebody must come back by himself (`Mover`).
And descriptors are opened only outside of the relaying half of a batch: otherwise a number that
was closed and opened again would receive the events of its former owner.
"""

import os
import select
from collections.abc import Callable, Sequence

from gateway.link import (
    JOINED,
    LEFT,
    METERED,
    NEVER,
    SMALL_BYTES,
    SPOKE,
    End,
    Fence,
    Link,
    Watch,
)
from gateway.mover import Mover
from gateway.pending import Pending
from gateway.reasons import Ending
from gateway.wire import Socket

EVENTS_MAX = 256  # events of one batch; of small messages it takes about 2 ms
IN, OUT = select.EPOLLIN, select.EPOLLOUT
IN_OUT = IN | OUT  # above it: EPOLLERR, or one of those that tell the end
IN_ERR = IN | select.EPOLLERR
RDHUP = select.EPOLLRDHUP
RELAY_MASK = IN | RDHUP | select.EPOLLET
TABLE_GROWTH = 256

CLIENT_CLOSED = Ending.CLIENT_CLOSED  # it ended first, so its end was passed on to the upstream
Others = list[tuple[int, End, int]]

__all__ = ["NEVER", "Pump"]


class Pump:
    """One epoll table. Not thread-safe; `step` is not to be called from a callback.

    Args:
      clock: monotonic seconds, compared with the fences.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._epoll = select.epoll()
        self._table: list[End | None] = [None] * TABLE_GROWTH  # by descriptor
        self._clock = clock
        self._spoke: list[End] = []  # joined, with bytes that came before and have no event left
        self.mover = Mover(clock=clock, arm=self._arm, reset=self.reset, finish=self.finish)

    def fileno(self) -> int:
        """The epoll's own descriptor: readable when a step has something to do."""
        return self._epoll.fileno()

    @property
    def has_unfinished(self) -> bool:
        """Some end used up its turn, or was just joined: step again without waiting."""
        return bool(self.mover.unfinished or self._spoke)

    def is_due(self, fence: Fence) -> bool:
        """Whether the time in which clients may be answered is over."""
        return self._clock() >= fence.at_s

    # ---------------------------------------------------------------- table

    def watch(self, sock: Socket, mask: int, callback: Callable[[int], None]) -> None:
        """Report events of a socket (replaces what was asked before)."""
        self._enter(sock.fileno(), Watch(callback), mask)

    def watch_end(self, end: End, mask: int = RELAY_MASK) -> None:
        """Report events of an end to its link's owner, until it is joined or forgotten."""
        self._enter(end.fd, end, mask)

    def is_watched(self, end: End) -> bool:
        """Whether events of an open end are reported."""
        return end.fd < len(self._table) and self._table[end.fd] is end

    def forget(self, sock: Socket) -> None:
        """No more events of this socket; to be called before it is closed."""
        self._table[sock.fileno()] = None
        self._epoll.unregister(sock.fileno())

    def close_end(self, end: End) -> None:
        """Close an end that is not relayed, and hear no more of it."""
        if self.is_watched(end):
            self._table[end.fd] = None  # closing takes it out of the epoll set
        end.close()

    def _enter(self, fd: int, entry: End, mask: int) -> None:
        table = self._table
        while fd >= len(table):
            table.extend([None] * TABLE_GROWTH)
        if table[fd] is None:
            self._epoll.register(fd, mask)
        else:
            self._epoll.modify(fd, mask)  # reports at once what is ready by now
        table[fd] = entry

    def _arm(self, end: End) -> None:
        self._epoll.modify(end.fd, RELAY_MASK | OUT)

    def join(self, link: Link) -> None:
        """Relay between both ends from the next step on, beginning with what they have received
        already."""
        client, upstream = link.client, link.upstream
        assert upstream is not None
        owner = link.owner
        client.peer, upstream.peer = upstream, client
        client.to, upstream.to = upstream.fd, client.fd
        if not self.is_watched(client):
            self._enter(client.fd, client, RELAY_MASK)  # reports at once what has come
        client.flags |= JOINED
        upstream.flags |= JOINED
        if owner.session_bytes_max is not None:
            for end in (client, upstream):
                end.flags |= METERED
                end.settle()
        if client.flags & SPOKE:
            self._spoke.append(client)
        if upstream.flags & SPOKE:
            self._spoke.append(upstream)

    # ---------------------------------------------------------------- batch

    def step(self, timeout_s: float) -> int:
        """Handle one batch; returns how many events it had. -1: wait for as long as it takes."""
        if self.mover.unfinished:
            timeout_s = 0
            self.mover.resume()
        if self._spoke:
            events = self._told_again() + self._epoll.poll(0, EVENTS_MAX)
        else:
            events = self._epoll.poll(timeout_s, EVENTS_MAX)
        table = self._table
        for fd, entry, event in self._relay(events):
            if table[fd] is entry:  # these open descriptors: a number may have a new owner
                entry.on_event(event)
        return len(events)

    def _told_again(self) -> list[tuple[int, int]]:
        """Events of ends whose own were spent before they were joined."""
        spoke, self._spoke = self._spoke, []
        return [(e.fd, IN | RDHUP if e.flags & LEFT else IN) for e in spoke if e.link.is_open]

    def _relay(self, events: Sequence[tuple[int, int]]) -> Others:
        """Carry the messages of a batch; returns the events of those who are not relayed.

        Written out flat: each call in here would be paid for by every message.
        """
        table, clock, mover, read, write = self._table, self._clock, self.mover, os.read, os.write
        small_bytes = SMALL_BYTES
        others: Others = []
        for fd, event in events:
            end = table[fd]
            if end is None:
                continue  # closed earlier in this batch
            to, is_last = end.to, event > IN_OUT
            if to is None or (is_last and event & IN_ERR != IN):
                if end.flags & JOINED:
                    mover.on_event(end, event)
                else:
                    others.append((fd, end, event))
                continue
            try:
                data = read(fd, end.read_bytes)
            except BlockingIOError:
                continue
            except OSError:
                mover.fail(end)
                continue
            if not data:
                mover.ended(end)
                continue
            fence = end.fence
            if fence is not None and clock() >= fence.at_s:
                fence.on_due()
                continue
            try:
                sent_bytes = write(to, data)
            except BlockingIOError:
                sent_bytes = 0
            except OSError:
                mover.fail(end.peer)
                continue
            end.delivered_bytes += sent_bytes
            end.link.last = end
            if is_last:
                end.flags |= LEFT  # no other event will tell of its end
            if sent_bytes < len(data):
                mover.block(end, Pending(memoryview(data)[sent_bytes:], None, 0))
            elif sent_bytes >= small_bytes:
                mover.on_large(end, sent_bytes, is_last=is_last)
            elif is_last:
                mover.pull(end)
        return others

    # ---------------------------------------------------------------- end of life

    def reset(self, link: Link, reason: Ending) -> None:
        """End a link now: kernel buffers are discarded, both sides see a reset."""
        if not link.is_open:
            return
        client, upstream = self._take_out(link)
        client.reset()  # first: no answer of the old upstream can follow
        upstream.close()  # which is a reset
        self._over(link, reason)

    def cut(self, links: Sequence[Link], reason: Ending) -> None:
        """End many links now, every client before the first upstream. A client that waits for an
        answer sees a reset, one between requests an orderly end; upstreams see a reset."""
        links = [link for link in links if link.is_open]
        for link in links:  # each client waits for all before it: only what ends its session
            client, is_outstanding = link.client, link.is_outstanding
            link.is_open = False
            self._take_out_end(client)
            if is_outstanding:
                client.reset()
            else:
                client.close()
        for link in links:
            upstream = link.ends[1]
            self._take_out_end(upstream)
            upstream.close()
        for link in links:
            self._over(link, reason)

    def finish(self, link: Link, reason: Ending) -> None:
        """Close both sockets in order: what the kernel still holds is delivered."""
        client, upstream = self._take_out(link)
        client.close()
        upstream.close_in_order(is_shut=reason is CLIENT_CLOSED)
        self._over(link, reason)

    def _over(self, link: Link, reason: Ending) -> None:
        link.owner.on_end(link, reason)
        link.let_go()

    def _take_out(self, link: Link) -> tuple[End, End]:
        link.is_open = False
        client, upstream = link.ends
        self._take_out_end(client)
        self._take_out_end(upstream)
        return client, upstream

    def _take_out_end(self, end: End) -> None:
        self._table[end.fd] = None  # closing takes it out of the epoll set
        end.to = None
        if end.pending is not None:
            self.mover.drop_pending(end)

    def close(self) -> None:
        """Close the epoll table and the pipes. Links and watches must be gone by now."""
        self.mover.close()
        self._epoll.close()
