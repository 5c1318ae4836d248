"""What guards look at: a situation, and the pure questions that several decisions ask of it."""

import re

from attrs import frozen

from statemachine.cluster import Cluster, Registration
from statemachine.ids import Instance, Mode, Role, RowStatus
from statemachine.observations import Failure
from statemachine.view import GatewayView, InstanceView, View

GENERATION = re.compile(r"_g([0-9]{1,15})\Z")  # as `registration_name` writes it
COUNTS_AS_PRESENT = frozenset(
    {RowStatus.READY, RowStatus.REPLICATING, RowStatus.RECOVERY, RowStatus.INVALID}
)
"""A STRICT_SYNC row in one of these makes the main refuse writes that the replica does not have
(S7); `{}` and `diverged` do not."""


@frozen
class Situation:
    """The cluster, the view, and whom the decision is about."""

    cluster: Cluster
    view: View
    subject: Instance | None = None
    name: str = ""

    @property
    def main(self) -> InstanceView:
        """The view of the appointed main."""
        return self.view.instance(self.cluster.main or Instance(""))


@frozen
class Evidence:
    """Why the appointed main is thought to be lost. `needs_agreement`: one vantage point is not
    enough; `needs_s`: for how long it has to last."""

    cause: str
    since_s: float
    needs_agreement: bool
    needs_s: float = 0.0


def evidence_against_main(cluster: Cluster, view: View) -> Evidence | None:
    """What speaks against the appointed main, None while it is what the ledger says."""
    if cluster.main is None:
        return None
    main = view.instance(cluster.main)
    if main.failing_since_s is not None:
        return _evidence_of_failure(main, main.failing_since_s, view)
    if not view.is_answering(cluster.main) or main.answer is None:
        return None
    answer = main.answer
    if answer.role is Role.REPLICA:
        return Evidence("the main came back as REPLICA", answer.at_s, needs_agreement=False)
    if cluster.storage_uuid and answer.storage_uuid not in ("", cluster.storage_uuid):
        return Evidence("the main lost its data: foreign storage", answer.at_s, False)
    if answer.role is Role.MAIN and answer.asked_at_s >= main.touched_at_s:
        return _evidence_of_rows(cluster, main)
    return None


def _evidence_of_failure(main: InstanceView, since_s: float, view: View) -> Evidence | None:
    match main.failure:
        case Failure.REFUSED | Failure.NO_ADDRESS:
            return Evidence("the main refuses connections", since_s, needs_agreement=True)
        case Failure.SILENT:
            grace_s = view.policy.main_grace_s
            return Evidence("the main is silent", since_s, needs_agreement=True, needs_s=grace_s)
        case _:  # it answered something: it lives
            return None


def _evidence_of_rows(cluster: Cluster, main: InstanceView) -> Evidence | None:
    assert main.answer is not None
    for replica in sorted(cluster.sync_replicas):
        registration = cluster.registration_of(replica)
        row = main.row(registration.name) if registration else None
        if row is None or row.status not in COUNTS_AS_PRESENT:
            text = f"the main has no working row for {replica}"
            return Evidence(text, main.answer.at_s, needs_agreement=False)
        if row.behind is not None and row.behind > 0:
            text = f"{replica} is ahead of the main by {row.behind}"
            return Evidence(text, main.answer.at_s, needs_agreement=False)
    return None


def was_seen_whole(cluster: Cluster, view: View) -> bool:
    """Whether the main was asked right before it failed, and its replicas had everything. It
    acknowledges also what a replica did not hear of (MEMGRAPH 3.6a), and shows that until the
    replica has caught up: whoever did not look excludes nothing (S13)."""
    main = view.instance(cluster.main or Instance(""))
    answer = main.answer
    if answer is None or answer.role is not Role.MAIN or main.is_behind:
        return False
    failed_s = view.now_s if main.failing_since_s is None else main.failing_since_s
    rows = {row.name for row in answer.rows or ()}
    told = [cluster.registration_of(replica) for replica in cluster.sync_replicas]
    were_there = all(r is not None and r.name in rows for r in told)
    return failed_s - answer.at_s <= view.policy.fresh_s and were_there


def other_vantages(view: View, instance: Instance) -> tuple[tuple[str, str], ...]:
    """What other living controller pods say of an instance: (pod, "ok" | how it fails)."""
    living = (g for g in view.gateways if g.facts.pod != view.me and not is_expired(view, g))
    return tuple((g.facts.pod, g.facts.vantage.get(instance, "unseen")) for g in living)


def is_expired(view: View, gateway: GatewayView) -> bool:
    """Whether this gateway has surely closed RW by itself: its Lease did not move, as we saw it,
    for longer than its own self-fence allows."""
    return view.now_s - gateway.changed_at_s > view.policy.gateway_barrier_s


def unfenced_gateways(cluster: Cluster, view: View) -> tuple[str, ...]:
    """The gateways that may still relay writes of before the last event that closed RW (S6). A
    deleted Lease counts as unacknowledged until it would have expired."""
    return tuple(
        g.facts.pod
        for g in view.gateways
        if not is_expired(view, g) and (g.is_deleted or g.facts.acked_seq < cluster.rw_closed_seq)
    )


def is_ours(cluster: Cluster, view: View, instance: Instance) -> bool:
    """Whether the instance carries the cluster's storage (S10)."""
    return bool(cluster.storage_uuid) and view.storage_uuid(instance) == cluster.storage_uuid


def lost_its_copy(cluster: Cluster, view: View, instance: Instance) -> bool:
    """Whether a member of the sync set answers with another storage: its disk is gone, whatever its
    row on the main still says (S10, F8)."""
    uuid = view.storage_uuid(instance)
    return view.is_answering(instance) and uuid not in ("", cluster.storage_uuid)


def may_be_refilled(cluster: Cluster, view: View, instance: Instance) -> bool:
    """Whether a member of the sync set may carry our storage without its data. REGISTER makes
    whoever listens at the address carry it, also late and also one that came back without its disk:
    a member that was given a name by a candidate and has restarted since may hold nothing, until a
    marker goes through it (S10)."""
    was = dict(cluster.unproven_pods).get(instance, "")
    has_restarted = was not in ("", view.instance(instance).pod_incarnation)
    return has_restarted and is_ours(cluster, view, instance)


def doubt_about(instance: Instance) -> str:
    """What is said of one that may have been refilled."""
    return f"{instance} restarted since it was registered: it may hold nothing"


def is_usable(cluster: Cluster, view: View, instance: Instance) -> bool:
    """Whether a member of the sync set answers, with our storage and its own data."""
    is_its_own = is_ours(cluster, view, instance) and not may_be_refilled(cluster, view, instance)
    return view.is_answering(instance) and is_its_own


def is_empty(view: View, instance: Instance) -> bool:
    """Whether the instance was just proved to hold no node."""
    answer = view.instance(instance).answer
    return answer is not None and answer.node_count == 0


def choose_candidate(cluster: Cluster, view: View) -> Instance | None:
    """Who shall be main: the recorded main itself when it can be reached (it is always safe and
    poisons no history, S2, S9), else a reachable member of the sync set, else any member (whose
    guards will say what is missing). One whose pod is being deleted comes behind those that stay,
    but not when it may hold a write that they lack: that is shared first. None: the sync set is
    empty. Where nobody is usable, one that a person could force comes before one without data."""

    def rank(instance: Instance) -> tuple[bool, bool, bool, bool, bool, str]:
        answers = view.is_answering(instance)
        usable = is_usable(cluster, view, instance)
        is_gone = lost_its_copy(cluster, view, instance)
        leaves = is_leaving(view, instance) and not cluster.was_main_silent
        return (not usable, not answers, is_gone, leaves, instance != cluster.main, instance)

    members = sorted(cluster.sync, key=rank)
    return members[0] if members else None


def is_idle(cluster: Cluster, view: View) -> bool:
    """Whether a person wants nothing to be done: paused, or observed only."""
    return cluster.pause is not None or cluster.is_observed or view.policy.observe_only


def is_leaving(view: View, instance: Instance) -> bool:
    """Whether its pod is being deleted: it still answers, and will stop soon."""
    pod = view.instance(instance).pod
    return pod is not None and pod.deleting


def stray_mains(cluster: Cluster, view: View) -> tuple[Instance, ...]:
    """Instances that say MAIN and are neither the appointed main nor the candidate."""
    change = cluster.change
    allowed = {change.candidate, change.old_main} if change else {cluster.main}
    return tuple(
        i.instance
        for i in view.instances
        if i.instance not in allowed and view.answers_as(i.instance, Role.MAIN)
    )


def wanted_mode(cluster: Cluster, view: View, instance: Instance) -> Mode:
    """STRICT_SYNC (or SYNC, if asked for) for eligible instances that do not lag, else ASYNC."""
    is_eligible = instance in view.policy.eligible and instance not in cluster.lagging
    return view.policy.mode if is_eligible else Mode.ASYNC


def registration_name(instance: Instance, generation: int) -> str:
    """`memgraph_1_g42`: a name that was never used before. Hyphens are a syntax error there."""
    return f"{instance.replace('-', '_').replace('.', '_')}_g{generation}"


def generation_found(view: View, main: Instance) -> int:
    """The highest generation in the names of a main's rows, 0 without any: names go on behind it,
    for a late command may still mean an old one (S8)."""
    answer = view.instance(main).answer
    names = (GENERATION.search(row.name) for row in (answer.rows if answer else None) or ())
    return max((int(found[1]) for found in names if found), default=0)


def replication_address(view: View, instance: Instance) -> str:
    """Where the main reaches the replica: a name that survives the pod, or else the pod's IP; ""
    while there is no IP (no socket may be opened then)."""
    pod = view.instance(instance).pod
    if pod is None or not pod.ip:
        return ""
    domain = view.policy.replication_domain
    host = f"{instance}.{domain}" if domain else pod.ip
    return f"{host}:{view.policy.replication_port}"


def rows_are_current(view: View, main: Instance) -> bool:
    """Whether the main's rows were asked for after the last command on it ended."""
    seen = view.instance(main)
    return (
        view.answers_as(main, Role.MAIN)
        and seen.answer is not None
        and seen.answer.rows is not None
        and seen.answer.asked_at_s >= seen.touched_at_s
    )


def restarted_members(cluster: Cluster, view: View) -> tuple[Registration, ...]:
    """Sync replicas that restarted since they were first registered in this epoch: everybody would
    refuse them once they are promoted, unless the epoch is renewed first (MEMGRAPH L4)."""
    first = dict(cluster.epoch_pods)
    return tuple(
        r
        for r in cluster.registrations
        if r.is_joined
        and first.get(r.instance, r.pod)
        and view.instance(r.instance).pod is not None
        and view.instance(r.instance).pod_incarnation != first.get(r.instance, r.pod)
    )


def epoch_lacks_a_commit(cluster: Cluster, view: View) -> bool:
    """Whether a main without any other copy has perhaps not committed anything in its epoch yet: a
    replica that is registered before is refused later (MEMGRAPH L5). With other copies it must not
    commit before they are registered, for that commit would be on the main alone."""
    if cluster.main is None or cluster.change is not None or cluster.sync_replicas:
        return False
    main = view.instance(cluster.main)
    has_rows = main.answer is not None and bool(main.answer.rows)
    return not has_rows and (main.marker is None or main.marker.term < cluster.main_term)


def registrations_found(view: View, main: Instance) -> tuple[Registration, ...]:
    """The rows of a main that is adopted, as registrations: known by the replica's address."""
    by_address = {replication_address(view, i.instance): i.instance for i in view.instances}
    answer = view.instance(main).answer
    return tuple(
        Registration(row.name, by_address[row.address], row.mode, row.address)
        for row in (answer.rows if answer else None) or ()
        if row.address in by_address and by_address[row.address] != main
    )


def foreign_rows(cluster: Cluster, view: View) -> tuple[str, ...]:
    """Working rows of the main that no registration owns: of a cluster that was adopted, or made by
    hand. They cannot be dropped safely while clients write, and block their address."""
    owned = {r.name for r in cluster.registrations}
    answer = view.instance(cluster.main).answer if cluster.main else None
    working = (RowStatus.READY, RowStatus.REPLICATING, RowStatus.RECOVERY)
    return tuple(
        row.name
        for row in (answer.rows if answer else None) or ()
        if row.name not in owned and row.status in working
    )
