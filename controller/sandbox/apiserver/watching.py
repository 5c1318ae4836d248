"""Streams one watch to one client.

Promise: events leave in revision order and none is left out; who came too late reads an ERROR
event with code 410 inside HTTP 200; bookmarks come only to those who asked for them. The stream
ends at its timeout, when the client leaves, or by a fault. A frozen client's events wait.

One thing a newcomer gets wrong: a watch from a revision that has not happened yet is silent, and
says nothing about it. So is the real one.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable

import attrs
import trio

from . import errors
from .changes import Cursor, WatchEvent
from .errors import ApiError
from .faults import Call, Faults, HangUp
from .handlers import check_revision, selector_of
from .http import Connection, PeerGone, Request
from .kinds import Kind
from .objects import Object
from .routes import is_set
from .selectors import Selector
from .store import Store

BOOKMARK_PERIOD_S = 60.0  # about what 1.36 does
TIMEOUT_DEFAULT_S = 1800.0  # the least that a real server takes when the client names none
_log = logging.getLogger(__name__)
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


@attrs.frozen
class Plan:
    """How a watch begins: what is sent first, and from where it goes on."""

    first: tuple[WatchEvent, ...]
    since: int


def plan_watch(store: Store, kind: Kind, selector: Selector, request: Request) -> Plan:
    """Return how the watch begins.

    Raises:
        ApiError: 400 for a resourceVersion that is no number, 422 for a streaming list that does
            not say how fresh it must be.
    """
    since = check_revision(request)
    initial = request.query.get("sendInitialEvents")
    if initial is not None and request.query.get("resourceVersionMatch") != "NotOlderThan":
        text = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise kind.invalid("", ("FieldValueForbidden", "resourceVersionMatch", text))
    if since and not is_set(request, "sendInitialEvents"):
        return Plan((), since)
    items, revision = store.select(kind, selector)
    first = [WatchEvent("ADDED", item) for item in items]
    if initial is not None and not is_set(request, "sendInitialEvents"):
        first = []
    elif initial is not None and is_set(request, "allowWatchBookmarks"):
        first.append(bookmark(kind, revision, initial=True))
    return Plan(tuple(first), revision)


def bookmark(kind: Kind, revision: int, *, initial: bool = False) -> WatchEvent:
    """Return the event that tells a revision and nothing else."""
    meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial:
        meta["annotations"] = INITIAL_EVENTS_END
    obj = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": meta}
    return WatchEvent("BOOKMARK", obj)


@attrs.define(eq=False)
class WatchStream:
    """One established watch. Owned by the task of its connection.

    Args:
        render: Makes the object of an event what the client asked for (a Table, or itself).
        bookmark_period_s: Seconds between bookmarks; None sends none.
    """

    connection: Connection
    faults: Faults
    call: Call
    cursor: Cursor
    first: tuple[WatchEvent, ...]
    render: Callable[[Object], Object]
    timeout_s: float
    bookmark_period_s: float | None

    async def run(self, kind: Kind) -> None:
        """Stream until the timeout; the connection is then good for another request.

        Raises:
            HangUp: The client left, or a fault ended the watch.
        """
        finished = False
        with trio.CancelScope() as scope:
            self.faults.register_watch(self.call.client, scope)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._wait_peer_gone, nursery.cancel_scope)
                    await self._stream(kind)
                    finished = True
                    nursery.cancel_scope.cancel()
            except* (PeerGone, HangUp) as group:
                raise HangUp from group
            except* errors.DEFECTS as group:
                _log.exception("watch of %s", kind.plural)
                raise HangUp from group
            finally:
                self.faults.forget_watch(scope)
        if not finished:
            raise HangUp
        await self.connection.end_stream()

    async def _wait_peer_gone(self, watch: trio.CancelScope) -> None:
        await self.connection.wait_peer_gone()
        watch.cancel()

    async def _stream(self, kind: Kind) -> None:
        # Only the waiting is cut short by time, never the sending: half a chunk is no HTTP.
        deadline_s = trio.current_time() + self.timeout_s
        await self._send(list(self.first))
        while (now_s := trio.current_time()) < deadline_s:
            events = None
            with trio.move_on_at(min(deadline_s, now_s + (self.bookmark_period_s or math.inf))):
                events = await self._wait_events()
            if events is not None:
                await self._send(events)
                if events[-1].type == "ERROR":
                    return
            elif self.bookmark_period_s is not None:
                await self._send([bookmark(kind, self.cursor.position)])

    async def _wait_events(self) -> list[WatchEvent]:
        try:
            return await self.cursor.wait_new()
        except ApiError as error:
            return [WatchEvent("ERROR", error.as_status())]

    async def _send(self, events: list[WatchEvent]) -> None:
        for event in events:
            await self.faults.wait_flowing(self.call.client)
            whole = event.type in ("ADDED", "MODIFIED", "DELETED")
            body = self.render(event.object) if whole else event.object
            line = json.dumps({"type": event.type, "object": body}, separators=(",", ":"))
            await self.connection.send_chunk(line.encode() + b"\n")


def open_cursor(store: Store, kind: Kind, request: Request, call: Call) -> tuple[Plan, Cursor]:
    """Return how the watch begins and the reader that continues it.

    Raises:
        ApiError: 400 or 422, see `plan_watch`.
    """
    selector = selector_of(request, kind, call)
    plan = plan_watch(store, kind, selector, request)
    return plan, store.watch(kind, selector, since=plan.since)


def timeout_of(request: Request) -> float:
    """Return how long the watch may last, in seconds.

    Raises:
        ApiError: 400 when it is no number.
    """
    given = request.query.get("timeoutSeconds", "")
    if not given:
        return TIMEOUT_DEFAULT_S
    if not given.isdecimal():
        raise errors.bad_request(f'Invalid value for timeoutSeconds: "{given}"')
    return float(given) or TIMEOUT_DEFAULT_S
