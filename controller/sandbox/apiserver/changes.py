"""The bounded window of changes that watches read.

Promise: changes are kept in revision order, up to a maximum; who reads too late is told so (410),
never fed a gap; who waits is woken by every change.

One thing a newcomer gets wrong: watches have no queues. A `Cursor` is a position in the shared
window, so a reader that stands still costs nothing and simply falls off the end.
"""

from __future__ import annotations

import bisect
import copy

import attrs
import trio

from . import errors
from .kinds import Kind
from .objects import Object
from .selectors import Selector

WINDOW_MAX = 1000  # changes kept for watches; some minutes of a busy sandbox


@attrs.frozen
class Change:
    """One revision. `old` and `new` are the object before and after; None: is not there.

    For a removal `old` already carries the revision of the removal, as DELETED events do.
    """

    revision: int
    kind: Kind
    old: Object | None
    new: Object | None


@attrs.frozen
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED or DELETED, with the object (not to be changed)."""

    type: str
    object: Object


class Window:
    """The latest changes and the revision counter. Owned by the store.

    Args:
        size_max: Changes kept.
    """

    def __init__(self, size_max: int = WINDOW_MAX) -> None:
        self.revision = 1
        self.compacted = 1
        self._size_max = size_max
        self._changes: list[Change] = []
        self._changed = trio.Event()

    def add(self, change: Change) -> None:
        """Make this the latest change and wake all who wait."""
        self.revision = change.revision
        self._changes.append(change)
        if len(self._changes) > self._size_max:
            self.compacted = self._changes.pop(0).revision
        self._changed.set()
        self._changed = trio.Event()

    def after(self, revision: int) -> list[Change]:
        """Return the kept changes after a revision, oldest first.

        Raises:
            ApiError: 410 when some of them are no longer kept.
        """
        if revision < self.compacted:
            raise errors.expired(revision, self.compacted)
        start = bisect.bisect_right(self._changes, revision, key=lambda change: change.revision)
        return self._changes[start:]

    def compact(self) -> None:
        """Forget all changes up to now."""
        self.compacted = self.revision
        self._changes.clear()

    async def wait_changed(self, revision: int) -> None:
        """Block until there is a change after this revision."""
        while self.revision <= revision:
            await self._changed.wait()


@attrs.define(eq=False)
class Cursor:
    """A reader of the window. `position` is the last revision it has taken."""

    _window: Window
    _kind: Kind
    _selector: Selector
    position: int

    def take_nowait(self) -> list[WatchEvent]:
        """Return what is new for this reader and move past it.

        Raises:
            ApiError: 410 when it came too late; list again and take a new cursor.
        """
        changes = self._window.after(self.position)
        self.position = max(self.position, self._window.revision)
        seen = (self._as_seen(change) for change in changes if change.kind is self._kind)
        return [event for event in seen if event is not None]

    async def wait_new(self) -> list[WatchEvent]:
        """Block until something is new for this reader; return it.

        Raises:
            ApiError: 410, see `take_nowait`.
        """
        while True:
            if events := self.take_nowait():
                return events
            await self._window.wait_changed(self.position)

    def _as_seen(self, change: Change) -> WatchEvent | None:
        """Return the change as this selector sees it: leaving the selection is a deletion."""
        before = change.old is not None and self._selector.matches(change.old)
        if change.new is not None and self._selector.matches(change.new):
            return WatchEvent("MODIFIED" if before else "ADDED", change.new)
        if not before or change.old is None:
            return None
        last = copy.deepcopy(change.old)
        last["metadata"]["resourceVersion"] = str(change.revision)
        return WatchEvent("DELETED", last)
