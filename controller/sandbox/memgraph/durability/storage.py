"""The default database of one instance: graph, timestamps, epoch, log and snapshots together.

Promise: plain functions that leave a consistent state between any two calls; what `install`
returned from survives SIGKILL. Nothing here knows roles or replicas.
The one thing a newcomer gets wrong: a new epoch lives in memory until a commit or a snapshot
carries it to the disk (MEMGRAPH 3.5, "epoch is lost on a crash").
"""

from __future__ import annotations

import errno
import os
import signal
import uuid
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import attrs

from controller.sandbox.memgraph.durability import history as epochs
from controller.sandbox.memgraph.durability.commits import Commit, decode_commit
from controller.sandbox.memgraph.durability.fatal import abort, die
from controller.sandbox.memgraph.durability.snapshots import (
    History,
    SnapshotDirectory,
    SnapshotHead,
    load_in_steps,
    load_snapshot,
    snapshot_bytes,
    write_atomically,
)
from controller.sandbox.memgraph.durability.wal import Wal
from controller.sandbox.memgraph.failures import Failure
from controller.sandbox.memgraph.graph.changes import replay
from controller.sandbox.memgraph.graph.store import GraphStore
from controller.sandbox.memgraph.graph.transaction import Transaction

TAIL_BYTES_MAX = 8 * 1024 * 1024  # recent commits kept for replicas; older ones need a snapshot


@attrs.frozen
class StorageOptions:
    """The flags that concern the storage."""

    directory: Path
    flush_every_n_tx: int
    snapshot_retention: int
    recover: bool
    log_enabled: bool = True


class CannotRecover(Exception):
    """The directory holds data that cannot be read back; the real process aborts here."""


class Storage:
    """Owned by the instance; every method is synchronous."""

    def __init__(
        self, options: StorageOptions, is_disk_full: Callable[[], bool] = lambda: False
    ) -> None:
        self.options = options
        self.mode = "IN_MEMORY_TRANSACTIONAL"  # STORAGE MODE; a restart forgets it
        self._is_disk_full = is_disk_full
        self.graph = GraphStore()
        self.epoch = str(uuid.uuid4())
        self.history: History = ()
        self.ldt = 0
        self.counter = 0
        self.prepared: tuple[Commit, Transaction, bytes] | None = None
        self._tail: deque[tuple[int, int, bytes]] = deque()
        self._tail_bytes = 0
        self._snapshotted: tuple[int, str, History] | None = None
        if not options.recover:
            self._set_aside()
        self._wal = Wal(options.directory / "wal", options.flush_every_n_tx, is_disk_full)
        self.snapshots = SnapshotDirectory(
            options.directory / "snapshots", options.snapshot_retention
        )
        try:
            self._recover()
        except (ValueError, LookupError, TypeError, Failure) as problem:
            raise CannotRecover(str(problem)) from problem
        self.counter += 1  # restoring triggers takes a timestamp (MEMGRAPH 8)
        self.uuid = self._read_uuid()

    @property
    def replicates(self) -> bool:
        """True when commits go to the log and to replicas; else they silently do not."""
        return self.options.log_enabled and self.mode == "IN_MEMORY_TRANSACTIONAL"

    # -- timestamps and transactions ------------------------------------------------------------

    def take_ts(self) -> int:
        taken = self.counter
        self.counter += 1
        return taken

    def begin(self) -> Transaction:
        """A transaction that sees every commit so far. A replica's own counter runs behind the
        timestamps of its main's commits."""
        return Transaction(self.graph, max(self.take_ts(), self.ldt))

    def next_commit(self, transaction: Transaction) -> Commit:
        """The commit this transaction would be; nothing is changed but the counter."""
        return Commit(self.take_ts(), self.ldt, self.epoch, transaction.changes)

    def install(self, transaction: Transaction, commit: Commit, payload: bytes) -> None:
        """Log a commit, then make it visible."""
        if self.replicates:
            self._wal.append(payload)
        self.graph.install(transaction, commit.ts)
        self.ldt = commit.ts
        self._remember(commit, payload)
        transaction.close()

    # -- as a replica ---------------------------------------------------------------------------

    def apply(self, commit: Commit, payload: bytes) -> None:
        """Apply a main's commit at once; one that is already here is skipped."""
        if commit.ts > self.ldt:
            self.prepare(commit, payload)
            self.finalize(commit.ts)

    def prepare(self, commit: Commit, payload: bytes) -> None:
        """Hold a main's commit open until `finalize` or `abort_prepared`."""
        self.abort_prepared()
        if commit.epoch != self.epoch:
            self.history = epochs.with_latest(self.history, self.epoch, self.ldt)
            self.epoch = commit.epoch
        transaction = self.begin()
        self.counter += 1
        with ExitStack() as undoing:
            # what a commit holds that cannot be replayed would refuse the next attempt for ever
            undoing.callback(transaction.close)
            replay(transaction, commit.changes)
            undoing.pop_all()
        self.prepared = (commit, transaction, payload)

    def finalize(self, ts: int) -> bool:
        """Commit what was prepared under `ts`; False when there is no such thing."""
        if self.prepared is None or self.prepared[0].ts != ts:
            return False
        commit, transaction, payload = self.prepared
        self.prepared = None
        self.install(transaction, commit, payload)
        return True

    def abort_prepared(self) -> None:
        if self.prepared is not None:
            self.prepared[1].close()
            self.prepared = None

    def replace(self, data: bytes) -> None:
        """Become what a main's snapshot says, on the disk too.

        Raises:
            ValueError: the snapshot is broken; nothing has changed.
        """
        for _ in self.replace_in_steps(data):
            pass

    def replace_in_steps(self, data: bytes) -> Generator[None, None, None]:
        """The same, step by step; nothing has changed before the last one."""
        fresh = GraphStore()
        head = yield from load_in_steps(data, fresh)
        self.abort_prepared()
        self.graph = fresh
        self.ldt, self.epoch, self.history = head.ldt, head.epoch, head.history
        self.counter = max(self.counter, head.ldt + 1)
        self._tail.clear()
        self._tail_bytes = 0
        self.snapshots.clear()
        self._wal.rotate(keep=0)
        self.snapshots.write(data, head.ldt)

    # -- as a main ------------------------------------------------------------------------------

    def end_epoch(self) -> None:
        """Promotion: the old epoch goes to the history, a random one begins, in memory only."""
        self.abort_prepared()
        self.history = epochs.with_latest(self.history, self.epoch, self.ldt)
        self.epoch = str(uuid.uuid4())
        self.counter = max(self.counter, self.ldt + 1)

    def commits_after(self, ldt: int) -> list[bytes] | None:
        """The commits that lead from `ldt` to now; None when they are not at hand any more."""
        later = [(previous, payload) for ts, previous, payload in self._tail if ts > ldt]
        if not later:
            return [] if ldt >= self.ldt else None
        return [payload for _, payload in later] if later[0][0] <= ldt else None

    def snapshot_data(self) -> bytes:
        return snapshot_bytes(SnapshotHead(self.ldt, self.epoch, self.history), self.graph)

    def create_snapshot(self) -> Path:
        """Write a storage snapshot, forced even if nothing is new; a full disk ends the process."""
        try:
            if self._is_disk_full():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            path = self.snapshots.write(self.snapshot_data(), self.ldt)
        except OSError as problem:
            abort(f"while trying to write a snapshot an error occurred: {problem}")
        self._wal.rotate(keep=self.options.snapshot_retention)
        self._snapshotted = (self.ldt, self.epoch, self.history)
        return path

    def maybe_create_snapshot(self) -> None:
        """Write a storage snapshot unless the last one of this process says the same."""
        if self._snapshotted != (self.ldt, self.epoch, self.history):
            self.create_snapshot()

    def adopt_uuid(self, storage_uuid: str) -> None:
        """Belong to another cluster's data from now on (MEMGRAPH L17)."""
        if storage_uuid != self.uuid:
            self.uuid = storage_uuid
            self._write_uuid()

    def lose_power(self, torn: bool) -> None:
        """A power cut: what was not flushed is lost, and the process with it."""
        self._wal.lose_unflushed(torn=torn)
        die(signal.SIGKILL)

    def close(self) -> None:
        self._wal.close()

    # -- starting -------------------------------------------------------------------------------

    def _recover(self) -> None:
        loaded = self._load_newest_snapshot()
        if not loaded and self._wal.first_number():
            raise ValueError(
                "There are missing prefix WAL files and data can't be recovered without them!"
            )
        for payload in self._wal.read():
            commit = decode_commit(payload)
            if commit.ts <= self.ldt:
                continue
            if commit.epoch != self.epoch:
                if loaded:
                    self.history = epochs.with_latest(self.history, self.epoch, self.ldt)
                self.epoch = commit.epoch
            transaction = Transaction(self.graph, commit.ts)
            replay(transaction, commit.changes)
            self.graph.install(transaction, commit.ts)
            transaction.close()
            self.ldt = commit.ts
            self._remember(commit, payload)
            loaded = True
        if loaded:
            self.history = epochs.with_latest(self.history, self.epoch, self.ldt)
            self.counter = self.ldt + 1

    def _load_newest_snapshot(self) -> bool:
        for path in reversed(self.snapshots.paths()):
            fresh = GraphStore()
            try:
                head = load_snapshot(path.read_bytes(), fresh)
            except (ValueError, KeyError):
                continue
            self.graph = fresh
            self.ldt, self.epoch, self.history = head.ldt, head.epoch, head.history
            return True
        if self.snapshots.paths():
            raise ValueError(
                "The database is configured to recover on startup, but couldn't recover using any "
                "of the specified snapshots! Please inspect them and restart the database."
            )
        return False

    def _remember(self, commit: Commit, payload: bytes) -> None:
        self._tail.append((commit.ts, commit.previous_ts, payload))
        self._tail_bytes += len(payload)
        while self._tail_bytes > TAIL_BYTES_MAX:
            self._tail_bytes -= len(self._tail.popleft()[2])

    def _set_aside(self) -> None:
        for name in ("wal", "snapshots"):
            directory = self.options.directory / name
            backup = directory / ".backup"
            if directory.exists():
                backup.mkdir(exist_ok=True)
                for path in directory.glob("[!.]*"):
                    path.rename(backup / path.name)

    def _read_uuid(self) -> str:
        path = self.options.directory / "storage_uuid"
        if path.exists():
            return path.read_text().strip()
        self.uuid = str(uuid.uuid4())
        self._write_uuid()
        return self.uuid

    def _write_uuid(self) -> None:
        write_atomically(self.options.directory / "storage_uuid", (self.uuid.encode(),))
