"""What the fixtures hand out: a stand-in seen from both sides, and a namespace on any server."""

from __future__ import annotations

from typing import Any

import attrs
from api_client import Api, Reply

from controller.sandbox.apiserver import Faults, Store

LEASES = "coordination.k8s.io/v1"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
TOKENS = {"token-a": "ctl-0", "token-b": "ctl-1"}


@attrs.frozen
class World:
    """A stand-in that knows two clients by their tokens, seen from inside and outside."""

    store: Store
    faults: Faults
    url: str

    @property
    def a(self) -> Api:
        """Return the API as ctl-0 sees it."""
        return Api(self.url, "token-a")

    @property
    def b(self) -> Api:
        """Return the API as ctl-1 sees it."""
        return Api(self.url, "token-b")


@attrs.frozen
class Room:
    """A namespace of its own on the server under test."""

    api: Api
    namespace: str

    def path(self, plural: str, name: str = "", group: str = "") -> str:
        """Return the path of a collection or an object in this namespace."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")


def config(name: str, **data: str) -> dict[str, Any]:
    """Return a ConfigMap to be sent."""
    return {"metadata": {"name": name}, "data": data}


def lease(name: str, **spec: object) -> dict[str, Any]:
    """Return a Lease to be sent."""
    return {"metadata": {"name": name}, "spec": {"leaseDurationSeconds": 15, **spec}}


async def create(room: Room, body: dict[str, Any]) -> dict[str, Any]:
    """Create a ConfigMap and return it."""
    reply = await room.api.request("POST", room.path("configmaps"), body)
    assert reply.status == 201, reply.text
    made: dict[str, Any] = reply.json
    return made


async def put(room: Room, body: dict[str, Any]) -> Reply:
    """Replace a ConfigMap."""
    name = body["metadata"]["name"]
    return await room.api.request("PUT", room.path("configmaps", name), body)


async def put_lease(room: Room, body: dict[str, Any]) -> Reply:
    """Replace a Lease."""
    name = body["metadata"]["name"]
    return await room.api.request("PUT", room.path("leases", name, LEASES), body)


async def list_revision(room: Room) -> str:
    """Return the revision of a list of ConfigMaps."""
    return (await room.api.request("GET", room.path("configmaps"))).revision
