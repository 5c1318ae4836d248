"""Guards of registrations, of the sync set and of resets."""

from statemachine import facts as f
from statemachine.cluster import SetAside
from statemachine.facts import Situation
from statemachine.guards.base import Fact
from statemachine.ids import Instance, Role, RowStatus


def carried_replicas(s: Situation) -> frozenset[Instance]:
    """The replicas proved complete on their present name, in one incarnation of each."""
    return frozenset(r.instance for r in s.cluster.registrations if proof_of_sync(s, r.name))


def proof_of_sync(s: Situation, name: str) -> bool:
    """Whether a marker went through while this name's row was in sync, and the replica's process
    is the one that was there before the marker started (S3)."""
    cluster, view = s.cluster, s.view
    registration = cluster.registration(name)
    main = cluster.change.candidate if cluster.change else cluster.main
    if registration is None or main is None:
        return False
    marker = view.instance(main).marker
    answer = view.instance(registration.instance).answer
    row = view.instance(main).row(name)
    return (
        marker is not None
        and answer is not None
        and row is not None
        and marker.term == cluster.term
        and name in marker.names
        and answer.incarnation == dict(marker.incarnations).get(registration.instance)
        and answer.asked_at_s >= marker.at_s
        and view.is_answering(registration.instance)
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


def reset_is_allowed(s: Situation) -> Fact:
    """Settings allow it: `safe` only when the verdict of the last change of main is "none", for
    else the refused instance may hold the only copy of an acknowledged write, and a person has to
    look at it first (S12)."""
    how, verdict = s.view.policy.reset, s.cluster.verdict or "none"
    ok = how == "always" or (how == "safe" and verdict == "none")
    return Fact(ok, f"AUTO_RESET is {how}, the loss verdict is {verdict}")


def reset_is_due(s: Situation) -> Fact:
    """The last reset of this instance is long ago."""
    last_s = s.view.instance(s.subject).reset_at_s if s.subject else None
    limit_s = s.view.policy.reset_interval_s
    waited_s = limit_s if last_s is None else s.view.now_s - last_s
    saw = "never before" if last_s is None else f"{waited_s:.0f} s ago"
    return Fact(waited_s >= limit_s, saw, True)


def token_is_withdrawn(s: Situation) -> Fact:
    """No reset token waits for the instance's next start: its data will stay (S12)."""
    token = s.view.instance(s.subject).token_written if s.subject else None
    return Fact(token == 0, "none" if token == 0 else "not withdrawn yet", True)


def subject_is_expendable(s: Situation) -> Fact:
    """Never the main, never a member of the sync set, and demoted (S12)."""
    assert s.subject is not None
    ok = s.subject not in s.cluster.sync and s.subject != s.cluster.main
    ok = ok and s.view.answers_as(s.subject, Role.REPLICA)
    return Fact(ok, f"sync set: {', '.join(sorted(s.cluster.sync))}")


def copy_is_old(s: Situation) -> Fact:
    """It was set aside at least DIVERGED_KEEP ago, by the clocks of the leaders."""
    copy, keep_s = _copy(s), s.view.policy.diverged_keep_s
    age_s = s.view.wall_s - copy.at_s if copy else 0.0
    return Fact(copy is not None and age_s >= keep_s, f"{age_s:.0f} s of {keep_s:.0f} s", True)


def loss_was_looked_at(s: Situation) -> Fact:
    """What may hold an acknowledged write that is nowhere else goes only after a person has
    acknowledged that incident (S12, S13)."""
    copy = _copy(s)
    ok = copy is not None and not copy.needs_a_person
    return Fact(ok, f"the loss verdict was {(copy and copy.verdict) or 'none'}", True)


def redundancy_is_whole(s: Situation) -> Fact:
    """Every instance that may become main holds every acknowledged write, so each has joined since
    its own reset, and the instance of the copy follows the main as well (S12)."""
    missing = sorted(set(s.view.policy.eligible) - s.cluster.sync)
    follows = s.subject in s.cluster.sync | s.cluster.readers
    left = [*missing, *([] if follows else [str(s.subject)])]
    return Fact(not left, f"without every write: {', '.join(left) or 'nobody'}", True)


def _copy(s: Situation) -> SetAside | None:
    found = (c for c in s.cluster.set_aside if (c.instance, str(c.token)) == (s.subject, s.name))
    return next(found, None)
