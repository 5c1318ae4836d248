"""A local copy of all objects of one kind, kept by list and watch.

Promise: `objects` is the state at some recent revision, never a mixture; `on_change` is called
after every step of it. Whoever uses a mirror decides from what is in it, not from what changed:
a relist may skip any number of steps.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..apiserver import ApiError, Kind, Object, WatchEvent, name_of, namespace_of
from .ports import ClusterApi

RELIST_PAUSE_S = 0.2  # after an API that refuses; a 410 is routine and lists again at once
EXPIRED = 410


class Mirror:
    """The copy. Owned by the task that runs it; others read."""

    def __init__(self, api: ClusterApi, kind: Kind, on_change: Callable[[], None]) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self._api = api
        self._kind = kind
        self._on_change = on_change

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled; started once the first list is in."""
        while True:
            try:
                items, revision = await self._api.select(self._kind)
                self.objects = {(namespace_of(item), name_of(item)): item for item in items}
                self._on_change()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                reader = self._api.watch(self._kind, since=revision)
                while True:
                    self._take(await reader.wait_new())
            except ApiError as error:
                if error.code != EXPIRED:
                    await trio.sleep(RELIST_PAUSE_S)

    def _take(self, events: list[WatchEvent]) -> None:
        for event in events:
            key = (namespace_of(event.object), name_of(event.object))
            if event.type == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = event.object
        self._on_change()
