"""Keeps one picture of a set of objects current, by listing and watching, for ever.

Promise: whatever the API server does, the picture is right again at the latest one list after it
works, and at least once per relist period it is compared with the truth. The handler gets the whole
picture, after each change and never twice the same. What a newcomer gets wrong: "no news" proves
nothing: a watch may be blind without an error (half-open connection, a revision from the future),
bookmarks may never come, and 410 arrives inside of HTTP 200. So every watch has an end, and a list
follows each end; deletions and recreations during a gap are found there.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from enum import Enum
from typing import Generic, TypeVar

import structlog
import trio
from attrs import frozen

from controller.errors import (
    ControllerError,
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    WatchExpired,
)

from .names import JITTER, KubeTimes
from .parsing import items, mapping, metadata, name_of, text, version_of
from .transport import Json, Transport, Watch

log = structlog.get_logger(__name__)

Picture = TypeVar("Picture")
JITTER_MIN, JITTER_MAX = 0.5, 1.5  # of a back-off
DOUBLINGS_MAX = 16  # of a back-off, so that the power stays small; the limit is reached long before


class Ending(Enum):
    """How a watch ended, if not by an error."""

    DUE = "due"  # the relist period is over
    CLOSED = "closed"  # the server ended the stream properly


@frozen
class Source:
    """What is watched: a collection and a selection of it."""

    what: str
    path: str
    query: tuple[tuple[str, str], ...]


class Backoff:
    """How long to wait after a failure. Failures are forgotten after a spell of health."""

    def __init__(self, times: KubeTimes, jitter: Callable[[], float]) -> None:
        self._times, self._jitter = times, jitter
        self._failures = 0

    def healthy(self) -> None:
        """Forget the failures."""
        self._failures = 0

    def after_end(self) -> float:
        """Seconds to wait after what is routine (410, an early end): none for the first."""
        if self._failures == 0:
            self._failures = 1
            return 0.0
        return self.after_failure()

    def after_failure(self) -> float:
        """Seconds to wait after a failure: 0.2 doubling to 30, times 0.5 to 1.5."""
        doublings = min(self._failures, DOUBLINGS_MAX)
        self._failures += 1
        wait_s = min(self._times.backoff_max_s, self._times.backoff_min_s * 2.0**doublings)
        return wait_s * (JITTER_MIN + (JITTER_MAX - JITTER_MIN) * self._jitter())

    def after_refusal(self) -> float:
        """Seconds to wait when people have to act: 10 or more, never fast."""
        self._failures += 1
        return self._times.lasting_retry_s * (1.0 + self._jitter())

    def after(self, error: ControllerError) -> float:
        """Seconds to wait after this error; a Retry-After is a lower bound."""
        match error:
            case WatchExpired():
                return self.after_end()
            case KubeUnavailable():
                return max(self.after_failure(), error.retry_after_s or 0.0)
            case _:
                return self.after_refusal()


class Informer(Generic[Picture]):
    """One list-and-watch. Owned by the task that runs it.

    Args:
        parse: Makes the picture of the raw objects, in order of their names.
        jitter: Uniform in [0, 1).
    """

    def __init__(
        self,
        transport: Transport,
        source: Source,
        times: KubeTimes,
        parse: Callable[[list[Json]], Picture],
        handler: Callable[[Picture], Awaitable[None]],
        on_trouble: Callable[[str], None],
        jitter: Callable[[], float] = JITTER,
    ) -> None:
        self._transport, self._source, self._times = transport, source, times
        self._parse, self._handler, self._on_trouble = parse, handler, on_trouble
        self._jitter = jitter
        self._backoff = Backoff(times, jitter)
        self._objects: dict[str, Json] = {}
        self._shown: Picture | None = None
        self._was_shown = False
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled. Errors of the handler are its caller's bugs and travel."""
        while True:
            try:
                wait_s = await self._list_and_watch()
            except WatchExpired as error:
                log.debug("watch_expired", what=self._source.what)
                wait_s = self._backoff.after(error)
            except (KubeUnavailable, KubeForbidden, KubeNotFound, KubeRefused) as error:
                self._tell(str(error))
                wait_s = self._backoff.after(error)
            await trio.sleep(wait_s)

    async def _list_and_watch(self) -> float:
        """One cycle; return how long to wait before the next one."""
        version = await self._list()
        began_s = trio.current_time()
        try:
            ending = await self._watch(version)
        finally:
            if trio.current_time() - began_s >= self._times.health_s:
                self._backoff.healthy()
        if ending is Ending.DUE:
            self._backoff.healthy()
            return 0.0
        return self._backoff.after_end()

    async def _list(self) -> str:
        """Make the picture what the server says now; return the list's resourceVersion."""
        found = await self._transport.request(
            "GET",
            self._source.path,
            dict(self._source.query),
            timeout_s=self._times.request_timeout_s,
        )
        self._objects = {name_of(obj): obj for obj in items(found.get("items"))}
        await self._show()
        return text(mapping(found.get("metadata")).get("resourceVersion"))

    async def _watch(self, version: str) -> Ending:
        """Follow from the list's own version on, until the server or the relist period ends it."""
        low_s, high_s = self._times.relist_min_s, self._times.relist_max_s
        period_s = low_s + (high_s - low_s) * self._jitter()
        query = {
            **dict(self._source.query),
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(period_s + self._times.read_grace_s)),
        }
        due_s = trio.current_time() + period_s
        watch = await self._transport.watch(
            self._source.path,
            query,
            self._times.request_timeout_s,
            period_s + self._times.read_grace_s,
        )
        async with aclosing(watch):
            self._tell("")
            while (event := await _next_event(watch, due_s)) is not None:
                await self._take(text(event.get("type")), mapping(event.get("object")))
        return Ending.DUE if trio.current_time() >= due_s else Ending.CLOSED

    async def _take(self, kind: str, obj: Json) -> None:
        name, known = name_of(obj), self._objects.get(name_of(obj))
        if kind == "BOOKMARK" or not name:
            return
        if kind == "DELETED":
            if known is None or metadata(known).get("uid") != metadata(obj).get("uid"):
                return  # another incarnation is there already
            del self._objects[name]
        elif known is not None and version_of(known) == version_of(obj):
            return  # told again
        else:
            self._objects[name] = obj
        await self._show()

    async def _show(self) -> None:
        picture = self._parse([self._objects[name] for name in sorted(self._objects)])
        if self._was_shown and picture == self._shown:
            return
        await self._handler(picture)
        self._shown, self._was_shown = picture, True

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)


async def _next_event(watch: Watch, due_s: float) -> Json | None:
    """The next event; None at the end of the stream or at `due_s`. Half a line that was read by
    then is lost: the watch is of no use afterwards."""
    with trio.move_on_at(due_s):
        return await anext(watch, None)
    return None
