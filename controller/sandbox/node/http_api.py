"""`ClusterApi` on a real API server, and what else a node asks of one.

Promise: refusals are the ApiError that the in-process way raises, so that the kubelet cannot tell
the two apart; a server that is away is a 503. A watch that ends properly goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack

from ..apiserver import ApiError, Kind, Object, WatchEvent, name_of, namespace_of, uid_of
from .http_client import HttpClient, NoAnswer, Response

STRATEGIC_PATCH = "application/strategic-merge-patch+json"
WATCH_S = 300  # the server ends a watch after so long; it goes on at once
BATCH_MAX = 200  # changes taken at once
UNAVAILABLE = 503
EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED")


def path_of(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of a collection, an object, or a part of an object."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    space = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    words = [word for word in (name, subresource) if word]
    return "/".join([f"{root}{space}/{kind.plural}", *words])


class HttpApi:
    """See `ClusterApi`. Any number of tasks may use it at once."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """The body of a good answer. Raises ApiError."""
        try:
            answer = await self._client.ask(method, path, query, body, content_type)
        except (NoAnswer, ValueError) as error:
            raise ApiError(UNAVAILABLE, "ServiceUnavailable", str(error)) from error
        if 200 <= answer.status < 300:
            found: Object = answer.body
            return found
        raise _refusal(answer.status, answer.body)

    async def select(self, kind: Kind) -> tuple[list[Object], int]:
        """See `ClusterApi`."""
        listed = await self.request("GET", path_of(kind))
        return list(listed.get("items") or []), int(listed["metadata"]["resourceVersion"])

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """See `ClusterApi`."""
        return await self.request("GET", path_of(kind, namespace, name))

    def watch(self, kind: Kind, *, since: int) -> HttpReader:
        """See `ClusterApi`."""
        return HttpReader(self._client, path_of(kind), since)

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """See `ClusterApi`."""
        whole = {"apiVersion": kind.api_version, "kind": kind.name, **body}
        made = await self.request("POST", path_of(kind, namespace), whole)
        if "status" in whole:  # ignored in a POST
            status = {"status": whole["status"]}
            path = path_of(kind, namespace, name_of(made), "status")
            return await self.request("PATCH", path, status, content_type=STRATEGIC_PATCH)
        return made

    async def write_status(self, kind: Kind, obj: Object, status: Object) -> None:
        """See `ClusterApi`."""
        path = path_of(kind, namespace_of(obj), name_of(obj), "status")
        body = {"metadata": {"uid": uid_of(obj)}, "status": status}
        await self.request("PATCH", path, body, content_type=STRATEGIC_PATCH)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_s: int | None = None
    ) -> None:
        """See `ClusterApi`."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        await self.request("DELETE", path_of(kind, namespace, name), body)

    async def bind(self, namespace: str, name: str, node: str) -> None:
        """See `ClusterApi`."""
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"kind": "Node", "name": node},
        }
        await self.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", body)


class HttpReader:
    """The changes after a list, out of one watch after the other. Read by one task."""

    def __init__(self, client: HttpClient, path: str, since: int) -> None:
        self._client, self._path, self._since = client, path, str(since)
        self._response: Response | None = None

    async def wait_new(self) -> list[WatchEvent]:
        """See `Reader`. Cancellation: the connection is closed."""
        async with AsyncExitStack() as undone:
            undone.push_async_callback(self._close)
            try:
                event = await self._next_event()
            except NoAnswer as error:
                raise ApiError(UNAVAILABLE, "ServiceUnavailable", str(error)) from error
            undone.pop_all()  # the watch goes on
        return [event]

    async def _next_event(self) -> WatchEvent:
        while True:
            if self._response is None:
                self._response = await self._opened()
            line = await self._response.read_line()
            if line is None:
                await self._close()
            elif event := self._event_of(json.loads(line)):
                return event

    async def _opened(self) -> Response:
        query = {
            "watch": "true",
            "resourceVersion": self._since,
            "timeoutSeconds": WATCH_S,
            "allowWatchBookmarks": "true",
        }
        response = await self._client.follow(self._path, query)
        if response.status != 200:
            await response.aclose()
            raise ApiError(response.status, "Refused", f"watch {self._path}: {response.status}")
        return response

    async def _close(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    def _event_of(self, line: Object) -> WatchEvent | None:
        obj = line["object"]
        if line["type"] == "ERROR":
            raise _refusal(int(obj.get("code") or 500), obj)
        self._since = str(obj["metadata"]["resourceVersion"])
        return WatchEvent(line["type"], obj) if line["type"] in EVENT_TYPES else None


def _refusal(status: int, body: Object) -> ApiError:
    reason = str(body.get("reason", "")) if isinstance(body, dict) else ""
    text = str(body.get("message", "")) if isinstance(body, dict) else str(body)
    return ApiError(status, reason, text)
