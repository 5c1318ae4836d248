"""The careful half of relaying: what one read and one write do not settle.

Promise: what one end sent arrives at the other in order and whole, or both ends are reset; memory
is bounded by one read or one pipe for each direction; no byte goes to a client at or after its
gateway's fence. The pump comes here with blocked writers, half-closes and the ends; `bulk` carries
what is worth a pipe.

What a newcomer gets wrong: any call here may end the link. Look at `is_open` after, never before.
"""

import os
import select
import socket
import sys
from collections import deque
from collections.abc import Callable

from gateway.bulk import Bulk
from gateway.link import ARMED, BULK, ENDED, JOINED, LEFT, METERED, MORE, End, Link
from gateway.pending import Pending
from gateway.pipes import PIPE_BYTES_MIN, PipePool
from gateway.reasons import Ending

READ_BYTES = 32768  # of one read of an end that has had more than SMALL_BYTES to say at once
BULK_BYTES_MIN = 16384  # one read of that much goes to a pipe; less in a turn, back again
TURN_ROUNDS = 4  # reads of one end before others have their turn
SHUT_WR = int(socket.SHUT_WR)  # an IntEnum costs a Python call
OUT, ERR = select.EPOLLOUT, select.EPOLLERR
LAST = select.EPOLLRDHUP | select.EPOLLHUP
READABLE = select.EPOLLIN | LAST
CLIENT_CLOSED, UPSTREAM_CLOSED = Ending.CLIENT_CLOSED, Ending.UPSTREAM_CLOSED


class Mover:
    """Owned by one pump.

    Args:
      clock: monotonic seconds, compared with the fences.
      arm: asks for EPOLLOUT of a descriptor, besides what is watched for already.
      reset: ends a link now (the pump's `reset`).
      finish: closes both sockets of a link in order (the pump's `finish`).
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        arm: Callable[[End], None],
        reset: Callable[[Link, Ending], None],
        finish: Callable[[Link, Ending], None],
    ) -> None:
        self._clock, self._arm, self._reset, self._finish = clock, arm, reset, finish
        self.unfinished: deque[End] = deque()
        self.pipes = PipePool()
        self._bulk = Bulk(self, self.pipes)
        self.read_bytes, self.bulk_bytes_min = READ_BYTES, BULK_BYTES_MIN

    def bound(self, buffer_bytes: int) -> None:
        """Hold no more than this of one direction; to be called before the first link is joined.
        Rounded down to a power of two, as pipes are."""
        size = 1 << max(buffer_bytes, PIPE_BYTES_MIN).bit_length() - 1
        self.pipes.pipe_bytes = size
        self.read_bytes, self.bulk_bytes_min = min(READ_BYTES, size), min(BULK_BYTES_MIN, size)

    # ---------------------------------------------------------------- what the pump hands over

    def resume(self) -> None:
        """Go on with those whose turn was over: their edge is spent."""
        for _ in range(len(self.unfinished)):
            end = self.unfinished.popleft()
            if not end.link.is_open or not end.flags & MORE:
                continue
            if end.flags & JOINED:
                self.pull(end)
            else:
                end.on_event(select.EPOLLIN)  # relayed by somebody else, see gateway.secure

    def on_event(self, end: End, event: int) -> None:
        """Any event of a joined end."""
        if event & ERR:
            self.fail(end)
            return
        if event & OUT and end.pending is not None:
            self._flush(end, end.pending)
        if event & READABLE and end.link.is_open and not end.flags & ENDED:
            if event & LAST:
                end.flags |= LEFT
            self.pull(end)

    def on_large(self, end: End, size_bytes: int, *, is_last: bool) -> None:
        """A read brought SMALL_BYTES or more: the next ones may bring more, or go to a pipe."""
        is_dry = size_bytes < end.read_bytes and not is_last
        end.read_bytes = self.read_bytes
        if size_bytes >= self.bulk_bytes_min:
            end.flags |= BULK
            end.settle()
        if not is_dry:
            self.pull(end)

    def pull(self, end: End) -> None:
        """Move what end has received until it is dry, blocked, over, or had its turn."""
        if end.peer.pending is not None:
            end.flags |= MORE  # _flush comes back to it
            return
        end.flags &= ~MORE
        if end.flags & ENDED:
            return
        if end.flags & BULK:
            self._bulk.pull(end)
        else:
            self._copy(end)

    def block(self, end: End, pending: Pending) -> None:
        """End's peer takes no more: keep the rest, and wait for EPOLLOUT."""
        peer = end.peer
        peer.pending = pending
        end.flags |= MORE
        end.to = peer.to = None
        if not peer.flags & ARMED:
            peer.flags |= ARMED
            self._arm(peer)  # edge-triggered: reports at once if it is writable by now

    def fail(self, end: End) -> None:
        """End's socket broke."""
        reason = Ending.UPSTREAM_ERROR if end.is_upstream else Ending.CLIENT_ERROR
        self._reset(end.link, reason)

    # ---------------------------------------------------------------- reading

    def _copy(self, end: End) -> None:
        for _ in range(TURN_ROUNDS):
            data = self._recv(end)
            if data is None or not self._send(end, data):
                return
            if len(data) < self.read_bytes and not end.flags & LEFT:
                return  # drained: what comes later has an edge of its own
            if len(data) >= self.bulk_bytes_min:
                end.flags |= BULK
                end.settle()
                break
        self.turn_over(end)

    def _recv(self, end: End) -> bytes | None:
        """None when nothing is there: dry, ended, or failed, and that is dealt with."""
        try:
            data = os.read(end.fd, self.read_bytes)
        except BlockingIOError:
            return None
        except OSError:
            self.fail(end)
            return None
        if data:
            return data
        self.ended(end)
        return None

    def _send(self, end: End, data: bytes) -> bool:
        """Whether all of it went to end's peer and the link lives on."""
        if self._is_fenced(end):
            return False
        try:
            sent_bytes = os.write(end.peer.fd, data)
        except BlockingIOError:
            sent_bytes = 0
        except OSError:
            self.fail(end.peer)
            return False
        if not self._delivered(end, sent_bytes):
            return False
        if sent_bytes < len(data):
            self.block(end, Pending(memoryview(data)[sent_bytes:], None, 0))
            return False
        return True

    def _is_fenced(self, end: End) -> bool:
        """Whether the fence was due; then the link is over."""
        fence = end.fence
        if fence is None or self._clock() < fence.at_s:
            return False
        fence.on_due()
        return True

    def turn_over(self, end: End) -> None:
        """Others first; `resume` comes back to it."""
        end.flags |= MORE
        self.unfinished.append(end)

    # ---------------------------------------------------------------- writing

    def _flush(self, end: End, pending: Pending) -> None:
        """Write what is pending towards end; when all went, read on at its peer."""
        if not self.write(end, pending):
            return
        end.pending = None
        if pending.pipe is not None:
            self.pipes.give(pending.pipe)
        end.settle()
        end.peer.settle()
        if end.peer.flags & MORE:
            self.pull(end.peer)

    def write(self, end: End, pending: Pending) -> bool:
        """Whether all of it went. False: end is blocked, or the link is over (look at it)."""
        source = end.peer
        try:
            while pending.is_left:
                if self._is_fenced(source):
                    return False
                if not self._delivered(source, pending.write_some(end.fd)):
                    return False
        except BlockingIOError:
            return False
        except OSError:
            self.fail(end)
            return False
        return True

    def _delivered(self, end: End, sent_bytes: int) -> bool:
        """Count; False when the link has had all that it may have, and is over."""
        link = end.link
        end.delivered_bytes += sent_bytes
        link.last = end
        if not end.flags & METERED:
            return True
        if link.delivered_bytes <= (link.owner.session_bytes_max or sys.maxsize):
            return True
        self._reset(link, Ending.BYTES_LIMIT)
        return False

    # ---------------------------------------------------------------- the end of a direction

    def ended(self, end: End) -> None:
        """End will send no more and all it sent was passed on: pass that on, too."""
        if end.flags & ENDED:
            return
        end.flags |= ENDED
        end.to = None
        if end.peer.flags & ENDED:
            # the other side ended first, and had the answer it waited for
            first = CLIENT_CLOSED if end.is_upstream else UPSTREAM_CLOSED
            self._finish(end.link, first)
            return
        try:
            end.peer.sock.shutdown(SHUT_WR)
        except OSError:
            self.fail(end.peer)

    def drop_pending(self, end: End) -> None:
        """Forget what was to be written to end."""
        if end.pending is not None and end.pending.pipe is not None:
            self.pipes.drop(end.pending.pipe)
        end.pending = None

    def close(self) -> None:
        """Close the pipes. Links must be gone by now."""
        self.unfinished.clear()
        self.pipes.close()
