"""The replication state on disk: role, main UUID, port, registrations (MEMGRAPH 1.7).

Promise: `save` returns after the state is on the disk; `load` gives it back, registrations by name.
With `--replication-restore-state-on-startup=false` nothing is read and nothing is written.
"""

import errno
import fcntl
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs

from controller.sandbox.memgraph.durability.snapshots import write_atomically


@attrs.frozen
class Registration:
    """One REGISTER REPLICA, as it was given."""

    name: str
    host: str
    port: int
    mode: str  # sync, async, strict_sync
    check_frequency_s: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@attrs.frozen
class ReplicationState:
    """What a restart finds again."""

    role: str  # main, replica
    main_uuid: str  # as main: one's own; as replica: whom to listen to
    port: int | None
    registrations: tuple[Registration, ...] = ()


def fresh_state() -> ReplicationState:
    """A new instance: MAIN, writable, nobody registered."""
    return ReplicationState("main", str(uuid.uuid4()), None)


class StateFile:
    """`<data-directory>/replication/state.json`."""

    def __init__(
        self, data_directory: Path, enabled: bool, is_disk_full: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_disk_full = is_disk_full
        self._path = data_directory / "replication" / "state.json"
        self._enabled = enabled

    def load(self) -> ReplicationState:
        if not self._enabled or not self._path.exists():
            return fresh_state()
        raw = json.loads(self._path.read_bytes())
        registrations = tuple(
            sorted((Registration(**r) for r in raw.pop("registrations")), key=lambda r: r.name)
        )
        return ReplicationState(**raw, registrations=registrations)

    def save(self, state: ReplicationState) -> None:
        """The state is on the disk afterwards.

        Raises:
            OSError: the disk did not take it; the caller's change must not happen.
        """
        if not self._enabled:
            return
        if self._is_disk_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, (json.dumps(attrs.asdict(state)).encode(),))


class DirectoryBusy(Exception):
    """Another process holds the data directory."""


def lock_directory(directory: Path) -> int:
    """Hold the data directory until the process ends; returns the open file to keep.

    Raises:
        DirectoryBusy: another process holds it; the caller may try again.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        os.close(file)
        raise DirectoryBusy(f"{directory} is used by another process") from problem
    return file
