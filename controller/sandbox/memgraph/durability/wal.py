"""The write-ahead log: one record a transaction.

Promise: a record whose `append` returned is read back after a SIGKILL, because Memgraph hands its
buffer to the system after each commit; after a power cut too when the flush interval is 1. A torn
last record is cut off at the next start, never half applied. A disk that does not take a record
ends the process, as Memgraph asserts: it could not know what is on it.
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from controller.sandbox.memgraph.durability.fatal import abort

_HEADER = struct.Struct(">II")  # length, crc32 of the payload


class Wal:
    """Appends to one segment at a time; `rotate` begins the next."""

    def __init__(
        self,
        directory: Path,
        flush_every_n_tx: int,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._is_full = is_full
        self._written_bytes = 0  # of the open segment
        self._flushed_bytes = 0
        self._flush_every_n_tx = max(1, flush_every_n_tx)
        self._unflushed = 0
        self._file: int | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, payload: bytes) -> None:
        """Write a record; flush it to the disk by the policy of the flag."""
        record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            if self._is_full():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._file is None:
                self._file = self._open_next()
            if os.write(self._file, record) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as problem:
            abort(f"while trying to write to {self._directory} an error occurred: {problem}")
        self._written_bytes += len(record)
        self._unflushed += 1
        if self._unflushed >= self._flush_every_n_tx:
            self.flush()

    def flush(self) -> None:
        """Everything appended so far is on the disk afterwards."""
        if self._file is not None and self._unflushed:
            os.fdatasync(self._file)
        self._unflushed = 0
        self._flushed_bytes = self._written_bytes

    def lose_unflushed(self, *, torn: bool) -> None:
        """The file as after a power cut: without what was not flushed, or with half a record of it.

        Records of earlier processes count as flushed, though a system may not have written them.
        """
        if self._file is not None:
            lost = self._written_bytes - self._flushed_bytes
            kept = min(lost, _HEADER.size + 1) if torn else 0
            os.ftruncate(self._file, self._flushed_bytes + kept)

    def rotate(self, keep: int) -> None:
        """Close the segment; only the last `keep` closed ones stay."""
        self.close()
        for path in self.segments()[: -keep or None]:
            path.unlink()

    def close(self) -> None:
        if self._file is not None:
            self.flush()
            os.close(self._file)
            self._file = None
        self._written_bytes = self._flushed_bytes = 0

    def segments(self) -> list[Path]:
        return sorted(self._directory.glob("wal_*"))

    def first_number(self) -> int | None:
        """The number of the oldest segment; None without any."""
        segments = self.segments()
        return _number(segments[0]) if segments else None

    def read(self) -> Iterator[bytes]:
        """Every whole record, oldest first; cuts a torn tail off its segment.

        Raises:
            ValueError: a segment between two others is missing.
        """
        expected: int | None = None
        for path in self.segments():
            if expected is not None and _number(path) != expected:
                raise ValueError(f"You are missing a WAL file with the sequence number {expected}!")
            expected = _number(path) + 1
            data = path.read_bytes()
            at = 0
            while at + _HEADER.size <= len(data):
                length, checksum = _HEADER.unpack_from(data, at)
                payload = data[at + _HEADER.size : at + _HEADER.size + length]
                if len(payload) < length or zlib.crc32(payload) != checksum:
                    break
                yield payload
                at += _HEADER.size + length
            if at < len(data):
                os.truncate(path, at)

    def _open_next(self) -> int:
        existing = self.segments()
        number = _number(existing[-1]) + 1 if existing else 0
        path = self._directory / f"wal_{number:08d}"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("wal_"))
