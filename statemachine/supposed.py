"""A view for a point in history, of which only the ledger is left.

Promise: everybody that the ledger names runs and is what it was appointed to be. What a newcomer
gets wrong: that is an assumption, not a record. What was really seen then is in the facts of the
entries, and only there.
"""

from statemachine.cluster import Cluster
from statemachine.edits import change
from statemachine.ids import Incarnation, Instance, Role, RowStatus
from statemachine.observations import Container, GatewayFacts, PodFacts, ProbeAnswered, Row
from statemachine.view import GatewayView, InstanceView, Policy, View


def supposed_view(cluster: Cluster, policy: Policy) -> View:
    """What a leader would have seen if all had been well. `policy`: settings are not in the ledger,
    but for the durability, which is taken from it."""
    names = sorted({r.instance for r in cluster.registrations} | cluster.sync)
    gateway = GatewayFacts("gateway", "1", cluster.seq, cluster.rw_open, cluster.main_term)
    return View(
        policy=change(policy, durability=cluster.durability_setting),
        identity=cluster.leader,
        instances=tuple(_seen(cluster, name, i) for i, name in enumerate(names, 1)),
        gateways=(GatewayView(gateway, 0.0),),
        gateways_watched_since_s=-policy.gateway_barrier_s,
        gateways_seen_at_s=0.0,
        gateways_read_after=cluster.seq,
        pods_known=True,
        term=cluster.term,
        seq=cluster.seq,
    )


def _seen(cluster: Cluster, name: Instance, number: int) -> InstanceView:
    is_main = name == cluster.main
    rows = tuple(Row(r.name, r.address, r.mode, RowStatus.READY, 0) for r in cluster.registrations)
    answer = ProbeAnswered(
        name,
        0.0,
        0.0,
        Incarnation(number),
        Role.MAIN if is_main else Role.REPLICA,
        storage_uuid=cluster.storage_uuid,
        rows=rows if is_main else None,
    )
    return InstanceView(name, pod=_pod(cluster, name), answer=answer, token_written=0)


def _pod(cluster: Cluster, name: Instance) -> PodFacts:
    """In the incarnation that the ledger has noted ("uid/restarts"), else some other."""
    registration = cluster.registration_of(name)
    noted = registration.pod if registration else ""
    uid, _, restarts = (noted or f"{name}/0").rpartition("/")
    ip = registration.address.rsplit(":", 1)[0] if registration else name
    count = int(restarts) if restarts.isdecimal() else 0
    return PodFacts(name, uid, ip, ready=True, container=Container.RUNNING, restarts=count)
