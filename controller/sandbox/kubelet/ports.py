"""What the node stand-ins need of an API server, and the in-process way to it.

Promise: nothing in this room reaches the store but through `ClusterApi`, so that a client of a
real API server can take its place.
"""

from __future__ import annotations

from typing import Protocol

from ..apiserver import (
    ApiError,
    Cursor,
    Deletion,
    Kind,
    Object,
    Selector,
    Store,
    WatchEvent,
)

GONE_OR_CHANGED = (404, 409)


class Reader(Protocol):
    """The changes after a list."""

    async def wait_new(self) -> list[WatchEvent]:
        """Block until there is something new. Raises ApiError 410: list again."""


class ClusterApi(Protocol):
    """An API server. Every method raises ApiError when it refuses."""

    async def select(self, kind: Kind) -> tuple[list[Object], int]:
        """Return all objects of a kind, in every namespace, and their revision."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return one object."""

    def watch(self, kind: Kind, *, since: int) -> Reader:
        """Return the changes after a revision."""

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create and return what was stored."""

    async def write_status(self, kind: Kind, obj: Object, status: Object) -> None:
        """Merge into the status of this very incarnation."""

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_s: int | None = None
    ) -> None:
        """Delete this incarnation; grace None takes the object's own."""

    async def bind(self, namespace: str, name: str, node: str) -> None:
        """Put a pod on a node."""


class InProcess:
    """A `ClusterApi` straight on the store: the faults of the HTTP side do not reach it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def select(self, kind: Kind) -> tuple[list[Object], int]:
        """See `ClusterApi`."""
        return self._store.select(kind)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """See `ClusterApi`."""
        return self._store.get(kind, namespace, name)

    def watch(self, kind: Kind, *, since: int) -> Cursor:
        """See `ClusterApi`."""
        return self._store.watch(kind, Selector(), since=since)

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """See `ClusterApi`."""
        return self._store.create(kind, namespace, body)

    async def write_status(self, kind: Kind, obj: Object, status: Object) -> None:
        """See `ClusterApi`."""
        meta = obj["metadata"]

        def apply(old: Object) -> Object:
            identity = {**old["metadata"], "uid": meta["uid"]}
            return {**old, "metadata": identity, "status": {**old.get("status", {}), **status}}

        self._store.patch(kind, meta["namespace"], meta["name"], apply, subresource="status")

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_s: int | None = None
    ) -> None:
        """See `ClusterApi`."""
        self._store.delete(kind, namespace, name, Deletion(grace_s=grace_s, uid=uid))

    async def bind(self, namespace: str, name: str, node: str) -> None:
        """See `ClusterApi`."""
        self._store.bind(namespace, name, node)


def is_passing(error: ApiError) -> bool:
    """Say whether the object has gone or changed meanwhile: the next event tells how."""
    return error.code in GONE_OR_CHANGED
