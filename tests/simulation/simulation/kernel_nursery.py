"""Nurseries of a `kernel`.

Promise: as trio's: nobody outlives its nursery, and an error of one cancels the others. What a
newcomer gets wrong: the end of a nursery costs a round even when nobody is left in it.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from . import kernel as room
from .kernel import NEVER, Scope, Task, is_cancelled, is_over, waits


class Nursery:
    """See trio; the context manager and what it yields are one."""

    __slots__ = ("_errors", "_inside", "_is_awaited", "_parent", "_starting")
    __slots__ += ("cancel_scope", "children", "is_closed")

    def __init__(self) -> None:
        self.cancel_scope, self.children, self.is_closed = Scope(), set[Task](), False
        self._errors: list[BaseException] = []
        self._inside, self._is_awaited, self._starting = True, False, 0

    async def __aenter__(self) -> "Nursery":
        self.cancel_scope.__enter__()
        self._parent = room.running.task
        self._parent.nurseries.append(self)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        await self._end(error)
        left: BaseException | None = None
        if self._errors:
            left = BaseExceptionGroup("Exceptions from Trio nursery", self._errors)
            self._errors = []
        return is_over(self.cancel_scope.leave(left), error)

    async def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
        self._inside = False
        self.maybe_close()
        if self.is_closed:
            await waits(None)
        else:
            self._is_awaited = True
            await waits(NEVER)
        gone = self._parent.nurseries.pop()
        assert gone is self, "nurseries are closed in another order"

    def _fail(self, error: BaseException) -> None:
        self._errors.append(error)
        self.cancel_scope.cancel()

    def maybe_close(self) -> None:
        """If nobody is left."""
        if not (self._inside or self.children or self._starting):
            self.is_closed = True
            if self._is_awaited:
                self._is_awaited = False
                room.running.wake(self._parent)

    def child_finished(self, task: Task, error: BaseException | None) -> None:
        """A task of it has ended."""
        self.children.remove(task)
        if error is not None:
            self._fail(error)
        self.maybe_close()

    def start_soon(self, run: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """See trio."""
        if self.is_closed:
            raise RuntimeError("Nursery is closed to new arrivals")
        room.running.spawn(run(*args), self)

    async def start(self, run: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """See trio."""
        if self.is_closed:
            raise RuntimeError("Nursery is closed to new arrivals")
        self._starting += 1
        try:
            async with Nursery() as first:
                status = _Status(first, self)
                first.start_soon(partial(run, task_status=status), *args)
            assert status.is_started, "it ended without having started"
            return status.value
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._starting -= 1
            self.maybe_close()


class _Status:
    """`trio.TaskStatus`: moves the task from the one nursery to the other."""

    def __init__(self, first: Nursery, then: Nursery) -> None:
        self._first, self._then = first, then
        self.is_started, self.value = False, None

    def started(self, value: Any = None) -> None:
        """See trio."""
        assert not self.is_started, "started twice"
        self.is_started, self.value = True, value
        before, after = self._first.cancel_scope, self._then.cancel_scope
        if is_cancelled(before):
            return
        for task in self._first.children:
            task.nursery = self._then
            self._then.children.add(task)
            _move(task, before, after)
        self._first.children.clear()
        self._first.maybe_close()


def _move(task: Task, before: Scope, after: Scope) -> None:
    if task.scope is before:
        task.scope = after
    else:
        scope = task.scope
        while scope is not None and scope.parent is not before:
            scope = scope.parent
        assert scope is not None
        scope.parent = after
    room.running.deliver(task)
