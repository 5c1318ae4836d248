"""A scheduler for virtual time: what trio does, without what only real time and real sockets need.

Promise: the same tasks run in the same order as under trio itself with its deterministic scheduling
and the same dice, round by round; `test_simulation_kernel.py` runs the same seeds on both and
compares their histories line by line. What a newcomer gets wrong: a task is cancelled only where it
waits, and a round that yields nothing is a round all the same.
"""

import itertools
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from math import inf
from random import Random
from types import coroutine
from typing import Any

import trio

from .clock import NobodyEverRuns

NEVER = object()  # yielded by who cannot be cancelled while it waits


class Task:
    """One coroutine and how it is woken; a context manager around its whole life."""

    __slots__ = ("abort", "context", "error", "number", "nurseries", "nursery", "scope")
    __slots__ += ("send", "throw", "timer", "value")

    def __init__(
        self, number: int, coro: Coroutine[Any, Any, Any], context: Context, nursery: Any
    ) -> None:
        self.number, self.context, self.nursery = number, context, nursery
        life = self._live(coro)
        self.send, self.throw = life.send, life.throw
        self.scope: Scope | None = nursery.cancel_scope if nursery else None  # the innermost
        self.nurseries: list[Any] = []  # that it has opened, outer ones first
        self.abort: Callable[[Task], object] | None = None  # undoes what it waits for
        self.timer = 0
        self.value: Any = None
        self.error: BaseException | None = None

    async def _live(self, coro: Coroutine[Any, Any, Any]) -> None:
        with self:
            await coro

    def __enter__(self) -> None:
        """It begins."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        """It ends; an error is its nursery's from now on."""
        if running is None:
            return False  # the whole run was given up before
        running.living -= 1
        if self.nursery is None:
            self.error = error
        else:
            self.nursery.child_finished(self, error)
        return True

    def fire(self) -> None:
        """It has slept enough."""
        running.wake(self)


def is_over(left: BaseException | None, error: BaseException | None) -> bool:
    """What a block's `__exit__` answers when `left` is what remains of `error`. Raises `left` where
    it is another one."""
    if left is error:
        return left is None
    if left is None:
        return True
    try:
        raise left
    finally:
        del left, error


class Scope:
    """`trio.CancelScope`."""

    __slots__ = ("_deadline", "_relative_s", "_shield", "cancelled_caught", "is_cancelled")
    __slots__ += ("is_open", "parent", "task", "timer")

    def __init__(
        self, deadline: float = inf, relative_deadline: float = inf, shield: bool = False
    ) -> None:
        self._deadline, self._relative_s, self._shield = deadline, relative_deadline, shield
        self.is_cancelled = self.is_open = self.cancelled_caught = False
        self.parent: Scope | None = None
        self.timer = 0

    def __enter__(self) -> "Scope":
        kernel = running
        task = self.task = kernel.task
        self.parent, task.scope, self.is_open = task.scope, self, True
        if self._relative_s != inf:
            self._deadline = kernel.now_s + self._relative_s
        if self.is_cancelled:
            kernel.cancelled += 1
        elif self._deadline <= kernel.now_s:
            self._cancel()
        elif self._deadline != inf:
            kernel.ticket += 1
            self.timer = kernel.ticket
            heappush(kernel.timers, (self._deadline, self.timer, self))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        return is_over(self.leave(error), error)

    def leave(self, error: BaseException | None) -> BaseException | None:
        """Close; what remains of the error."""
        if error is not None and self.is_cancelled and not self._is_seen_from_outside():
            if isinstance(error, trio.Cancelled):
                self.cancelled_caught, error = True, None
            elif isinstance(error, BaseExceptionGroup):
                caught, error = error.split(trio.Cancelled)
                self.cancelled_caught = caught is not None
        self.task.scope, self.is_open, self.timer = self.parent, False, 0
        if self.is_cancelled:
            running.cancelled -= 1
        return error

    def _is_seen_from_outside(self) -> bool:
        return not self._shield and is_cancelled(self.parent)

    def fire(self) -> None:
        """Its time is over."""
        self._cancel()

    def cancel(self, reason: str | None = None) -> None:
        """See trio."""
        self._cancel()

    def _cancel(self) -> None:
        if self.is_cancelled:
            return
        self.is_cancelled, self.timer = True, 0
        if self.is_open:
            running.cancelled += 1
            for task in _within(self, self.task):
                running.deliver(task)

    @property
    def cancel_called(self) -> bool:
        """See trio."""
        if not self.is_cancelled and self.is_open and running.now_s >= self._deadline:
            self._cancel()
        return self.is_cancelled

    @property
    def deadline(self) -> float:
        """See trio."""
        return self._deadline

    @deadline.setter
    def deadline(self, deadline_s: float) -> None:
        self._deadline, self.timer = deadline_s, 0
        if self.is_open and not self.is_cancelled and deadline_s != inf:
            self.timer = running.call(deadline_s, self)


def is_cancelled(scope: Scope | None) -> bool:
    """Whether who waits in this scope is to be cancelled."""
    while scope is not None:
        if scope.is_cancelled:
            return True
        if scope._shield:
            return False
        scope = scope.parent
    return False


def _within(scope: Scope, owner: Task) -> list[Task]:
    """All tasks that a scope of `owner` is about."""
    inner = [n for n in owner.nurseries if _encloses(scope, n.cancel_scope)]
    return [owner, *(task for n in inner for child in n.children for task in _below(child))]


def _encloses(scope: Scope, inner: Scope | None) -> bool:
    while inner is not None and inner is not scope:
        inner = inner.parent
    return inner is scope


def _below(task: Task) -> list[Task]:
    return [task, *(t for n in task.nurseries for child in n.children for t in _below(child))]


class Kernel:
    """One run. While anybody is in `held`, `hold(task)` says whether it keeps a task that was
    about to run."""

    def __init__(self, dice: Random) -> None:
        self.now_s = 0.0
        self.task: Task = None  # type: ignore[assignment]  # nobody runs yet
        self.cancelled = 0  # open scopes that are
        self.living = 0
        self.ticket = 0
        self.timers: list[tuple[float, int, Any]] = []  # (when, ticket, who): stale: has another
        self.held: dict[str, Any] = {}
        self.hold: Callable[[Task], bool] = lambda task: False
        self._queue: list[Task] = []
        self._dice = dice
        self._numbers = itertools.count(1)

    def current_time(self) -> float:
        """Virtual seconds since the start."""
        return self.now_s

    # -- who runs next

    def call(self, when_s: float, whom: Any) -> int:
        """`whom.fire()` at that time, if its timer is still the one that is returned."""
        self.ticket += 1
        heappush(self.timers, (when_s, self.ticket, whom))
        return self.ticket

    def wake(self, task: Task, value: Any = None, error: BaseException | None = None) -> None:
        """It runs in the next round."""
        task.abort, task.timer, task.value, task.error = None, 0, value, error
        if not (self.held and self.hold(task)):
            self._queue.append(task)

    def resume(self, task: Task, _: object = None) -> None:
        """One that was held."""
        self._queue.append(task)

    def deliver(self, task: Task) -> None:
        """Cancel it now if it waits and is to be cancelled."""
        if task.abort is not None and is_cancelled(task.scope):
            task.abort(task)
            self.wake(task, None, cancelled())

    def spawn(self, coro: Coroutine[Any, Any, Any], nursery: Any) -> Task:
        """A task that runs from the next round on."""
        task = Task(next(self._numbers), coro, copy_context(), nursery)
        if nursery is not None:
            nursery.children.add(task)
        self.living += 1
        self.wake(task)
        return task

    # -- rounds

    def run(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Until every task has ended. Raises what the first one raised."""
        first = self.spawn(coro, None)
        self._dice.shuffle([0, 1])  # under trio a task of its own begins in the same round
        timers, step = self.timers, self._step
        while self.living:
            if not self._queue:
                self._jump()
            while timers and timers[0][0] <= self.now_s:
                _, ticket, whom = heappop(timers)
                if whom.timer == ticket:
                    whom.fire()
            batch, self._queue = self._queue, []
            if len(batch) > 1:
                batch.sort(key=_number)
                self._dice.shuffle(batch)
            while batch:
                step(batch.pop())
        if first.error is not None:
            raise first.error

    def _jump(self) -> None:
        timers = self.timers
        while timers and timers[0][2].timer != timers[0][1]:
            heappop(timers)
        if not timers:
            raise NobodyEverRuns
        self.now_s = max(self.now_s, timers[0][0])

    def _step(self, task: Task) -> None:
        self.task = task
        try:
            if task.error is None:
                wait = task.context.run(task.send, task.value)
            else:
                error, task.error = task.error, None
                wait = task.context.run(task.throw, error)
                del error
        except StopIteration:
            return
        if wait is None:
            self.wake(task)
        elif wait is not NEVER:
            task.abort = wait
            if self.cancelled:
                self.deliver(task)


def cancelled() -> trio.Cancelled:
    """What a cancelled task meets; trio lets nobody make one by the plain call."""
    made: trio.Cancelled = type.__call__(trio.Cancelled)
    return made


def _number(task: Task) -> int:
    return task.number


@coroutine
def waits(abort: Any) -> Generator[Any, Any, Any]:
    """Give way; None: until the next round; `abort(task)` is called if it is cancelled first."""
    return (yield abort)


running: Kernel = None  # type: ignore[assignment]  # set while a kernel runs
