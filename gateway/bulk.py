"""Streams: one direction through a pipe, without a copy in this process (splice(2)).

Promise: a direction owns a pipe only while bytes are in it, a turn is bounded, and a flow that runs
thin goes back to plain reads. A pipe is empty when it returns to the pool, or it is dropped.
"""

from typing import TYPE_CHECKING

from gateway.link import BULK, End
from gateway.pending import Pending
from gateway.pipes import Pipe, PipePool

if TYPE_CHECKING:
    from gateway.mover import Mover

TURN_BYTES = 1 << 20  # of one end, before others have their turn
DRY, OVER = 0, -1  # no byte was read: not now, or never again


class Bulk:
    """Owned by the mover, which it comes back to with all that ends or blocks."""

    def __init__(self, mover: "Mover", pipes: PipePool) -> None:
        self._mover, self._pipes = mover, pipes

    def pull(self, end: End) -> None:
        """Move what end has received until it is dry, blocked, over, or had its turn."""
        mover = self._mover
        pipe = self._pipes.maybe_take()
        if pipe is None:
            self._leave(end)
            mover.turn_over(end)
            return
        moved_bytes = 0
        while moved_bytes < TURN_BYTES:
            filled_bytes = self._fill(end, pipe)
            if filled_bytes <= 0:
                if filled_bytes == DRY and moved_bytes < mover.bulk_bytes_min:
                    self._leave(end)
                return
            moved_bytes += filled_bytes
            if not self._drain(end, pipe, filled_bytes):
                return
        self._pipes.give(pipe)
        mover.turn_over(end)

    def _fill(self, end: End, pipe: Pipe) -> int:
        """Bytes that went into the empty pipe; DRY or OVER when none (the pipe is given back)."""
        try:
            filled_bytes = pipe.fill(end.fd, self._pipes.pipe_bytes)
        except OSError:
            self._pipes.give(pipe)
            self._mover.fail(end)
            return OVER
        if filled_bytes:
            return filled_bytes
        self._pipes.give(pipe)
        if filled_bytes is None:
            return DRY
        self._mover.ended(end)
        return OVER

    def _drain(self, end: End, pipe: Pipe, left_bytes: int) -> bool:
        """Whether the pipe is empty again and still ours."""
        pending = Pending(None, pipe, left_bytes)
        if self._mover.write(end.peer, pending):
            return True
        if end.link.is_open:
            self._mover.block(end, pending)
        else:
            self._pipes.drop(pipe)  # bytes of a dead link must not meet another
        return False

    def _leave(self, end: End) -> None:
        end.flags &= ~BULK
        end.settle()
