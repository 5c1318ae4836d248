"""The document of one instance: what was decided about it, and what is seen, with its age."""

from typing import Any

from controller.web.snapshot import Snapshot
from statemachine.cluster import Cluster
from statemachine.ids import Instance, Role, RowStatus
from statemachine.observations import Failure, PodFacts, Row
from statemachine.view import InstanceView, View

Document = dict[str, Any]


def age_s(now_s: float, at_s: float | None) -> float | None:
    """How old a fact is, in seconds; None when there is none."""
    return None if at_s is None else round(max(0.0, now_s - at_s), 3)


def names_of(cluster: Cluster, view: View) -> tuple[Instance, ...]:
    """Every instance that the ledger, the settings or a pod speaks of, in order of its number."""
    names = {i.instance for i in view.instances} | cluster.sync | set(view.policy.eligible)
    names |= {r.instance for r in cluster.registrations} | {r.instance for r in cluster.refused}
    names |= {cluster.main} if cluster.main else set()
    return tuple(sorted(names, key=by_number))


def by_number(name: str) -> tuple[str, int, str]:
    """`memgraph-10` comes after `memgraph-9`."""
    stem, _, tail = name.rpartition("-")
    return (stem, int(tail), "") if tail.isdecimal() else (name, -1, "")


def role_by_ledger(cluster: Cluster, instance: Instance) -> str:
    """main, candidate, sync, async, joining (registered as sync, not yet proven), refused, none."""
    registration = cluster.registration_of(instance)
    if cluster.change is not None and cluster.change.candidate == instance:
        return "candidate"
    if cluster.main == instance:
        return "main"
    if instance in cluster.sync:
        return "sync"
    if cluster.refusal_of(instance):
        return "refused"
    if registration is None:
        return "none"
    return "async" if registration.mode.value == "async" else "joining"


def role_seen(seen: InstanceView) -> str:
    """What it says of itself, or how it fails to."""
    if seen.failing_since_s is not None and seen.failure is not None:
        return seen.failure.value
    return seen.answer.role.value if seen.answer else "unseen"


def row_of(snapshot: Snapshot, instance: Instance) -> Row | None:
    """How the appointed main sees this replica."""
    cluster = snapshot.cluster
    registration = cluster.registration_of(instance)
    if cluster.main is None or registration is None:
        return None
    return snapshot.view.instance(cluster.main).row(registration.name)


def is_stray_main(cluster: Cluster, seen: InstanceView) -> bool:
    """Whether it says MAIN and the ledger did not appoint it."""
    says_main = seen.answer is not None and seen.answer.role is Role.MAIN
    candidate = cluster.change.candidate if cluster.change else None
    return says_main and seen.instance not in (cluster.main, candidate)


def has_auth_failed(seen: InstanceView) -> bool:
    """Whether it lives and does not accept our password now."""
    return seen.failing_since_s is not None and seen.failure is Failure.AUTH


def instance_document(snapshot: Snapshot, instance: Instance) -> Document:
    """Everything known of one instance."""
    cluster, seen = snapshot.cluster, snapshot.view.instance(instance)
    row, registration = row_of(snapshot, instance), cluster.registration_of(instance)
    refusal = cluster.refusal_of(instance)
    return {
        "name": instance,
        "role": role_by_ledger(cluster, instance),
        "role_seen": role_seen(seen),
        "is_stray_main": is_stray_main(cluster, seen),
        "is_reader": instance in cluster.readers,
        "mode": registration.mode.value if registration else "",
        "status": row.status.value if row else "",
        "behind": row.behind if row else None,
        "registration": registration.name if registration else "",
        "answer": _answer(snapshot.now_s, seen),
        "failure": _failure(snapshot.now_s, seen),
        "auth_failed": has_auth_failed(seen),
        "rows": [row_document(r) for r in (seen.answer.rows if seen.answer else None) or ()],
        "refused": refusal.text if refusal else "",
        "reset_token": refusal.token if refusal else 0,
        "outcome_unknown_for_s": age_s(
            snapshot.now_s, seen.unsettled.since_s if seen.unsettled else None
        ),
        "pod": pod_document(seen.pod),
    }


def _answer(now_s: float, seen: InstanceView) -> Document | None:
    if seen.answer is None:
        return None
    return {
        "age_s": age_s(now_s, seen.answer.at_s),
        "role": seen.answer.role.value,
        "version": seen.answer.version,
        "storage_uuid": seen.answer.storage_uuid,
        "incarnation": seen.answer.incarnation,
    }


def _failure(now_s: float, seen: InstanceView) -> Document | None:
    if seen.failing_since_s is None or seen.failure is None:
        return None
    return {
        "kind": seen.failure.value,
        "text": seen.failure_text,
        "for_s": age_s(now_s, seen.failing_since_s),
    }


def row_document(row: Row) -> Document:
    """One row of SHOW REPLICAS."""
    return {
        "name": row.name,
        "address": row.address,
        "mode": row.mode.value,
        "status": row.status.value,
        "behind": row.behind,
        "is_in_sync": row.is_in_sync,
    }


def pod_document(pod: PodFacts | None) -> Document | None:
    """What the API server says of the pod."""
    if pod is None:
        return None
    return {
        "uid": pod.uid,
        "ip": pod.ip,
        "ready": pod.ready,
        "deleting": pod.deleting,
        "container": pod.container.value,
        "restarts": pod.restarts,
        "node": pod.node,
    }


def instance_problems(snapshot: Snapshot, instance: Instance) -> list[str]:
    """What a person should know about this instance, a sentence each."""
    cluster, seen = snapshot.cluster, snapshot.view.instance(instance)
    found = []
    if is_stray_main(cluster, seen):
        found.append(f"{instance} says MAIN and is not the appointed main")
    if seen.failing_since_s is not None and seen.failure is not None:
        for_s = age_s(snapshot.now_s, seen.failing_since_s)
        text = f": {seen.failure_text}" if seen.failure_text else ""
        found.append(f"{instance} does not answer ({seen.failure.value} for {for_s} s){text}")
    refusal = cluster.refusal_of(instance)
    if refusal is not None:
        found.append(f"the main does not accept the data of {instance}: {refusal.text}")
    row = row_of(snapshot, instance)
    if row is not None and row.status in (RowStatus.DIVERGED, RowStatus.INVALID, RowStatus.ABSENT):
        found.append(f"the main says that replica {instance} is {row.status.value}")
    if row is not None and row.behind is not None and row.behind > 0:
        found.append(f"{instance} is ahead of the main by {row.behind}")
    return found
