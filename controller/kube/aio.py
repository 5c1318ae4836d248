"""`Transport` on `kubernetes.aio.ApiClient` and trio-asyncio. Imported by `open_client` alone.

Promise: one crossing from trio to asyncio per request, an own time limit on everything, and one
table (`_trouble_of`) for what the client may raise. Nothing is sent twice. What a newcomer gets
wrong: aiohttp by itself repeats a PUT or DELETE whose kept connection breaks before the answer
(`ClientSession._retry_connection`); a compare-and-set then reports a conflict with its own success.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import structlog
import trio
import trio_asyncio
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config import ConfigException
from trio_asyncio import aio_as_trio

from controller.errors import KubeUnavailable

from .credentials import load_configuration
from .transport import WRITES, AnswerLost, Json, Watch, describe, refusal_of

log = structlog.get_logger(__name__)

CONNECT_SHARE = 0.8  # of a time limit: a connection that takes longer was certainly not used
TEXT_CHARS_MAX = 400  # of a refusal, for logs and status
NEVER_SENT = (
    aiohttp.ClientConnectorError,  # refused, no route, no name, bad certificate
    aiohttp.ConnectionTimeoutError,
    ConfigException,  # no token to send
)
FOREIGN = (aiohttp.ClientError, TimeoutError, OSError, ValueError, ConfigException)


class AioTransport:
    """Owned by `open_client`. Any number of tasks may use it at once."""

    def __init__(self, api: Any) -> None:  # Any: the client library carries no types
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: str, context: str) -> "AioTransport":
        """A transport that has opened no connection yet. Raises KubeUnavailable."""
        loop = trio_asyncio.current_loop.get()
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(_note_stray_failure)

        async def make() -> Any:
            api = ApiClient(await load_configuration(kubeconfig, context))
            api.user_agent = "memgraph-controller"
            session = api.rest_client._create_pool_manager()
            session._retry_connection = False  # see the head of this module
            api.rest_client.pool_manager = session
            return api

        try:
            return cls(await aio_as_trio(make)())
        except (ConfigException, OSError, ValueError) as error:
            raise KubeUnavailable(f"no usable configuration of the client: {error}") from error

    async def aclose(self) -> None:
        """Close all kept connections."""
        await aio_as_trio(self._api.close)()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout_s: float = 5.0,
    ) -> Json:
        """See `Transport.request`."""
        what, is_write = describe(method, path), method in WRITES
        limit = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s * CONNECT_SHARE)

        async def go() -> Json:
            try:
                response = await self._send(method, path, query, body, content_type, limit)
                return _success(response, await response.read(), what, is_write=is_write)
            except FOREIGN as error:
                raise _trouble_of(error, what, is_write=is_write) from error

        with trio.move_on_after(timeout_s):
            answer: Json = await aio_as_trio(go)()
            return answer
        raise _silence(what, timeout_s, is_write=is_write)

    async def watch(
        self, path: str, query: Mapping[str, str], connect_timeout_s: float, idle_timeout_s: float
    ) -> Watch:
        """See `Transport.watch`."""
        what = describe("GET", path, is_watch=True)
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s
        )
        asked = {**query, "watch": "true"}
        watch = _AioWatch(what)

        async def go() -> None:
            try:
                await watch.open(await self._send("GET", path, asked, None, "", limit))
            except FOREIGN as error:
                raise _trouble_of(error, what, is_write=False) from error

        is_open = False
        try:
            with trio.move_on_after(connect_timeout_s):
                await aio_as_trio(go)()
                is_open = True
        finally:
            if not is_open:
                await watch.aclose()
        if not is_open:
            raise _silence(what, connect_timeout_s, is_write=False)
        return watch

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None,
        content_type: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            parts = await self._api.param_serialize(  # refreshes the token when it is time
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
        except OSError as error:
            raise ConfigException(f"the credentials cannot be read: {error}") from error
        answer = await self._api.call_api(*parts, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        return response


class _AioWatch:
    """One stream of lines. Owned by the task that iterates."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._response: aiohttp.ClientResponse | None = None

    async def open(self, response: aiohttp.ClientResponse) -> None:
        """Take the response over, in asyncio; raises what refuses the watch."""
        self._response = response
        if response.status != 200:
            _success(response, await response.read(), self._what, is_write=False)

    async def __anext__(self) -> Json:
        """See `Watch`."""
        line = await aio_as_trio(self._read_line)()
        if not line:
            raise StopAsyncIteration
        event: Json = line
        if event["type"] == "ERROR":
            status = event.get("object") or {}
            code, text = int(status.get("code") or 500), str(status.get("message") or status)
            raise refusal_of(code, text, self._what, is_write=False)
        return event

    async def _read_line(self) -> Json | None:
        assert self._response is not None, "open comes first"
        try:
            line = await self._response.content.readline()
            return _object(line) if line else None
        except FOREIGN as error:
            raise _trouble_of(error, self._what, is_write=False) from error

    async def aclose(self) -> None:
        """See `Watch`."""
        response, self._response = self._response, None
        if response is None:
            return

        async def close() -> None:
            response.close()

        with trio.CancelScope(shield=True):  # it does not wait for the other side
            await aio_as_trio(close)()


def _object(data: bytes) -> Json:
    """Raises ValueError for what is no JSON object."""
    decoded = json.loads(data)
    if not isinstance(decoded, dict):
        raise ValueError(f"a JSON object was expected: {data[:TEXT_CHARS_MAX]!r}")
    return decoded


def _success(response: aiohttp.ClientResponse, data: bytes, what: str, *, is_write: bool) -> Json:
    """The body of a good answer; raises the error of any other, ValueError for nonsense."""
    if 200 <= response.status < 300:
        return _object(data)
    text = data[:TEXT_CHARS_MAX].decode("utf-8", "replace")
    with suppress(ValueError):  # a proxy's page, say
        text = str(_object(data).get("message") or text)
    header = response.headers.get("Retry-After")
    raise refusal_of(response.status, text, what, is_write=is_write, retry_after=header)


def _trouble_of(error: BaseException, what: str, *, is_write: bool) -> KubeUnavailable:
    """The one table for what the client raises."""
    message = f"{what}: {error or type(error).__name__}"
    if is_write and not isinstance(error, NEVER_SENT):
        return AnswerLost(message)
    return KubeUnavailable(message)


def _silence(what: str, timeout_s: float, *, is_write: bool) -> KubeUnavailable:
    """Our own time limit has struck."""
    message = f"{what}: no answer within {timeout_s} s"
    return AnswerLost(message) if is_write else KubeUnavailable(message)


def _note_stray_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """trio-asyncio's own handler ends the process for a connection that nobody closed."""
    log.warning("asyncio_trouble", text=context.get("message"), error=context.get("exception"))
