"""An API server's objects, versions and watches, in memory; values are shared and never edited.

Promise: every write moves one version counter; PUT compares resourceVersion and uid; a list is of
one version, and a watch from there on misses nothing that it is sent. What clients suffer on the
way is in `transport`.
"""

from collections.abc import Callable, Mapping

import trio
from attrs import define, field, frozen

from controller.kube.transport import WRITES, Json, describe, refusal_of

SERVER_SIDE = ("resourceVersion", "uid", "managedFields", "deletionTimestamp")


@frozen
class Change:
    """One watch event."""

    version: int
    kind: str
    collection: str
    obj: Json


@define(eq=False)
class Subscription:
    """An established watch, as the server sees it: `push` takes its events."""

    path: str
    query: Mapping[str, str]
    push: Callable[[Change], None]


@define(eq=False)
class Api:
    """Owned by the world. `on_write(method, path, old, new)` sees every change, before watches."""

    objects: dict[str, Json] = field(factory=dict)
    version: int = 0
    under_way_s: float = 0.0  # how long the request that is carried out now was on its way
    compacted: int = 0
    changes: list[Change] = field(factory=list)
    subscriptions: list[Subscription] = field(factory=list)
    on_write: Callable[[str, str, Json | None, Json | None], None] = lambda *_: None
    on_delete_pod: Callable[[str, float | None], None] = lambda name, grace_s: None

    def selected(self, path: str, query: Mapping[str, str]) -> list[Json]:
        """The objects of a collection, by name."""
        found = (p for p in sorted(self.objects) if p.rpartition("/")[0] == path)
        return [self.objects[p] for p in found if selects(query, self.objects[p])]

    def put(self, path: str, obj: Json) -> Json:
        """Create or replace without questions, as controllers of the cluster do."""
        collection, old = path.rpartition("/")[0], self.objects.get(path)
        meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta["uid"] = old["metadata"]["uid"] if old else meta.get("uid") or f"uid-{self.version}"
        stored = {**obj, "metadata": meta}
        if old is not None and _content(old) == _content(stored):
            self.version -= 1
            return old
        self.objects[path] = stored
        self.on_write("PUT" if old else "POST", path, old, stored)
        self._tell(Change(self.version, "MODIFIED" if old else "ADDED", collection, stored))
        return stored

    def remove(self, path: str) -> None:
        """Delete; nothing when it is not there."""
        gone = self.objects.pop(path, None)
        if gone is None:
            return
        self.version += 1
        meta = {**gone["metadata"], "resourceVersion": str(self.version)}
        self.on_write("DELETE", path, gone, None)
        obj = {**gone, "metadata": meta}
        self._tell(Change(self.version, "DELETED", path.rpartition("/")[0], obj))

    def _tell(self, change: Change) -> None:
        self.changes.append(change)
        for subscription in self.subscriptions:
            if subscription.path == change.collection and selects(subscription.query, change.obj):
                subscription.push(change)

    def since(self, path: str, query: Mapping[str, str], version: int) -> list[Change]:
        """What a new watch is owed first."""
        return [
            c
            for c in reversed(self.changes)
            if c.version > version and c.collection == path and selects(query, c.obj)
        ][::-1]

    def execute(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Json:
        """Carry out and answer. Raises the refusal, as `refusal_of` names it."""
        if method == "GET" and path.endswith(("/pods", "/configmaps", "/leases")):
            version = {"resourceVersion": str(self.version)}
            return {"metadata": version, "items": self.selected(path, query)}
        if method == "POST":
            assert body is not None
            target = f"{path}/{body['metadata']['name']}"
            if target in self.objects:
                raise refusal(409, method, path)
            return self.put(target, body)
        old = self.objects.get(path)
        if old is None:
            raise refusal(404, method, path)
        if method == "GET":
            return old
        self._require_same(method, path, old["metadata"], body or {})
        if method == "DELETE":
            self._delete(path, (body or {}).get("gracePeriodSeconds"))
            return {}
        assert body is not None
        return self.put(path, body)

    def _require_same(self, method: str, path: str, meta: Json, body: Json) -> None:
        given = body.get("preconditions" if method == "DELETE" else "metadata", {})
        for key in ("resourceVersion", "uid"):
            if given.get(key, meta[key]) != meta[key]:
                raise refusal(409, method, path)

    def _delete(self, path: str, grace_s: float | None) -> None:
        collection, _, name = path.rpartition("/")
        if collection.endswith("/pods"):
            self.on_delete_pod(name, grace_s)  # the kubelet has the last word
        else:
            self.remove(path)


def selects(query: Mapping[str, str], obj: Json) -> bool:
    """Whether label and field selectors of a request take the object."""
    meta = obj["metadata"]
    name = query.get("fieldSelector", "").removeprefix("metadata.name=")
    if name and name != meta["name"]:
        return False
    labels = meta.get("labels", {})
    for term in query.get("labelSelector", "").split(","):
        key, _, value = term.partition("=")
        if key and labels.get(key) != value:
            return False
    return True


def _content(obj: Json) -> Json:
    meta = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "uid")}
    return {**obj, "metadata": meta}


def refusal(status: int, method: str, path: str, retry_after: str | None = None) -> Exception:
    """The error that the product's table makes of a status."""
    what, is_write = describe(method, path), method in WRITES
    return refusal_of(status, "simulated", what, is_write=is_write, retry_after=retry_after)


def now_s() -> float:
    """Virtual time."""
    return trio.current_time()
