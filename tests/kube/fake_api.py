"""An API server behind `Transport`, in memory and in virtual time, with faults per client.

Held to the same contract as the stand-in by test_kube_fake_contract.py. A fault is asked for at
every request, so that a seed decides; `late` is the nastiest: carried out long after its sender
has given up.
"""

import copy
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import trio
from attrs import define, field, frozen

from controller.errors import ControllerError, KubeUnavailable, WatchExpired
from controller.kube.transport import WRITES, AnswerLost, Json, Watch, describe, refusal_of

Fault = Callable[[str, str], "Trouble | None"]  # (client, method) -> what goes wrong


class Trouble(Enum):
    """What may become of one request."""

    REFUSED = "refused"  # nobody listens
    DROPPED = "dropped"  # sent, not carried out, no answer
    UNANSWERED = "unanswered"  # carried out, no answer
    SILENT = "silent"  # never carried out; the caller's time limit strikes
    LATE = "late"  # carried out after `late_s`; the caller's time limit strikes


@frozen
class Change:
    """One watch event, kept for replay."""

    version: int
    kind: str
    collection: str
    obj: Json


@define(eq=False)
class FakeApi:
    """The objects, by path, and what goes wrong."""

    nursery: trio.Nursery
    objects: dict[str, Json] = field(factory=dict)
    changes: list[Change] = field(factory=list)
    version: int = 0
    oldest: int = 0
    latency_s: float = 0.002
    late_s: float = 3.0
    fault: Fault = field(default=lambda client, method: None)
    calls: list[tuple[float, str, str]] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)
    open_watches: list["FakeWatch"] = field(factory=list)
    forbids_watch: bool = False
    refuse: list[tuple[int, str | None]] = field(factory=list)
    """Statuses (and Retry-After) for the next requests."""

    def client(self, name: str = "a") -> "FakeTransport":
        """The API as this client reaches it."""
        return FakeTransport(self, name)

    def asked(self, what: str) -> list[float]:
        """When this was asked for."""
        return [at_s for at_s, _, said in self.calls if said == what]

    def stir(self) -> None:
        """Wake all watches."""
        self.changed.set()
        self.changed = trio.Event()

    def compact(self) -> None:
        """Forget the changes: older watches expire."""
        self.version += 1
        self.oldest = self.version
        self.stir()

    def cut(self) -> None:
        """End all watches improperly."""
        for watch in self.open_watches:
            watch.ended = KubeUnavailable("cut")
        self.stir()

    def close(self) -> None:
        """End all watches properly."""
        for watch in self.open_watches:
            watch.ended = StopAsyncIteration()
        self.stir()

    def put(self, collection: str, obj: Json) -> Json:
        """Write without questions, as somebody else would."""
        path = f"{collection}/{obj['metadata']['name']}"
        old = self.objects.get(path)
        stored = copy.deepcopy(obj)
        if old and _content(old) == _content(stored):
            return old  # as on a real server: what changes nothing keeps its version
        self.version += 1
        uid = old["metadata"]["uid"] if old else f"uid-{self.version}"
        stored["metadata"] |= {"resourceVersion": str(self.version), "uid": uid}
        stored["metadata"].pop("managedFields", None)
        self.objects[path] = stored
        self.note("MODIFIED" if old else "ADDED", collection, stored)
        return stored

    def remove(self, path: str, *, silently: bool = False) -> Json:
        """Delete; `silently`: no watch hears of it."""
        gone = self.objects.pop(path)
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        if not silently:
            self.note("DELETED", path.rpartition("/")[0], gone)
        return gone

    def note(self, kind: str, collection: str, obj: Json) -> None:
        """Tell the watches."""
        self.changes.append(Change(self.version, kind, collection, copy.deepcopy(obj)))
        self.stir()

    def execute(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Json:
        """Carry out and answer, or raise the refusal."""
        collection, _, name = path.rpartition("/")
        is_collection = collection.endswith("/default")
        if method == "GET" and is_collection:
            chosen = [copy.deepcopy(o) for p, o in self.objects.items() if _in(p, path, query, o)]
            return {"metadata": {"resourceVersion": str(self.version)}, "items": chosen}
        if method == "POST":
            assert body is not None
            if f"{path}/{body['metadata']['name']}" in self.objects:
                raise _refusal(409, method, path)
            return copy.deepcopy(self.put(path, body))
        old = self.objects.get(path)
        if old is None:
            raise _refusal(404, method, path)
        if method == "GET":
            return copy.deepcopy(old)
        meta = (body or {}).get("preconditions" if method == "DELETE" else "metadata", {})
        for key in ("resourceVersion", "uid"):
            if meta.get(key, old["metadata"][key]) != old["metadata"][key]:
                raise _refusal(409, method, path)
        if method == "DELETE":
            return self.remove(path)
        if "leases" in path and "resourceVersion" not in meta:
            raise _refusal(422, method, path)
        assert body is not None
        assert body["metadata"]["name"] == name
        return copy.deepcopy(self.put(collection, body))


def _content(obj: Json) -> Json:
    server_side = ("resourceVersion", "uid", "managedFields")
    meta = {key: value for key, value in obj["metadata"].items() if key not in server_side}
    return {**obj, "metadata": meta}


def _refusal(status: int, method: str, path: str, retry_after: str | None = None) -> Exception:
    what, is_write = describe(method, path), method in WRITES
    return refusal_of(status, "fake", what, is_write=is_write, retry_after=retry_after)


def _in(path: str, collection: str, query: Mapping[str, str], obj: Json) -> bool:
    meta = obj["metadata"]
    wanted = [term.split("=") for term in query.get("labelSelector", "").split(",") if term]
    name = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return (
        path.rpartition("/")[0] == collection
        and all(meta.get("labels", {}).get(key) == value for key, value in wanted)
        and name in ("", meta["name"])
    )


@frozen
class FakeTransport:
    """`Transport` for one client."""

    api: FakeApi
    name: str

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout_s: float = 5.0,
    ) -> Json:
        """See `Transport`."""
        self.api.calls.append((trio.current_time(), self.name, describe(method, path)))
        with trio.move_on_after(timeout_s):
            await trio.sleep(self.api.latency_s)
            return await self._carry_out(method, path, query or {}, copy.deepcopy(body))
        raise self._lost(method, f"no answer within {timeout_s}")

    async def _carry_out(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None
    ) -> Json:
        if self.api.refuse:
            status, retry_after = self.api.refuse.pop(0)
            raise _refusal(status, method, path, retry_after)
        trouble = self.api.fault(self.name, method)
        match trouble:
            case Trouble.REFUSED:
                raise KubeUnavailable("nobody listens")
            case Trouble.DROPPED:
                raise self._lost(method, "dropped")
            case Trouble.SILENT:
                await trio.sleep_forever()
            case Trouble.LATE:
                self.api.nursery.start_soon(self._later, method, path, query, body)
                await trio.sleep_forever()
        answer = self.api.execute(method, path, query, body)
        if trouble is Trouble.UNANSWERED:
            raise self._lost(method, "unanswered")
        await trio.sleep(self.api.latency_s)
        return answer

    async def _later(self, *request: Any) -> None:
        await trio.sleep(self.api.late_s)
        try:
            self.api.execute(*request)
        except ControllerError:
            return  # nobody is there to hear it

    def _lost(self, method: str, text: str) -> KubeUnavailable:
        return AnswerLost(text) if method in WRITES else KubeUnavailable(text)

    async def watch(
        self, path: str, query: Mapping[str, str], connect_timeout_s: float, idle_timeout_s: float
    ) -> Watch:
        """See `Transport`."""
        what = describe("GET", path, is_watch=True)
        self.api.calls.append((trio.current_time(), self.name, what))
        await trio.sleep(self.api.latency_s)
        if self.api.forbids_watch:
            raise refusal_of(403, "fake", what, is_write=False)
        if self.api.fault(self.name, "GET"):
            raise KubeUnavailable("nobody listens")
        ends_at_s = trio.current_time() + float(query.get("timeoutSeconds", "inf"))
        watch = FakeWatch(self.api, path, query, int(query["resourceVersion"]), ends_at_s)
        self.api.open_watches.append(watch)
        return watch


@define(eq=False)
class FakeWatch:
    """`Watch` from a version on."""

    api: FakeApi
    path: str
    query: Mapping[str, str]
    version: int
    ends_at_s: float
    ended: Exception | None = None
    is_blind: bool = False

    async def __anext__(self) -> Json:
        """See `Watch`."""
        while True:
            if self.ended is not None:
                raise self.ended
            if self.version < self.api.oldest:
                raise WatchExpired("too old")
            for change in self.api.changes if not self.is_blind else []:
                if change.version > self.version and self._selects(change):
                    self.version = change.version
                    return {"type": change.kind, "object": copy.deepcopy(change.obj)}
            with trio.move_on_at(self.ends_at_s):
                await self.api.changed.wait()
                continue
            raise StopAsyncIteration

    def _selects(self, change: Change) -> bool:
        path = f"{change.collection}/{change.obj['metadata']['name']}"
        return _in(path, self.path, self.query, change.obj)

    async def aclose(self) -> None:
        """See `Watch`."""
        if self in self.api.open_watches:
            self.api.open_watches.remove(self)
        await trio.lowlevel.checkpoint()
