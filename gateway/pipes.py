"""Pipes for splice(2), pooled: a pipe is owned by a direction only while bytes are in it.

A pipe that still holds bytes must never return to the pool: the next flow would deliver them to
a stranger. Such a pipe is dropped.
"""

import contextlib
import fcntl
import os

import attrs

PIPE_BYTES = 1 << 20  # what a user without privileges may have; measured: a fifth less CPU than
SMALL_BYTES = 1 << 18  # this size, which all but the first LARGE_MAX get: a user's pages are few
PIPE_BYTES_MIN = 4096  # one page; the kernel gives no less
LARGE_MAX = 16
POOL_MAX = 64  # pipes kept open for later; more only while more flows are blocked
SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


@attrs.frozen
class Pipe:
    """Both descriptors of one pipe, non-blocking."""

    read_fd: int
    write_fd: int

    def fill(self, fd: int, most_bytes: int) -> int | None:
        """Take what a socket has received; 0 at its end, None when nothing is there.

        Raises:
          OSError: the socket broke.
        """
        try:
            return os.splice(fd, self.write_fd, most_bytes, flags=SPLICE)
        except BlockingIOError:
            return None


class PipePool:
    """Hands out empty pipes.

    Attributes:
      pipe_bytes: what one may hold; a power of two. To be set before the first is taken.
    """

    def __init__(self) -> None:
        self._free: list[Pipe] = []
        self.open_count = 0
        self.pipe_bytes = PIPE_BYTES

    def maybe_take(self) -> Pipe | None:
        """An empty pipe, or None when the process is out of descriptors."""
        if self._free:
            return self._free.pop()
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return None  # EMFILE, ENFILE: the flow goes on by recv and send, slower but whole
        self.open_count += 1
        with contextlib.suppress(OSError):
            # refused above fs.pipe-user-pages-soft: a smaller pipe is still correct
            most = PIPE_BYTES if self.open_count <= LARGE_MAX else SMALL_BYTES
            fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, min(self.pipe_bytes, most))
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take back an *empty* pipe."""
        if len(self._free) < POOL_MAX:
            self._free.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe and discard what is in it."""
        os.close(pipe.read_fd)
        os.close(pipe.write_fd)
        self.open_count -= 1

    def close(self) -> None:
        """Close every pooled pipe."""
        while self._free:
            self.drop(self._free.pop())
