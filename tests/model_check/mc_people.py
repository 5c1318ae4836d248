"""What people ask of the leader in the small world: requests by their words, "failover memgraph-1".

Promise: a request is refused, granted or waits by the product's own word; it stands in its
ConfigMap until the leader has removed it. What a newcomer gets wrong: a request expires, and a
pause ends, whenever the world has no patience left: no clock is kept.
"""

from collections.abc import Iterator

import mc_normal as n
from attrs import evolve as changed
from mc_world import State, spend

from statemachine import commands as c
from statemachine.cluster import Cluster
from statemachine.observations import Request, RequestsListed
from statemachine.view import RequestView, View

PAUSE_S = 100.0
EXPIRES_S = 1e8  # wall seconds
LATE_S = 1e9  # wall seconds by which every request has expired and every pause is over

Asked = tuple[tuple[str | int, ...], State]
"""A step's label and the state after it."""


def request_of(words: str) -> Request:
    """The request that these words stand for; its id are the words."""
    kind, _, instance = words.partition(" ")
    for_s = PAUSE_S if kind == "pause" else 0.0
    return Request(words, kind, "a person", "", instance, for_s=for_s, expires_s=EXPIRES_S)


def asked(people: tuple[Request, ...], s: State) -> Iterator[Asked]:
    """Somebody asks for something that is not asked for already."""
    for k, request in enumerate(people):
        if s.budget.asks and k not in s.asks:
            after = spend(s, "asks")._replace(asks=tuple(sorted((*s.asks, k))))
            yield ("ask", request.id), after


def listed(people: tuple[Request, ...], asks: tuple[int, ...]) -> RequestsListed:
    """What the leader reads from the ConfigMap."""
    return RequestsListed(n.NOW_S, tuple(people[k] for k in asks))


def closed(people: tuple[Request, ...], s: State, command: c.CloseRequest) -> State:
    """The ConfigMap without the request."""
    return s._replace(asks=tuple(k for k in s.asks if people[k].id != command.id))


def without_patience(view: View) -> View:
    """The view when all that people have asked for has waited long enough."""
    old = tuple(changed(r, since_s=n.LONG_AGO_S) for r in view.requests)
    return changed(view, requests=old, wall_s=LATE_S)


def forgotten(cluster: Cluster, request: str) -> Cluster:
    """The cluster once the request stands nowhere any more, so that no answer is looked up."""
    return changed(cluster, answered=tuple(x for x in cluster.answered if x != request))


def view_forgotten(view: View, request: str) -> View:
    """The view likewise."""
    kept: tuple[RequestView, ...] = tuple(r for r in view.requests if r.request.id != request)
    return changed(view, requests=kept)
