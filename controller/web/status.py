"""The JSON documents of the HTTP API: pure functions of one Snapshot.

Promise: nothing here is computed from memory of earlier requests, so concurrent requests and
topology changes cannot meet (scenario 101). Ages are seconds at the moment of the snapshot; None
means that there is no such fact. What a newcomer gets wrong: a standby answers as fully as the
leader; only refusals are the leader's alone, for nobody else decides.
"""

from datetime import datetime

from controller.entries import between_s
from controller.web.asked import asked_document, asked_problems
from controller.web.instances import (
    Document,
    age_s,
    has_auth_failed,
    instance_document,
    instance_problems,
    names_of,
)
from controller.web.snapshot import Distribution, Snapshot
from controller.web.timings import Change, changes
from statemachine.decide import Refusal
from statemachine.ids import Phase
from statemachine.route import closed_because
from statemachine.view import GatewayView

LEDGER_LINES_MAX = 512  # of one answer; who wants more asks again with `since`


def status_document(snapshot: Snapshot, now: datetime) -> Document:
    """`/api/v1/status`. `now` is wall time, for people."""
    cluster, view = snapshot.cluster, snapshot.view
    found = problems(snapshot)
    return {
        "at": now.isoformat(timespec="milliseconds"),
        "pod": view.me,
        "started_at": snapshot.started_at.isoformat(timespec="milliseconds"),
        "healthy": not found,
        "problems": found,
        "phase": cluster.phase.value,
        "term": cluster.term,
        "main": cluster.main,
        "main_term": cluster.main_term,
        "writes": {
            "open": not closed_because(cluster),
            "why_closed": closed_because(cluster),
            "fenced_here": snapshot.is_fenced,
        },
        "sync": sorted(cluster.sync),
        "readers": sorted(cluster.readers),
        "durability": cluster.durability.value,
        "storage_uuid": cluster.storage_uuid,
        "loss_verdict": cluster.verdict,
        "leader": leader_document(snapshot),
        "change": change_document(snapshot),
        "last_change": last_change(snapshot, failovers_only=False),
        "last_failover": last_change(snapshot, failovers_only=True),
        "instances": [instance_document(snapshot, name) for name in names_of(cluster, view)],
        "registrations": [registration_document(snapshot, r.name) for r in cluster.registrations],
        "refusals": [refusal_document(r) for r in snapshot.refusals],
        "asked": asked_document(snapshot),
        "gateways": {kind: gateway_document(snapshot, kind) for kind in snapshot.gateways},
        "worker_restarts": snapshot.worker_restarts,
        "gateway_leases": [lease_document(snapshot.now_s, g) for g in view.gateways],
        "ledger": ledger_health(snapshot),
        "kube": {"trouble": snapshot.troubles},
        "auth_failed": [i.instance for i in view.instances if has_auth_failed(i)],
    }


def health_document(snapshot: Snapshot) -> Document:
    """`/health`: whether the cluster is well, and what is not."""
    found = problems(snapshot)
    return {
        "healthy": not found,
        "phase": snapshot.cluster.phase.value,
        "main": snapshot.cluster.main,
        "problems": found,
    }


def problems(snapshot: Snapshot) -> list[str]:
    """What a person should know now, the gravest first; empty: all is well."""
    cluster = snapshot.cluster
    found = []
    if cluster.phase is not Phase.OPERATIONAL:
        why = closed_because(cluster) or "there is no second copy of every write"
        found.append(f"the phase is {cluster.phase.value}: {why}")
    found += asked_problems(snapshot)
    if not snapshot.is_ledger_verified or snapshot.ledger_trouble:
        found.append(f"ledger: {snapshot.ledger_trouble or 'not read yet'}")
    found += [f"API server, {what}: {text}" for what, text in sorted(snapshot.troubles.items())]
    for name in names_of(cluster, snapshot.view):
        found += instance_problems(snapshot, name)
    if not snapshot.is_alive:
        found.append("the loop of this pod does not turn")
    found += [f"refused: {r.reason}" for r in snapshot.refusals if not r.is_pending]
    return found


def leader_document(snapshot: Snapshot) -> Document:
    """Who leads by the ledger, and whether that is this pod."""
    view = snapshot.view
    return {
        "identity": snapshot.cluster.leader,
        "is_this_pod": snapshot.is_leader,
        "for_s": age_s(snapshot.now_s, view.reign_since_s) if view.identity else None,
    }


def change_document(snapshot: Snapshot) -> Document | None:
    """The change of main under way."""
    change = snapshot.cluster.change
    if change is None:
        return None
    return {
        "cause": change.cause,
        "old_main": change.old_main,
        "candidate": change.candidate,
        "is_planned": change.is_planned,
        "is_drained": change.is_drained,
        "fence": change.fence,
    }


def last_change(snapshot: Snapshot, *, failovers_only: bool) -> Document | None:
    """The last change of main, renewals included or not, with its timings."""
    found = [c for c in changes(snapshot.told_lines) if c.is_failover or not failovers_only]
    return _timings(snapshot, found[-1]) if found else None


def _timings(snapshot: Snapshot, change: Change) -> Document:
    opened_at = snapshot.rw_opened_at if snapshot.rw_opened_term == change.term else ""
    return {
        "seq": change.seq,
        "on": change.trigger,
        "why": change.why,
        "term": change.term,
        "old_main": change.old_main,
        "new_main": change.new_main,
        "proof": change.proof,
        "loss_verdict": change.verdict,
        "detected_at": change.detected_at,
        "fenced_at": change.fenced_at,
        "promoted_at": change.promoted_at,
        "opened_at": opened_at,
        "fenced_after_s": change.fenced_after_s,
        "promoted_after_s": change.promoted_after_s,
        "opened_after_s": between_s(change.detected_at, opened_at),
    }


def registration_document(snapshot: Snapshot, name: str) -> Document:
    """A name that the present main owes to a replica."""
    registration = snapshot.cluster.registration(name)
    assert registration is not None, "asked for names of the ledger alone"
    main = snapshot.view.instance(snapshot.cluster.main) if snapshot.cluster.main else None
    row = main.row(name) if main else None
    return {
        "name": name,
        "instance": registration.instance,
        "mode": registration.mode.value,
        "address": registration.address,
        "is_joined": registration.is_joined,
        "status": row.status.value if row else "",
        "unready_for_s": round(main.unready_for_s(name, snapshot.now_s), 3) if main else None,
    }


def refusal_document(refusal: Refusal) -> Document:
    """A decision that was wanted, the guard that said no, and the facts that it saw."""
    return {
        "trigger": refusal.trigger,
        "candidate": refusal.candidate,
        "guard": refusal.guard,
        "saw": refusal.saw,
        "reason": refusal.reason,
        "is_pending": refusal.is_pending,
        "facts": dict(refusal.facts),
    }


def gateway_document(snapshot: Snapshot, kind: str) -> Document:
    """One gateway of this pod, with everything that the metrics tell of it."""
    counters = snapshot.gateways[kind]
    instances = sorted({*counters.bytes_up_by, *counters.bytes_down_by})
    return {
        "listening": snapshot.listening.get(kind, ""),
        "term": counters.term,
        "route_age_s": age_s(snapshot.now_s, snapshot.routed_at_s.get(kind)),
        "accepted": counters.accepted,
        "active": counters.active,
        "held": counters.held,
        "sessions": dict(counters.sessions),
        "refused": {str(k): v for k, v in counters.refused.items()},
        "ended": {str(k): v for k, v in counters.ended.items()},
        "cut": counters.cut,
        "cut_by_term": dict(counters.cut_by_term),
        "drained_by_term": dict(counters.drained_by_term),
        "dial_failures": counters.dial_failures,
        "failed_dials": dict(counters.failed_dials),
        "bytes_up": counters.bytes_up,
        "bytes_down": counters.bytes_down,
        "bytes_by_instance": {
            name: {
                "up": counters.bytes_up_by.get(name, 0),
                "down": counters.bytes_down_by.get(name, 0),
            }
            for name in instances
        },
        "lasted": _spent(counters.durations_s),
        "waited": _spent(counters.waits_s),
        "dialled": _spent(counters.dials_s),
    }


def _spent(found: Distribution) -> Document:
    return {"count": sum(found.counts), "total_s": round(found.total, 3)}


def lease_document(now_s: float, gateway: GatewayView) -> Document:
    """The gateway Lease of one pod, and how long ago we saw it change."""
    facts = gateway.facts
    return {
        "pod": facts.pod,
        "age_s": age_s(now_s, gateway.changed_at_s),
        "is_deleted": gateway.is_deleted,
        "acked_seq": facts.acked_seq,
        "rw_open": facts.rw_open,
        "term": facts.term,
        "sessions": facts.sessions,
        "vantage": dict(facts.vantage),
    }


def ledger_health(snapshot: Snapshot) -> Document:
    """Whether the history that this pod acts on was verified."""
    return {
        "seq": snapshot.cluster.seq,
        "head": snapshot.ledger_head,
        "verified": snapshot.is_ledger_verified,
        "trouble": snapshot.ledger_trouble,
        "missing_archives": list(snapshot.missing_archives),
        "entries": len(snapshot.ledger_lines),
        "bytes": sum(len(line) for line in snapshot.ledger_lines),
    }


def ledger_document(snapshot: Snapshot, since: int) -> str:
    """`/api/v1/ledger?since=N`: the lines after entry N as stored, at most LEDGER_LINES_MAX."""
    lines = snapshot.ledger_lines
    first = snapshot.cluster.seq - len(lines) + 1
    begin = max(0, since + 1 - first)
    return "".join(lines[begin : begin + LEDGER_LINES_MAX])
