"""Two narrower views of the status: where clients are sent, and what replication looks like."""

from controller.web.instances import Document, age_s, instance_document, names_of
from controller.web.snapshot import Snapshot
from controller.web.status import gateway_document, lease_document, registration_document
from statemachine.route import closed_because


def routing_document(snapshot: Snapshot) -> Document:
    """`/api/v1/routing`: the route by the ledger, and what became of it in each gateway."""
    cluster = snapshot.cluster
    why_closed = closed_because(cluster)
    return {
        "pod": snapshot.view.me,
        "term": cluster.main_term,
        "write": {
            "to": None if why_closed else cluster.main,
            "why_closed": why_closed,
            "fenced_here": snapshot.is_fenced,
            "ledger_read_age_s": age_s(snapshot.now_s, snapshot.head_age_from_s),
        },
        "read": {"to": sorted(cluster.readers)},
        "gateways": {kind: gateway_document(snapshot, kind) for kind in snapshot.gateways},
        "worker_restarts": snapshot.worker_restarts,
        "gateway_leases": [lease_document(snapshot.now_s, g) for g in snapshot.view.gateways],
    }


def replicas_document(snapshot: Snapshot) -> Document:
    """`/api/v1/replicas`: every instance but the main, and the names that the main owes."""
    cluster = snapshot.cluster
    names = [name for name in names_of(cluster, snapshot.view) if name != cluster.main]
    return {
        "pod": snapshot.view.me,
        "main": cluster.main,
        "sync": sorted(cluster.sync),
        "replicas": [instance_document(snapshot, name) for name in names],
        "registrations": [registration_document(snapshot, r.name) for r in cluster.registrations],
    }
