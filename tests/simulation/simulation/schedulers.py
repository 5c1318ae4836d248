"""Who runs the tasks of a simulation: the kernel, or, to compare with it, trio itself.

Promise: one plan has one history under both, down to the order in which tasks run. What a newcomer
gets wrong: the kernel stands in trio's place only while it runs, so whoever took a class of trio's
earlier (a default factory) has trio's own.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import Any
from unittest import mock

import trio
from trio._core import _run as trio_run

from . import kernel as room
from . import kernel_waits as waits
from .clock import JumpingClock
from .kernel import Kernel, Scope
from .kernel_nursery import Nursery

SAME_NAME = (
    "Event",
    "Lock",
    "current_effective_deadline",
    "fail_after",
    "move_on_after",
    "move_on_at",
    "open_memory_channel",
    "sleep",
    "sleep_forever",
    "sleep_until",
)
Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
Scheduler = Callable[[int], AbstractContextManager[Run]]


@contextmanager
def by_trio(seed: int) -> Iterator[Run]:
    """Trio itself, on a clock that jumps; whose dice are trio's own (see `dice`)."""
    yield lambda main: trio.run(main, clock=JumpingClock())


@contextmanager
def by_kernel(seed: int) -> Iterator[Run]:
    """A kernel in the place of trio: code that says `trio.sleep` meets this one's."""
    kernel = Kernel(Random(seed))
    names: dict[str, Any] = {name: getattr(waits, name) for name in SAME_NAME}
    names |= {"CancelScope": Scope, "open_nursery": Nursery, "current_time": kernel.current_time}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(trio, **names))
        low = {"checkpoint": waits.checkpoint, "reschedule": kernel.resume}
        stack.enter_context(mock.patch.multiple(trio.lowlevel, **low))
        # who took `trio.current_time` for a default argument asks trio's own, which asks this
        context = trio_run.GLOBAL_RUN_CONTEXT
        stack.enter_context(mock.patch.object(context, "runner", kernel, create=True))
        stack.enter_context(mock.patch.object(room, "running", kernel))
        yield lambda main: kernel.run(main())
