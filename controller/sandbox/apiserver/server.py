"""Accepts connections, knows who calls, lets faults act, and answers.

Promise: every request gets a JSON answer with the code of a real API server, unless a fault says
otherwise; a bug in here is a JSON 500 with its name, and the server goes on. `/sandbox/faults` is
never disturbed by the faults that it sets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial

import attrs
import trio

from . import control, discovery, errors, handlers, routes, tables, watching
from .errors import ApiError
from .faults import Call, Faults, HangUp
from .http import Connection, PeerGone, Request, Response
from .kinds import Kind
from .objects import Object
from .store import Store

ANONYMOUS = "system:anonymous"
_log = logging.getLogger(__name__)


@attrs.frozen
class Access:
    """Who may call.

    Args:
        tokens: Bearer token -> user name; None lets everybody in, as `anonymous_user`.
        anonymous_user: Who a request without a token is; None refuses it with 401. kubectl sends
            no token over plain HTTP, so a sandbox that people look into with it names one.
    """

    tokens: Mapping[str, str] | None = None
    anonymous_user: str | None = None

    def user_of(self, request: Request) -> str:
        """Return the name of the caller.

        Raises:
            ApiError: 401.
        """
        given = request.headers.get("authorization", "")
        if self.tokens is None:
            return self.anonymous_user or ANONYMOUS
        if not given and self.anonymous_user is not None:
            return self.anonymous_user
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise errors.unauthorized()
        return self.tokens[token]


@attrs.frozen
class Server:
    """The parts that every connection shares."""

    store: Store
    faults: Faults
    access: Access
    bookmark_period_s: float

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer requests until one side has had enough."""
        async with stream:
            connection = Connection(stream)
            try:
                while (request := await connection.receive_request()) is not None:
                    await self._serve_request(connection, request)
            except (PeerGone, HangUp):
                return

    async def _serve_request(self, connection: Connection, request: Request) -> None:
        try:
            response = await self._answer(connection, request)
        except ApiError as error:
            response = _refusal(error)
        except errors.DEFECTS as error:
            _log.exception("%s %s", request.method, request.path)
            response = _refusal(errors.internal(repr(error)))
        if response is not None:
            await connection.send(response)

    async def _answer(self, connection: Connection, request: Request) -> Response | None:
        """Return the answer, or None when it has been streamed.

        Raises:
            ApiError: The refusal to be sent.
            HangUp: Nothing is to be sent.
        """
        user = self.access.user_of(request)
        if request.path.startswith(control.PREFIX):
            known = self.access.tokens or {}
            return _json(*control.answer(self.faults, self.store, known, request))
        call = routes.parse_call(request, user)
        if call is None or call.kind is None:
            await self.faults.wait_admitted(Call(user, request.method.lower()))
            return _plain(request)
        await self.faults.wait_admitted(call)
        if call.verb == "watch":
            await self._watch(connection, call.kind, call, request)
            return None
        await self._check_revision(request, call)
        answer = handlers.execute(self.store, call.kind, call, request)
        self.faults.check_reply(call)
        # The server froze between doing and answering: the answer waits as well.
        await self.faults.wait_flowing(user)
        return _json(answer.code, tables.rendered(call.kind, answer.body, request))

    async def _check_revision(self, request: Request, call: Call) -> None:
        """Return when the store is as new as the reader asks for.

        Raises:
            ApiError: 400 no number, 504 not within 3 s, as a real server.
        """
        if call.verb not in ("get", "list"):
            return
        asked = handlers.check_revision(request) or 0
        if asked > self.store.revision:
            with trio.move_on_after(FUTURE_WAIT_S):
                await self.store.wait_changed(asked - 1)
                return
            raise errors.too_large_revision(asked, self.store.revision)

    async def _watch(
        self, connection: Connection, kind: Kind, call: Call, request: Request
    ) -> None:
        plan, cursor = watching.open_cursor(self.store, kind, request, call)
        bookmarks = routes.is_set(request, "allowWatchBookmarks")
        stream = watching.WatchStream(
            connection=connection,
            faults=self.faults,
            call=call,
            cursor=cursor,
            first=plan.first,
            render=partial(tables.rendered, kind, request=request),
            timeout_s=watching.timeout_of(request),
            bookmark_period_s=self.bookmark_period_s if bookmarks else None,
        )
        await connection.start_stream("application/json")
        await stream.run(kind)


FUTURE_WAIT_S = 3.0  # how long 1.36 waits for a revision that has not happened yet


async def serve(
    store: Store,
    host: str,
    port: int,
    *,
    faults: Faults | None = None,
    tokens: Mapping[str, str] | None = None,
    anonymous_user: str | None = None,
    bookmark_period_s: float = watching.BOOKMARK_PERIOD_S,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the store until cancelled. `task_status` gets the base URL, "http://host:port".

    Args:
        host, port: Where to listen; port 0 takes a free one.
        faults: The switchboard, when the caller wants to use it without HTTP.
        tokens, anonymous_user: See `Access`.
        bookmark_period_s: Seconds between the bookmarks of a watch that asked for them.

    Raises:
        OSError: The address cannot be had.

    Cancellation: connections are dropped where they are; the store stays as it is.
    """
    server = Server(
        store=store,
        faults=faults or Faults(),
        access=Access(tokens, anonymous_user),
        bookmark_period_s=bookmark_period_s,
    )
    listeners = await trio.open_tcp_listeners(port, host=host)
    bound = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, server.serve_connection, listeners)
        task_status.started(f"http://{host}:{bound}")


def _json(code: int, body: Object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(code, json.dumps(body, separators=(",", ":")).encode(), headers=headers)


def _refusal(error: ApiError) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if error.retry_after_s is not None:
        headers = (("retry-after", str(error.retry_after_s)),)
    return _json(error.code, error.as_status(), headers)


def _plain(request: Request) -> Response:
    """Answer what is about the server itself.

    Raises:
        ApiError: 404, 405.
    """
    health = request.path in discovery.HEALTH_PATHS
    document = discovery.document_at(request.path)
    if not health and document is None:
        raise errors.page_not_found()
    if request.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed()
    if document is None:
        return Response(200, b"ok", content_type="text/plain; charset=utf-8")
    return _json(200, document)
