"""Kubernetes Events at the ledger's ConfigMap and at pods, so that `kubectl describe` shows them.

Promise: an object is named with its UID, as `kubectl describe` asks for it; a request is sent once
and never repeated. What a newcomer gets wrong: these are objects of the core group, which every
kubectl reads, not of events.k8s.io, whose new objects have to be filled in differently.
"""

import secrets
from collections.abc import Callable
from datetime import datetime

from controller.announcer import Place
from controller.errors import KubeRefused
from controller.notices import Notice

from .names import FIELD_MANAGER, KubeNames, KubeTimes
from .parsing import metadata, utc_now
from .transport import Json, Transport, is_conflict

MERGE_PATCH = "application/merge-patch+json"
COMPONENT = "memgraph-controller"


class KubeEvents:
    """`Board` on an API server; keeps the ledger's UID, which stays as long as the ledger does."""

    def __init__(
        self,
        transport: Transport,
        names: KubeNames,
        times: KubeTimes,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._transport, self._names, self._times, self._now = transport, names, times, now
        self._ledger_uid = ""

    async def post(self, place: Place, notice: Notice) -> str:
        """See `Board.post`.

        Raises:
            KubeUnavailable, KubeForbidden, KubeRefused: It was not announced, as far as we know.
        """
        involved = await self._involved(place)
        name, at = f"{involved['name']}.{notice.id or secrets.token_hex(8)}", self._stamp()
        body: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name,
                "namespace": self._names.namespace,
                "labels": self._names.labels("event"),
            },
            "involvedObject": involved,
            "reason": notice.reason,
            "message": notice.text,
            "type": notice.weight,
            "source": {"component": COMPONENT, "host": self._names.pod_name},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._names.pod_name,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            await self._request("POST", self._path, body)
        except KubeRefused as error:
            if not is_conflict(error):
                raise
        return name

    async def repeat(self, name: str, count: int, text: str) -> None:
        """See `Board.repeat`. Raises as `post`, and KubeNotFound."""
        change = {"count": count, "message": text, "lastTimestamp": self._stamp()}
        await self._request("PATCH", f"{self._path}/{name}", change, MERGE_PATCH)

    async def _involved(self, place: Place) -> Json:
        kind, name, uid = "Pod", place.pod, place.uid
        if not place.pod:
            kind, name, uid = "ConfigMap", self._names.ledger, await self._uid_of_ledger()
        return {
            "apiVersion": "v1",
            "kind": kind,
            "name": name,
            "namespace": self._names.namespace,
            "uid": uid,
        }

    async def _uid_of_ledger(self) -> str:
        if not self._ledger_uid:
            path = f"{self._names.config_maps_path}/{self._names.ledger}"
            found = await self._request("GET", path)
            self._ledger_uid = str(metadata(found).get("uid") or "")
        return self._ledger_uid

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._names.namespace}/events"

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _request(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json"
    ) -> Json:
        query = None if body is None else {"fieldManager": FIELD_MANAGER}
        timeout_s = self._times.request_timeout_s
        return await self._transport.request(method, path, query, body, kind, timeout_s)
