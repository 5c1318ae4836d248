"""Processes inside of one trio run: which task is whose, and how one is frozen at any await.

Promise: while an actor is frozen none of its tasks takes a step, whatever wakes it; thawed, all
that was due happens at once, also what its passed deadlines ask for, as after SIGCONT.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest import mock

import trio
from trio._core import _run as trio_run

from . import kernel

_actor: ContextVar[str] = ContextVar("actor", default="")
CATCHING_UP_S = 0.1  # what waited in sockets and queues is worked off by then


def current_actor() -> str:
    """Whose task runs now; "" for the world's own."""
    return _actor.get()


def become_actor(name: str) -> None:
    """This task, and every task started from it from now on, is `name`'s."""
    _actor.set(name)


class Freezer:
    """Owned by the world; `installed` while its trio run lasts."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[trio.lowlevel.Task, Any]]] = {}
        self._thawed = trio.Event()
        self._is_over = False
        self._thawed_at_s: dict[str, float] = {}

    def catches_up(self, actor: str) -> bool:
        """Whether it works off what came while it was held."""
        since_s = trio.current_time() - self._thawed_at_s.get(actor, float("-inf"))
        return since_s < CATCHING_UP_S

    def is_frozen(self, actor: str) -> bool:
        """Whether its tasks are held."""
        return actor in self._held

    def freeze(self, actor: str) -> None:
        """From now on no step; a task that was about to run makes that one yet."""
        if not self._is_over:
            self._held.setdefault(actor, [])

    def thaw(self, actor: str) -> None:
        """All that was due may run."""
        self._thawed_at_s[actor] = trio.current_time()
        for task, value in self._held.pop(actor, []):
            trio.lowlevel.reschedule(task, value)
        self._thawed.set()
        self._thawed = trio.Event()

    def end(self) -> None:
        """Everybody runs from now on: a run whose tasks are held can never end."""
        self._is_over = True
        for actor in list(self._held):
            self.thaw(actor)

    async def wait_thawed(self, actor: str) -> None:
        """Until it is not frozen: for tasks of others that pass through it."""
        while actor in self._held:
            await self._thawed.wait()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Between tasks and their run queue."""
        if kernel.running is not None:
            kernel.running.held, kernel.running.hold = self._held, self._hold
            yield
            return
        plain = trio_run.Runner.reschedule

        def hold(runner: Any, task: Any, next_send: Any = trio_run._NO_SEND) -> None:
            if self._held and self._hold(task, next_send):
                task._abort_func = None  # it is awake; a cancellation waits like the rest
            else:
                plain(runner, task, next_send)

        with mock.patch.object(trio_run.Runner, "reschedule", hold):
            yield

    def _hold(self, task: Any, value: Any = None) -> bool:
        held = self._held.get(task.context.get(_actor, ""))
        if held is None:
            return False
        held.append((task, value))
        return True
