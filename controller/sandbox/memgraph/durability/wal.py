"""The write-ahead log: one record a transaction.

Promise: a record whose `append` returned is read back after a SIGKILL; after a power cut too when
the flush interval is 1. A torn last record is cut off at the next start, never half applied.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct(">II")  # length, crc32 of the payload


class Wal:
    """Appends to one segment at a time; `rotate` begins the next."""

    def __init__(self, directory: Path, flush_every_n_tx: int) -> None:
        self._directory = directory
        self._flush_every_n_tx = max(1, flush_every_n_tx)
        self._unflushed = 0
        self._file: int | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, payload: bytes) -> None:
        """Write a record; flush it to the disk by the policy of the flag."""
        if self._file is None:
            self._file = self._open_next()
        os.write(self._file, _HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
        self._unflushed += 1
        if self._unflushed >= self._flush_every_n_tx:
            self.flush()

    def flush(self) -> None:
        """Everything appended so far is on the disk afterwards."""
        if self._file is not None and self._unflushed:
            os.fdatasync(self._file)
        self._unflushed = 0

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

    def segments(self) -> list[Path]:
        return sorted(self._directory.glob("wal_*"))

    def read(self) -> Iterator[bytes]:
        """Every whole record, oldest first; cuts a torn tail off its segment."""
        for path in self.segments():
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
        number = int(existing[-1].name.removeprefix("wal_")) + 1 if existing else 0
        path = self._directory / f"wal_{number:08d}"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
