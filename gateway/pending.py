"""Bytes that were read and that the other socket did not take yet.

What a newcomer gets wrong: they are on their way *to* the end that holds them, and while they are
there nothing more is read from its peer: that is what bounds the memory of a session.
"""

import os

from gateway.pipes import SPLICE, Pipe


class Pending:
    """In memory (`data`), or `left_bytes` in a pipe."""

    __slots__ = ("data", "left_bytes", "pipe")

    def __init__(self, data: memoryview | None, pipe: Pipe | None, left_bytes: int) -> None:
        self.data = data
        self.pipe = pipe
        self.left_bytes = left_bytes

    @property
    def is_left(self) -> bool:
        """Whether there is something yet."""
        return bool(self.data or self.left_bytes)

    def write_some(self, fd: int) -> int:
        """Write once; returns how many bytes went.

        Raises:
          BlockingIOError: the socket takes nothing now. OSError: it broke.
        """
        if self.data is not None:
            sent_bytes = os.write(fd, self.data)
            self.data = self.data[sent_bytes:]
            return sent_bytes
        assert self.pipe is not None
        sent_bytes = os.splice(self.pipe.read_fd, fd, self.left_bytes, flags=SPLICE)
        self.left_bytes -= sent_bytes
        return sent_bytes
