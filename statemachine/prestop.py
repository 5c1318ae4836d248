"""May this instance stop now? What the preStop hook of its pod waits for: pure.

Promise: a yes stays true, for nobody whose pod is being deleted is made main, candidate or
synchronous any more. What a newcomer gets wrong: the hook decides nothing; the deletion of the pod
itself is what makes the leader hand over (S3), and a pod that is killed all the same costs time,
never a write.
"""

from attrs import frozen

from statemachine import facts as f
from statemachine.cluster import Cluster
from statemachine.ids import Instance, Phase, RowStatus
from statemachine.view import View


@frozen
class Stop:
    """The answer, and the reason for people."""

    is_safe: bool
    reason: str


def may_stop(cluster: Cluster, view: View, instance: Instance) -> Stop:
    """Whether clients would not notice that the instance stops, by what this process knows."""
    reason = (
        _why_not_known(cluster, view, instance)
        or _why_needed(cluster, instance)
        or _why_waited_for(cluster, view, instance)
        or _who_catches_up(cluster, view, instance)
    )
    return Stop(not reason, reason or f"{instance} is neither main nor waited for")


def _why_not_known(cluster: Cluster, view: View, instance: Instance) -> str:
    if not view.pods_known:
        return "the pods are not listed yet"
    pod = view.instance(instance).pod
    if pod is not None and not pod.deleting:
        return f"the pod of {instance} is not being deleted, as far as is known here"
    return ""


def _why_needed(cluster: Cluster, instance: Instance) -> str:
    change = cluster.change
    if cluster.phase is Phase.BOOTSTRAP or cluster.main is None:
        return ""  # nothing was ever acknowledged
    if change is not None and instance in (change.old_main, change.candidate):
        return f"the main changes, and {instance} takes part"
    if instance == cluster.main:
        waits = "" if cluster.sync_replicas else "; there is no second copy that could take over"
        return f"{instance} is the main{waits}"
    if instance in cluster.sync:
        return f"{instance} is in the sync set: writes wait for it"
    return ""


def _why_waited_for(cluster: Cluster, view: View, instance: Instance) -> str:
    """Its synchronous row makes the main refuse writes the moment it stops."""
    if not cluster.rw_open or cluster.main is None or instance == cluster.main:
        return ""
    if not f.rows_are_current(view, cluster.main):
        return "the rows of the main were not read just now"
    registration = cluster.registration_of(instance)
    row = view.instance(cluster.main).row(registration.name) if registration else None
    waits = row is not None and row.mode is view.policy.mode
    return f"the main still waits for {instance}" if waits else ""


def _who_catches_up(cluster: Cluster, view: View, instance: Instance) -> str:
    """The next pod is not stopped while the last one catches up. One that does not answer, or that
    the main does not accept, is not waited for: that may last for ever (scenario 71)."""
    if cluster.main is None:
        return ""
    for seen in view.instances:
        other = seen.instance
        if other in (instance, cluster.main) or not view.is_answering(other):
            continue
        if cluster.refusal_of(other) is not None or f.is_leaving(view, other):
            continue
        registration = cluster.registration_of(other)
        row = view.instance(cluster.main).row(registration.name) if registration else None
        if row is None or row.status not in (RowStatus.READY, RowStatus.REPLICATING):
            return f"{other} catches up"
        if registration is not None and _is_joining(cluster, view, other):
            return f"{other} becomes synchronous"
    return ""


def _is_joining(cluster: Cluster, view: View, instance: Instance) -> bool:
    return instance in view.policy.eligible and instance not in cluster.sync
