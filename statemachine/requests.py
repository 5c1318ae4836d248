"""What people ask for, and what it would be in the ledger: pure.

Promise: each request is answered there once, accepted or refused with the reason. What a newcomer
gets wrong: who may ask is decided by Kubernetes (whoever may write the ConfigMap of requests), and
that a person asks lifts no safety rule, but for the one that the person names: the loss of data.
"""

from collections.abc import Iterator

from attrs import frozen

from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.events import Payload
from statemachine.ids import Durability, Instance, Phase
from statemachine.observations import Request
from statemachine.view import View

KINDS = (
    "switchover",
    "failover",
    "pause",
    "resume",
    "durability",
    "observe",
    "reinit",
    "acknowledge",
)
ACTING = frozenset({"switchover", "failover", "reinit"})
PATIENCE_S = 3.0  # for what only has to wait a moment, a renewal under way for example


@frozen
class Refused:
    """Why a request cannot be granted, whatever the guards would say."""

    reason: str


@frozen
class Wanted:
    """What a request would be in the ledger."""

    payload: Payload
    subject: Instance | None
    why: str


def open_requests(cluster: Cluster, view: View) -> Iterator[Request]:
    """Those that are due and not answered, the oldest first."""
    for seen in view.requests:
        request = seen.request
        is_due = view.wall_s >= request.not_before_s or bool(request.trouble)
        if request.id not in cluster.answered and is_due:
            yield request


def wanted(cluster: Cluster, view: View, request: Request) -> tuple[Wanted | Refused, ...]:
    """What the request would be, in the order in which it is tried; never empty."""
    if request.trouble:
        return (Refused(request.trouble),)
    if view.wall_s > request.expires_s:
        return (Refused("it has expired before it could be granted"),)
    target = Instance(request.instance)
    known = {i.instance for i in view.instances}
    if request.instance and target not in known:
        there_are = ", ".join(sorted(known)) or "none"
        return (Refused(f"there is no instance {target}; there are {there_are}"),)
    if request.kind in ACTING and (idle := _why_idle(cluster, view)):
        return (Refused(idle),)
    why = f"{request.kind} asked for by {request.author}: {request.reason or 'no reason given'}"
    return tuple(_of_kind(cluster, view, request, why))


def _why_idle(cluster: Cluster, view: View) -> str:
    """Why what is begun now would not be carried out (S15): a change of main would close the
    writes and promote nobody."""
    if cluster.pause is not None:
        return f"paused by {cluster.pause.author}: resume first"
    if view.policy.observe_only:
        return "decisions are recorded only, by the setting OBSERVE_ONLY"
    return "decisions are recorded only: observe off first" if cluster.is_observed else ""


def _of_kind(cluster: Cluster, view: View, r: Request, why: str) -> Iterator[Wanted | Refused]:
    match r.kind:
        case "switchover":
            yield from _switchover(cluster, r, why)
        case "failover":
            yield _forced(cluster, view, r, why)
        case "pause":
            until_s = int(view.wall_s + r.for_s)
            yield Wanted(e.Paused(r.author, r.reason, until_s, r.id), None, why)
        case "resume":
            is_paused = cluster.pause is not None
            yield Wanted(e.Resumed(why, r.id), None, why) if is_paused else Refused("not paused")
        case "durability":
            yield _durability(r, why)
        case "observe":
            is_on = r.value == "on"
            good = r.value in ("on", "off")
            changed = Wanted(e.ObservingChanged(is_on, r.id), None, why)
            yield changed if good else Refused(f"observe is on or off, not {r.value!r}")
        case "reinit":
            target = Instance(r.instance)
            yield Wanted(e.ResetOrdered(target, r.id), target, why)
        case "acknowledge":
            yield Wanted(e.CooldownLifted(r.id), None, why)
        case _:
            yield Refused(f"unknown kind {r.kind!r}; known are {', '.join(KINDS)}")


def _switchover(cluster: Cluster, r: Request, why: str) -> Iterator[Wanted | Refused]:
    if cluster.phase is Phase.BOOTSTRAP:
        yield Refused("there is no main yet")
        return
    if r.instance and r.instance == cluster.main:
        yield Refused(f"{r.instance} is the main already")
        return
    members = [Instance(r.instance)] if r.instance else sorted(cluster.sync_replicas)
    for candidate in members:
        yield Wanted(e.SwitchoverStarted(candidate, why, r.id), candidate, why)
    if not members:
        yield Refused("no other instance holds every acknowledged write")


def _forced(cluster: Cluster, view: View, r: Request, why: str) -> Wanted | Refused:
    if r.confirm != view.policy.cluster_name:
        return Refused(f"confirm by the cluster's name, {view.policy.cluster_name!r}")
    if not r.instance:
        return Refused("name the instance that shall become main")
    candidate = Instance(r.instance)
    uuid = cluster.storage_uuid or view.storage_uuid(candidate)
    payload = e.FailoverForced(candidate, uuid, why, _verdict(cluster, view, candidate), r.id)
    return Wanted(payload, candidate, why)


def _verdict(cluster: Cluster, view: View, candidate: Instance) -> str:
    """What may be missing on an instance that a person makes main (S13)."""
    if candidate in cluster.sync:
        return ""  # as in any failover: known when it is promoted
    registration = cluster.registration_of(candidate)
    main = view.instance(cluster.main) if cluster.main else None
    row = main.row(registration.name) if main and registration else None
    lag = f", {-row.behind} timestamps behind when last seen" if row and row.behind else ""
    return f"unknown: {candidate} was not in the sync set{lag}"


def _durability(r: Request, why: str) -> Wanted | Refused:
    values = {d.value: d for d in Durability}
    if r.value not in values:
        return Refused(f"durability is one of {', '.join(values)}, not {r.value!r}")
    return Wanted(e.PolicyChanged(values[r.value], r.id), None, why)
