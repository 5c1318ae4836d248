"""The lock over the replication state, and the turn of system queries.

Promise: whoever changes role or registrations only *tries* (MEMGRAPH fact 7): a commit in progress
makes the try fail. A REGISTER in progress makes commits, transactions and SHOW queries wait (L9).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from controller.sandbox.memgraph.failures import STORAGE_LOCKED, TransientFailure

SYSTEM_QUERY_WAIT_S = 0.1  # Memgraph's own


class RoleLock:
    """Shared by commits, exclusive to role changes."""

    def __init__(self) -> None:
        self._holders = 0
        self._exclusive = False
        self._freed = trio.Event()

    @property
    def is_busy(self) -> bool:
        return self._exclusive or self._holders > 0

    async def wait_free(self) -> None:
        """Return when nobody holds it exclusively; what follows must not await before acting."""
        while self._exclusive:
            await self._freed.wait()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it as one of many; to be entered right after `wait_free`."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold it alone; to be entered right after looking at `is_busy`."""
        self._exclusive = True
        try:
            yield
        finally:
            self._exclusive = False
            self._freed.set()
            self._freed = trio.Event()


class StorageAccess:
    """Transactions share the storage; loading a main's snapshot has it alone."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._freed: trio.Event | None = None

    async def wait_shared(self) -> None:
        """Return when nobody has it alone.

        Raises:
            TransientFailure: not within the access timeout.
        """
        if self._freed is None:
            return
        with trio.move_on_after(self._timeout_s):
            await self._freed.wait()
            return
        raise TransientFailure(STORAGE_LOCKED)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep new transactions waiting; open ones go on reading what they read."""
        freed = self._freed = trio.Event()
        try:
            yield
        finally:
            self._freed = None
            freed.set()


class SystemTurn:
    """One system query at a time, from RUN to the end of its result."""

    def __init__(self) -> None:
        self._owner: object | None = None
        self._freed = trio.Event()

    async def take(self, owner: object) -> bool:
        """True when it is the owner's turn now; False after waiting in vain."""
        with trio.move_on_after(SYSTEM_QUERY_WAIT_S):
            while self._owner is not None and self._owner is not owner:
                await self._freed.wait()
        if self._owner is not None and self._owner is not owner:
            return False
        self._owner = owner
        return True

    def release(self, owner: object) -> None:
        if self._owner is owner:
            self._owner = None
            self._freed.set()
            self._freed = trio.Event()
