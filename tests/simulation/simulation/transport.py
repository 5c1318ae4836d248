"""How one controller pod reaches the API server: `Transport` with everything that goes wrong.

Promise: a request ends in the ways that `controller.kube.transport.Transport` names, and in each of
them the world has done what that way allows. A dead process hears nothing and sends nothing.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

import trio
from attrs import frozen

from controller.errors import ControllerError, KubeUnavailable, WatchExpired
from controller.kube.transport import WRITES, AnswerLost, Json, Watch

from .actors import current_actor
from .api import Api, Change, Subscription, refusal
from .network import API, Network


class Trouble(Enum):
    """What may become of one request."""

    DOWN = "down"  # nobody listens
    BUSY = "busy"  # 429
    FAILS = "fails"  # 5xx, nothing done
    FAILED_LATE = "failed late"  # 5xx, and yet it is done
    DROPPED = "dropped"  # no answer, nothing done
    UNANSWERED = "unanswered"  # done, no answer
    LATE = "late"  # no answer, done long after
    DOUBLED = "doubled"  # done, and tried a second time


@frozen
class Asked:
    """A request as it left its pod, and when."""

    at_s: float
    method: str
    path: str
    query: Mapping[str, str]
    body: Json | None


@frozen
class ApiRoad:
    """The API server as all pods reach it; owned by the world."""

    api: Api
    network: Network
    spawn: Callable[..., None]
    latency_s: Callable[[], float]
    is_dead: Callable[[str], bool]
    trouble: Callable[[str, str, str], "Trouble | None"]  # (pod, method, path)
    late_s: Callable[[], float]
    watch_lag_s: Callable[[str, str], float]  # (pod, path); infinity: blind
    on_executed: Callable[[str, str, str], None] = lambda *_: None  # (actor, method, path)

    def execute(self, asked: Asked) -> Json:
        """The API server carries it out, now."""
        self.api.under_way_s = trio.current_time() - asked.at_s
        return self.api.execute(asked.method, asked.path, asked.query, asked.body)

    def client(self, pod: str) -> "SimTransport":
        """As this pod reaches it."""
        return SimTransport(self, pod)


class SimTransport:
    """`Transport` for one pod."""

    def __init__(self, road: ApiRoad, pod: str) -> None:
        self._road, self._pod = road, pod

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
        asked = Asked(trio.current_time(), method, path, query or {}, body)
        with trio.move_on_after(timeout_s):
            await trio.sleep(self._road.latency_s())
            return await self._carry_out(asked)
        raise _lost(method, f"no answer within {timeout_s}")

    async def _carry_out(self, asked: Asked) -> Json:
        road, method, path, body = self._road, asked.method, asked.path, asked.body
        if road.is_dead(current_actor()) or not road.network.carries(self._pod, API):
            await trio.sleep_forever()
        trouble = road.trouble(self._pod, method, path)
        match trouble:
            case Trouble.DOWN:
                raise KubeUnavailable("connection refused")
            case Trouble.BUSY:
                raise refusal(429, method, path, "1")
            case Trouble.FAILS:
                raise refusal(503, method, path)
            case Trouble.DROPPED:
                await trio.sleep_forever()
            case Trouble.LATE:
                road.spawn(self._later, asked)
                await trio.sleep_forever()
        answer = road.execute(asked)
        made = f"/{body['metadata']['name']}" if method == "POST" and body else ""
        road.on_executed(current_actor(), method, path + made)
        if trouble is Trouble.FAILED_LATE:
            raise refusal(504, method, path)
        if trouble is Trouble.DOUBLED and method in WRITES:
            road.execute(asked)  # the second meets the first's version
        if trouble is Trouble.UNANSWERED or not road.network.carries(API, self._pod):
            await trio.sleep_forever()
        return answer

    async def _later(self, asked: Asked) -> None:
        await trio.sleep(self._road.late_s())
        try:
            self._road.execute(asked)
        except ControllerError:
            return  # nobody is there to hear it

    async def watch(
        self, path: str, query: Mapping[str, str], connect_timeout_s: float, idle_timeout_s: float
    ) -> Watch:
        """See `Transport`."""
        road = self._road
        with trio.move_on_after(connect_timeout_s):
            await trio.sleep(road.latency_s())
            if road.is_dead(current_actor()) or not road.network.joins(self._pod, API):
                await trio.sleep_forever()
            if road.trouble(self._pod, "GET", path) is not None:
                raise KubeUnavailable("connection refused")
            version = int(query["resourceVersion"])
            if version < road.api.compacted:
                raise WatchExpired("too old")
            ends_at_s = trio.current_time() + float(query.get("timeoutSeconds", "inf"))
            return SimWatch(road, self._pod, path, dict(query), version, ends_at_s)
        raise KubeUnavailable(f"no watch within {connect_timeout_s}")


class SimWatch:
    """`Watch`: events wait here until their time to arrive has come."""

    def __init__(
        self,
        road: ApiRoad,
        pod: str,
        path: str,
        query: Mapping[str, str],
        version: int,
        ends_at_s: float,
    ) -> None:
        self._road, self._pod, self._path, self._ends_at_s = road, pod, path, ends_at_s
        self._waiting: deque[tuple[float, Change]] = deque()
        self._arrived = trio.Event()
        self._subscription = Subscription(path, query, self._push)
        for change in road.api.since(path, query, version):
            self._push(change)
        road.api.subscriptions.append(self._subscription)
        self.is_cut = False

    def _push(self, change: Change) -> None:
        lag_s = self._road.watch_lag_s(self._pod, self._path)
        if lag_s < float("inf"):  # else blind: nothing comes, and no error either
            due_s = trio.current_time() + lag_s
            if self._waiting:
                due_s = max(due_s, self._waiting[-1][0])  # in order, whatever the lag
            self._waiting.append((due_s, change))
            self._arrived.set()

    async def __anext__(self) -> Json:
        """See `Watch`."""
        while True:
            if not self._waiting:
                self._arrived = trio.Event()
                with trio.move_on_at(self._ends_at_s):
                    await self._arrived.wait()
                if not self._waiting:
                    raise StopAsyncIteration
            due_s, change = self._waiting[0]
            await trio.sleep_until(due_s)
            if self._road.trouble(self._pod, "WATCH", self._path) is not None:
                raise KubeUnavailable("the stream was cut")
            if not self._road.network.carries(API, self._pod):
                await trio.sleep_until(self._ends_at_s + 10.0)  # half-open
                raise KubeUnavailable("silent for too long")
            self._waiting.popleft()
            return {"type": change.kind, "object": change.obj}

    async def aclose(self) -> None:
        """See `Watch`."""
        if self._subscription in self._road.api.subscriptions:
            self._road.api.subscriptions.remove(self._subscription)


def _lost(method: str, text: str) -> KubeUnavailable:
    return AnswerLost(text) if method in WRITES else KubeUnavailable(text)
