"""Guards of registrations, of the sync set and of resets."""

from statemachine import facts as f
from statemachine.facts import Situation
from statemachine.guards.base import Fact
from statemachine.ids import Instance, Role, RowStatus


def carried_replicas(s: Situation) -> frozenset[Instance]:
    """The replicas proved complete on their present name, in one incarnation of each."""
    return frozenset(r.instance for r in s.cluster.registrations if proof_of_sync(s, r.name))


def proof_of_sync(s: Situation, name: str) -> bool:
    """Whether a marker went through while this name's row was in sync, and the replica's process
    is the one that was there before the marker started. Its last answer has to be younger than the
    kubelet's last word on it: else its end is known already (S3). An older word is not asked, for a
    kubelet may be cut off from the API server while what it started serves."""
    cluster, view = s.cluster, s.view
    registration = cluster.registration(name)
    main = cluster.change.candidate if cluster.change else cluster.main
    if registration is None or main is None:
        return False
    marker = view.instance(main).marker
    replica = view.instance(registration.instance)
    answer, row = replica.answer, view.instance(main).row(name)
    return (
        marker is not None
        and answer is not None
        and row is not None
        and marker.term == cluster.term
        and name in marker.names
        and answer.incarnation == dict(marker.incarnations).get(registration.instance)
        and answer.asked_at_s >= marker.at_s
        and view.is_answering(registration.instance)
        and replica.pod is not None
        and answer.asked_at_s >= replica.process_told_at_s
        and row.status in (RowStatus.READY, RowStatus.REPLICATING)
    )


def sync_is_proven(s: Situation) -> Fact:
    """Present name, present incarnation, in sync, and a marker went through afterwards (S3)."""
    return Fact(
        proof_of_sync(s, s.name),
        f"{s.name}: marker " + ("went through" if proof_of_sync(s, s.name) else "not through yet"),
        True,
    )


def mode_is_sync(s: Situation) -> Fact:
    """Only a STRICT_SYNC (or SYNC, if asked for) registration of an eligible instance counts."""
    registration = s.cluster.registration(s.name)
    ok = registration is not None and registration.mode is s.view.policy.mode
    return Fact(ok, registration.mode.value if registration else "no such registration")


def sync_is_unready_or_leaves(s: Situation) -> Fact:
    """The sync replica's row has been unready for longer than its grace, or its pod is being
    deleted: then writes stop waiting for it *before* it stops. Or it answers with another storage:
    what it held is gone, although an idle main may go on calling it ready (S10)."""
    if s.subject is not None and f.is_leaving(s.view, s.subject):
        return Fact(True, f"the pod of {s.subject} is being deleted")
    if s.subject is not None and f.lost_its_copy(s.cluster, s.view, s.subject):
        return Fact(True, f"{s.subject} carries {s.view.storage_uuid(s.subject)}")
    waited_s = s.main.unready_for_s(s.name, s.view.now_s)
    grace_s = s.view.policy.sync_grace_s
    return Fact(
        waited_s >= grace_s, f"{s.name} unready for {waited_s:.1f} s of {grace_s:.1f} s", True
    )


def copies_are_registered(s: Situation) -> Fact:
    """Every other member of the sync set has a joined name; else the main has lost its rows, and
    is given a new term (S2)."""
    joined = {r.instance for r in s.cluster.registrations if r.is_joined}
    missing = sorted(s.cluster.sync_replicas - joined)
    return Fact(not missing, f"without a name: {', '.join(missing) or 'nobody'}", True)


def another_copy_remains(s: Situation) -> Fact:
    """Without it another replica still holds every acknowledged write."""
    rest = s.cluster.sync_replicas - {s.subject}
    return Fact(bool(rest), f"remaining: {', '.join(sorted(rest)) or 'nobody'}")


def no_copy_remains(s: Situation) -> Fact:
    """Without it the main alone holds every acknowledged write."""
    rest = s.cluster.sync_replicas - {s.subject}
    return Fact(not rest, f"remaining: {', '.join(sorted(rest)) or 'nobody'}")


def main_is_alone_in_being_main(s: Situation) -> Fact:
    """A replica is never registered while another instance may be a main that is neither demoted
    nor fenced (S5)."""
    strays = f.stray_mains(s.cluster, s.view)
    return Fact(not strays, f"stray mains: {', '.join(strays) or 'none'}", True)


def epoch_has_a_commit(s: Situation) -> Fact:
    """A lone main has written something in its present epoch before anybody follows it (F14)."""
    lacks = f.epoch_lacks_a_commit(s.cluster, s.view)
    return Fact(
        not lacks, "no commit in this epoch yet" if lacks else "committed, or not alone", True
    )


def register_has_ended(s: Situation) -> Fact:
    """No REGISTER is on its way to the main: the row that it makes would be nobody's (S8)."""
    since_s = s.view.registering_since_s
    waits = f"REGISTER under way for {s.view.now_s - since_s:.1f} s" if since_s is not None else ""
    return Fact(not waits, waits or "none under way", True)


def replica_is_usable(s: Situation) -> Fact:
    """The replica answers as REPLICA, carries our storage or is empty, and was not refused. A
    member of the sync set whose disk is gone is not given a name before it left the set: REGISTER
    makes it carry our storage, and what shows that it holds nothing would be gone (S10)."""
    assert s.subject is not None
    if not s.view.answers_as(s.subject, Role.REPLICA):
        return Fact(False, "does not answer as REPLICA", True)
    if s.subject in s.cluster.sync and not f.is_ours(s.cluster, s.view, s.subject):
        return Fact(False, "in the sync set, and its disk is gone", True)
    if not f.is_ours(s.cluster, s.view, s.subject) and not f.is_empty(s.view, s.subject):
        return Fact(False, f"foreign storage {s.view.storage_uuid(s.subject)}, not empty")
    refused = s.cluster.refusal_of(s.subject)
    return Fact(refused is None, refused.text if refused else "REPLICA, ours or empty")


def address_is_free(s: Situation) -> Fact:
    """No row of the main uses the replica's address: Memgraph refuses two (Error 2)."""
    assert s.subject is not None
    wanted = f.replication_address(s.view, s.subject)
    change = s.cluster.change
    main = s.view.instance(change.candidate) if change else s.main
    taken = [
        r.name for r in (main.answer.rows if main.answer else None) or () if r.address == wanted
    ]
    return Fact(
        bool(wanted) and not taken, f"{wanted or 'no IP'} used by {taken or 'nobody'}", True
    )
