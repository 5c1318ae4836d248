"""Two watches that make one picture: the pods of somebody else's StatefulSet, and our own.

Promise: the handler is called with both parts or not at all, so nobody takes "not listed yet" for
"there is none" (S6: every known controller pod is waited for). The trouble that is shown is that of
either part. What a newcomer gets wrong: each part sorts what it is shown into instances and
controllers, and only its own kind is taken from it.
"""

from collections.abc import Awaitable, Callable

import trio

from statemachine.observations import PodFacts

Pods = tuple[PodFacts, ...]


class Halves:
    """The instances of the first part and the controllers of the second."""

    def __init__(
        self,
        handler: Callable[[Pods, Pods], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        self.first, self.second = Half(self), Half(self)
        self._handler, self._on_trouble = handler, on_trouble
        self._one_at_a_time = trio.Lock()  # the handler may wait; the newest picture comes last

    async def changed(self) -> None:
        """Show the picture as it is now, if both parts are there."""
        async with self._one_at_a_time:
            if self.first.pods is not None and self.second.pods is not None:
                await self._handler(self.first.pods[0], self.second.pods[1])

    def troubled(self) -> None:
        """Tell what is wrong with either part; "" when both are well."""
        self._on_trouble(self.first.said or self.second.said)


class Half:
    """What one of the watches has shown last, and what it complains of."""

    def __init__(self, whole: Halves) -> None:
        self._whole = whole
        self.pods: tuple[Pods, Pods] | None = None
        self.said = ""

    async def show(self, pods: tuple[Pods, Pods]) -> None:
        """The handler of this part's informer."""
        self.pods = pods
        await self._whole.changed()

    def trouble(self, text: str) -> None:
        """Likewise, for its troubles."""
        self.said = text
        self._whole.troubled()
