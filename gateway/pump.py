"""Moves bytes: one edge-triggered epoll table for every socket of a gateway, no task per session.

Promise: what one end sent arrives at the other in order and whole, or both ends are reset; a
session that waits owns no memory; no byte goes towards a client at or after `fence_at_s`.
There is no trio in here: `step(timeout)` handles one batch, whoever owns the loop drives it.

What a newcomer gets wrong: with edge-triggering, readiness is told once. A read shorter than its
buffer has drained the socket; after a full one somebody must come back by himself (`_turn_over`).
And descriptors are opened only outside of the relaying half of a batch: otherwise a number that
was closed and opened again would receive the events of its former owner.
"""

import os
import select
import socket
import sys
from collections import deque
from collections.abc import Callable

from gateway import wire
from gateway.link import End, Link, Pending, Watch
from gateway.pipes import PIPE_BYTES, Pipe, PipePool
from gateway.reasons import Ending

READ_BYTES = 65536  # of one recv; a full one means a bulk flow
BULK_BYTES_MIN = 16384  # a pipe that moved less in its turn goes back to recv and send
TURN_ROUNDS = 4  # reads of one end before others have their turn (1 MiB when spliced)
EVENTS_MAX = 256  # events of one batch
NEVER = float("inf")
IN, OUT = select.EPOLLIN, select.EPOLLOUT
ERR, HUP, RDHUP, ET = select.EPOLLERR, select.EPOLLHUP, select.EPOLLRDHUP, select.EPOLLET
PLAIN_EVENTS = frozenset({IN, IN | OUT})
RELAY_MASK = IN | RDHUP | ET
READABLE = IN | RDHUP | HUP
DRY, OVER = 0, -1  # no byte was read: not now, or never again
SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class Pump:
    """One epoll table. Not thread-safe; `step` is not to be called from a callback.

    Args:
      clock: monotonic seconds, compared with `fence_at_s`.
      on_fence: called when bytes were due towards a client at or after `fence_at_s`; it must
        end every link.
      link_bytes_max: bytes of one link, both ways; None for no limit.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        on_fence: Callable[[], None],
        link_bytes_max: int | None = None,
    ) -> None:
        self._epoll = select.epoll()
        self._table: dict[int, Watch | End] = {}
        self._clock = clock
        self._on_fence = on_fence
        self._link_bytes_max = sys.maxsize if link_bytes_max is None else link_bytes_max
        self._unfinished: deque[End] = deque()
        self.pipes = PipePool()
        self.fence_at_s = NEVER

    def fileno(self) -> int:
        """The epoll's own descriptor: readable when a step has something to do."""
        return self._epoll.fileno()

    @property
    def has_unfinished(self) -> bool:
        """Some end used up its turn: step again without waiting."""
        return bool(self._unfinished)

    def is_fenced(self) -> bool:
        """Whether the time in which clients may be answered is over."""
        return self.fence_at_s != NEVER and self._clock() >= self.fence_at_s

    # ---------------------------------------------------------------- table

    def watch(self, sock: socket.socket, mask: int, callback: Callable[[int], None]) -> None:
        """Report events of a socket (replaces what was asked before)."""
        self._enter(sock.fileno(), Watch(callback), mask)

    def forget(self, sock: socket.socket) -> None:
        """No more events of this socket; to be called before it is closed."""
        del self._table[sock.fileno()]
        self._epoll.unregister(sock.fileno())

    def join(
        self,
        client: socket.socket,
        upstream: socket.socket,
        on_end: Callable[[Link, Ending], None],
    ) -> Link:
        """Relay between two sockets from now on, with what they have received already."""
        link = Link(client, upstream, on_end)
        for end in (link.client, link.upstream):
            self._enter(end.fd, end, RELAY_MASK)
        return link

    def _enter(self, fd: int, entry: Watch | End, mask: int) -> None:
        if fd in self._table:
            self._epoll.modify(fd, mask)  # reports at once what is ready by now
        else:
            self._epoll.register(fd, mask)
        self._table[fd] = entry

    # ---------------------------------------------------------------- batch

    def step(self, timeout_s: float) -> int:
        """Handle one batch; returns how many events it had. -1: wait for as long as it takes."""
        if self._unfinished:
            timeout_s = 0
            self._resume()
        table = self._table
        events = self._epoll.poll(timeout_s, EVENTS_MAX)
        others: list[tuple[int, Watch, int]] = []
        for fd, event in events:
            entry = table.get(fd)
            if entry is None:
                continue  # closed earlier in this batch
            if isinstance(entry, Watch):
                others.append((fd, entry, event))
            elif entry.to is not None and event in PLAIN_EVENTS:
                self._relay_message(entry)
            else:
                self._relay_carefully(entry, event)
        for fd, watch, event in others:
            if table.get(fd) is watch:  # these open descriptors: a number may have a new owner
                watch.callback(event)
        return len(events)

    def _resume(self) -> None:
        for _ in range(len(self._unfinished)):
            end = self._unfinished.popleft()
            if end.link.is_open and end.has_more:
                self._pull(end)

    def _relay_message(self, end: End) -> None:
        data = self._recv(end)
        if data is None:
            return
        if self._send(end, data) and len(data) == READ_BYTES:
            self._pull(end)

    def _relay_carefully(self, end: End, event: int) -> None:
        if event & ERR:
            self._fail(end)
            return
        if event & OUT and end.pending is not None:
            self._flush(end, end.pending)
        if event & READABLE and end.link.is_open and not end.is_ended:
            self._pull(end)

    # ---------------------------------------------------------------- reading

    def _pull(self, end: End) -> None:
        """Move what end has received until it is dry, blocked, over, or had its turn."""
        end.has_more = end.peer.pending is not None  # then _flush comes back to it
        if end.has_more or end.is_ended:
            return
        if end.is_bulk:
            self._splice(end)
        else:
            self._copy(end)

    def _copy(self, end: End) -> None:
        for _ in range(TURN_ROUNDS):
            data = self._recv(end)
            if data is None or not self._send(end, data):
                return
            if len(data) == READ_BYTES:
                end.is_bulk = True
                end.settle()
                break
        self._turn_over(end)

    def _recv(self, end: End) -> bytes | None:
        """None when nothing is there: dry, ended, or failed, and that is dealt with."""
        try:
            data = end.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            self._fail(end)
            return None
        if data:
            return data
        self._ended(end)
        return None

    def _send(self, end: End, data: bytes) -> bool:
        """Whether all of it went to end's peer and the link lives on."""
        if end.to_client and self.is_fenced():
            self._on_fence()
            return False
        peer = end.peer
        try:
            sent_bytes = peer.sock.send(data)
        except BlockingIOError:
            sent_bytes = 0
        except OSError:
            self._fail(peer)
            return False
        if not self._delivered(end, sent_bytes):
            return False
        if sent_bytes < len(data):
            self._block(end, Pending(memoryview(data)[sent_bytes:], None, 0))
            return False
        return True

    def _splice(self, end: End) -> None:
        pipe = self.pipes.maybe_take()
        if pipe is None:
            self._leave_bulk(end)
            self._turn_over(end)
            return
        moved_bytes = 0
        for _ in range(TURN_ROUNDS):
            filled_bytes = self._fill(end, pipe)
            if filled_bytes <= 0:
                if filled_bytes == DRY and moved_bytes < BULK_BYTES_MIN:
                    self._leave_bulk(end)
                return
            moved_bytes += filled_bytes
            if not self._drain(end, pipe, filled_bytes):
                return
        self.pipes.give(pipe)
        self._turn_over(end)

    def _fill(self, end: End, pipe: Pipe) -> int:
        """Bytes that went into the empty pipe; DRY or OVER when none (the pipe is given back)."""
        try:
            filled_bytes = os.splice(end.fd, pipe.write_fd, PIPE_BYTES, flags=SPLICE)
        except BlockingIOError:
            self.pipes.give(pipe)
            return DRY
        except OSError:
            self.pipes.give(pipe)
            self._fail(end)
            return OVER
        if filled_bytes == 0:
            self.pipes.give(pipe)
            self._ended(end)
            return OVER
        return filled_bytes

    def _drain(self, end: End, pipe: Pipe, left_bytes: int) -> bool:
        """Whether the pipe is empty again and still ours."""
        pending = Pending(None, pipe, left_bytes)
        if self._write(end.peer, pending):
            return True
        if end.link.is_open:
            self._block(end, pending)
        else:
            self.pipes.drop(pipe)  # bytes of a dead link must not meet another
        return False

    def _leave_bulk(self, end: End) -> None:
        end.is_bulk = False
        end.settle()

    def _turn_over(self, end: End) -> None:
        end.has_more = True
        self._unfinished.append(end)

    # ---------------------------------------------------------------- writing

    def _block(self, end: End, pending: Pending) -> None:
        """End's peer takes no more: keep the rest, and wait for EPOLLOUT."""
        peer = end.peer
        peer.pending = pending
        end.has_more = True
        end.to = peer.to = None
        if not peer.is_armed:
            peer.is_armed = True
            self._epoll.modify(peer.fd, RELAY_MASK | OUT)  # reports at once if writable by now

    def _flush(self, end: End, pending: Pending) -> None:
        """Write what is pending towards end; when all went, read on at its peer."""
        if not self._write(end, pending):
            return
        end.pending = None
        if pending.pipe is not None:
            self.pipes.give(pending.pipe)
        end.settle()
        end.peer.settle()
        if end.peer.has_more:
            self._pull(end.peer)

    def _write(self, end: End, pending: Pending) -> bool:
        """Whether all of it went. False: end is blocked, or the link is over (look at it)."""
        source = end.peer
        try:
            while pending.data or pending.left_bytes:
                if source.to_client and self.is_fenced():
                    self._on_fence()
                    return False
                if pending.data is not None:
                    sent_bytes = end.sock.send(pending.data)
                    pending.data = pending.data[sent_bytes:]
                else:
                    assert pending.pipe is not None
                    left_bytes, pipe_fd = pending.left_bytes, pending.pipe.read_fd
                    sent_bytes = os.splice(pipe_fd, end.fd, left_bytes, flags=SPLICE)
                    pending.left_bytes -= sent_bytes
                if not self._delivered(source, sent_bytes):
                    return False
        except BlockingIOError:
            return False
        except OSError:
            self._fail(end)
            return False
        return True

    def _delivered(self, end: End, sent_bytes: int) -> bool:
        """Count; False when the link has had all that it may have, and is over."""
        end.delivered_bytes += sent_bytes
        if end.delivered_bytes + end.peer.delivered_bytes <= self._link_bytes_max:
            return True
        self.reset(end.link, Ending.BYTES_LIMIT)
        return False

    # ---------------------------------------------------------------- end of life

    def _ended(self, end: End) -> None:
        """End will send no more and all it sent was passed on: pass that on, too."""
        if end.is_ended:
            return
        end.is_ended, end.to = True, None
        if end.peer.is_ended:
            # the other side ended first, and had the answer it waited for
            first = Ending.CLIENT_CLOSED if end.to_client else Ending.UPSTREAM_CLOSED
            self._take_out(end.link)
            for sock in (end.link.client.sock, end.link.upstream.sock):
                sock.close()
            end.link.on_end(end.link, first)
            return
        try:
            end.peer.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._fail(end.peer)

    def _fail(self, end: End) -> None:
        self.reset(end.link, Ending.UPSTREAM_ERROR if end.to_client else Ending.CLIENT_ERROR)

    def reset(self, link: Link, reason: Ending) -> None:
        """End a link now: kernel buffers are discarded, both sides see a reset."""
        if not link.is_open:
            return
        self._take_out(link)
        wire.reset(link.client.sock)  # first: no answer of the old upstream can follow
        wire.reset(link.upstream.sock)
        link.on_end(link, reason)

    def _take_out(self, link: Link) -> None:
        link.is_open = False
        for end in (link.client, link.upstream):
            del self._table[end.fd]  # closing takes it out of the epoll set
            end.to = None
            if end.pending is not None and end.pending.pipe is not None:
                self.pipes.drop(end.pending.pipe)
            end.pending = None

    def close(self) -> None:
        """Close the epoll table and the pipes. Links and watches must be gone by now."""
        self._unfinished.clear()
        self.pipes.close()
        self._epoll.close()
