"""What tasks of a `kernel` wait for, by trio's names: sleeps, time limits, events, locks, channels.

Promise: each takes as many rounds as trio's own. What a newcomer gets wrong: a checkpoint gives way
first and looks for a cancellation after.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import trio

from . import kernel as room
from .kernel import Scope, Task, cancelled, is_cancelled, waits


def _nothing(task: Task) -> None:
    """Nobody has to be told."""


async def _cancelled() -> None:
    """Wait for the cancellation that is due."""
    await waits(_nothing)
    raise AssertionError("it was due")


async def checkpoint() -> None:
    """See trio."""
    await waits(None)
    kernel = room.running
    if kernel.cancelled and is_cancelled(kernel.task.scope):
        await _cancelled()


async def _checkpoint_if_cancelled() -> None:
    kernel = room.running
    if kernel.cancelled and is_cancelled(kernel.task.scope):
        await checkpoint()


def _disarm(task: Task) -> None:
    task.timer = 0


async def sleep_until(deadline_s: float) -> None:
    """See trio."""
    kernel = room.running
    if deadline_s <= kernel.now_s:
        await waits(None)
    else:
        task = kernel.task
        if deadline_s != inf:
            task.timer = kernel.call(deadline_s, task)
        await waits(_disarm)
    if kernel.cancelled and is_cancelled(kernel.task.scope):
        raise cancelled()


async def sleep(seconds: float) -> None:
    """See trio."""
    if seconds < 0:
        raise ValueError("duration must be non-negative")
    if seconds == 0:
        await checkpoint()
    else:
        await sleep_until(room.running.now_s + seconds)


async def sleep_forever() -> None:
    """See trio."""
    await waits(_nothing)


def move_on_at(deadline: float, *, shield: bool = False) -> Scope:
    """See trio."""
    return Scope(deadline, inf, shield)


def move_on_after(seconds: float, *, shield: bool = False) -> Scope:
    """See trio."""
    if seconds < 0:
        raise ValueError("timeout must be non-negative")
    return Scope(inf, seconds, shield)


@contextmanager
def fail_after(seconds: float, *, shield: bool = False) -> Iterator[Scope]:
    """See trio."""
    with move_on_after(seconds, shield=shield) as scope:
        yield scope
    if scope.cancelled_caught:
        raise trio.TooSlowError


def current_effective_deadline() -> float:
    """See trio."""
    scope, deadline_s = room.running.task.scope, inf
    if is_cancelled(scope):
        return -inf
    while scope is not None:
        deadline_s = min(deadline_s, scope._deadline)
        scope = None if scope._shield else scope.parent
    return deadline_s


class Event:
    """See trio."""

    __slots__ = ("_is_set", "_tasks")

    def __init__(self) -> None:
        self._is_set, self._tasks = False, set[Task]()

    def is_set(self) -> bool:
        """See trio."""
        return self._is_set

    def set(self) -> None:
        """See trio."""
        if not self._is_set:
            self._is_set = True
            for task in self._tasks:
                room.running.wake(task)
            self._tasks.clear()

    async def wait(self) -> None:
        """See trio."""
        if self._is_set:
            await checkpoint()
        else:
            self._tasks.add(room.running.task)
            await waits(self._tasks.remove)


class Lock:
    """See trio."""

    def __init__(self) -> None:
        self._owner: Task | None = None
        self._parked: dict[Task, None] = {}

    def locked(self) -> bool:
        """See trio."""
        return self._owner is not None

    async def __aenter__(self) -> None:
        await _checkpoint_if_cancelled()
        task = room.running.task
        assert self._owner is not task, "taken twice"
        if self._owner is None and not self._parked:
            self._owner = task
            await waits(None)
        else:
            self._parked[task] = None
            await waits(self._parked.pop)

    async def __aexit__(self, *_: object) -> None:
        assert self._owner is room.running.task, "not ours"
        self._owner = next(iter(self._parked), None)
        if self._owner is not None:
            del self._parked[self._owner]
            room.running.wake(self._owner)


class Channel:
    """Both ends of a memory channel that nobody closes."""

    def __init__(self, size_max: float) -> None:
        self._size_max, self._data = size_max, deque[Any]()
        self._receiving: dict[Task, None] = {}

    def send_nowait(self, value: Any) -> None:
        """See trio."""
        if self._receiving:
            task = next(iter(self._receiving))
            del self._receiving[task]
            room.running.wake(task, value)
        elif len(self._data) < self._size_max:
            self._data.append(value)
        else:
            raise trio.WouldBlock

    def receive_nowait(self) -> Any:
        """See trio."""
        if not self._data:
            raise trio.WouldBlock
        return self._data.popleft()

    async def receive(self) -> Any:
        """See trio."""
        await _checkpoint_if_cancelled()
        if self._data:
            value = self._data.popleft()
            await waits(None)
            return value
        self._receiving[room.running.task] = None
        return await waits(self._receiving.pop)


class open_memory_channel:  # noqa: N801  # the name that trio gives it
    """See trio."""

    def __class_getitem__(cls, kind: object) -> Callable[[float], tuple[Channel, Channel]]:
        return lambda size_max: (Channel(size_max),) * 2
