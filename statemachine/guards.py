"""Guards: named pure questions that a decision must answer with yes, each telling what it saw.

`decide` asks them one by one, so that a refusal names the guard and its fact. Replay never asks
them again: the facts were true then and are stored in the event.
"""

from collections.abc import Callable

from attrs import frozen

from statemachine import facts as f
from statemachine.facts import Situation
from statemachine.ids import Durability, Instance, Mode, Role, RowStatus
from statemachine.observations import Row


@frozen
class Fact:
    """A guard's answer. `is_pending`: a no that only has to wait (a grace is not over yet)."""

    ok: bool
    saw: str
    is_pending: bool = False


Guard = Callable[[Situation], Fact]


def reign_is_new(s: Situation) -> Fact:
    """The ledger does not know the present leader yet."""
    return Fact(s.cluster.leader != s.view.identity, f"leader was {s.cluster.leader or 'none'}")


def pods_are_known(s: Situation) -> Fact:
    """The pods were listed: without them nobody knows who is missing."""
    return Fact(s.view.pods_known, "listed" if s.view.pods_known else "not listed yet", True)


def eligible_answer(s: Situation) -> Fact:
    """Every instance that may become main answers (by name: waiting for any two is not enough)."""
    missing = [i for i in s.view.policy.eligible if not _is_counted(s, i)]
    return Fact(not missing, f"waiting for {', '.join(missing)}" if missing else "all answer", True)


def _is_counted(s: Situation, instance: Instance) -> bool:
    answer = s.view.instance(instance).answer
    return s.view.is_answering(instance) and answer is not None and answer.node_count is not None


def proven_empty(s: Situation) -> Fact:
    """Every eligible instance was counted and holds no node, and no main has replicas."""
    full = [i for i in s.view.policy.eligible if not f.is_empty(s.view, i)]
    answers = ((i.instance, i.answer) for i in s.view.instances)
    leading = [name for name, a in answers if a is not None and a.rows]
    saw = f"with data: {', '.join(full) or 'none'}; with replicas: {', '.join(leading) or 'none'}"
    return Fact(not full and not leading, saw)


def no_instance_has_data(s: Situation) -> Fact:
    """Nobody else holds nodes either: an appointment must not hide data."""
    others = (i for i in s.view.instances if i.answer is not None and i.answer.node_count)
    full = [f"{i.instance} has {i.answer.node_count} nodes" for i in others if i.answer]
    return Fact(not full, "; ".join(full) or "none")


def one_main_is_followed(s: Situation) -> Fact:
    """Exactly one instance says MAIN, it is eligible and has replicas or is the only one with
    data, and all others are replicas."""
    mains = [i.instance for i in s.view.instances if s.view.answers_as(i.instance, Role.MAIN)]
    ok = mains == [s.subject] and s.subject in s.view.policy.eligible
    return Fact(ok, f"mains: {', '.join(mains) or 'none'}")


def identity_is_known(s: Situation) -> Fact:
    """The subject's storage UUID was read."""
    uuid = s.view.storage_uuid(s.subject) if s.subject else ""
    return Fact(bool(uuid), uuid or "not read")


def evidence_lasts(s: Situation) -> Fact:
    """What speaks against the main has lasted long enough."""
    evidence = f.evidence_against_main(s.cluster, s.view)
    if evidence is None:
        return Fact(False, "none")
    lasted_s = s.view.now_s - evidence.since_s
    saw = f"{evidence.cause} for {lasted_s:.1f} s of {evidence.needs_s:.1f} s"
    return Fact(lasted_s >= evidence.needs_s, saw, True)


def vantages_agree(s: Situation) -> Fact:
    """One vantage point that alone cannot reach the main is no reason to fail over."""
    evidence = f.evidence_against_main(s.cluster, s.view)
    if evidence is None or s.cluster.main is None or not evidence.needs_agreement:
        return Fact(True, "the main itself says so")
    if s.main.kubelet_says_gone and evidence.needs_s == 0.0:
        return Fact(True, "the kubelet says that the process is gone")
    others = [v for v in f.other_vantages(s.view, s.cluster.main) if v[1] != "unseen"]
    reach_it = [pod for pod, state in others if state == "ok"]
    total = 1 + len(others)
    saw = f"{total - len(reach_it)} of {total} vantage points"
    return Fact(2 * len(reach_it) < total, saw, True)


def no_registration_under_way(s: Situation) -> Fact:
    """A REGISTER of a silent target freezes its main: that is not a dead main (L9)."""
    since_s = s.view.registering_since_s
    evidence = f.evidence_against_main(s.cluster, s.view)
    silent = evidence is not None and evidence.needs_s > 0
    frozen_s = s.view.now_s - since_s if since_s is not None else 0.0
    may_be_frozen = since_s is not None and frozen_s < s.view.policy.register_freeze_s and silent
    return Fact(
        not may_be_frozen, f"REGISTER under way for {frozen_s:.1f} s" if since_s else "none", True
    )


def in_sync_set(s: Situation) -> Fact:
    """The candidate holds every acknowledged write by the ledger (S3)."""
    members = ", ".join(sorted(s.cluster.sync)) or "nobody"
    return Fact(s.subject in s.cluster.sync, f"sync set: {members}")


def subject_answers(s: Situation) -> Fact:
    """The instance answers its probes now."""
    if s.subject is None:
        return Fact(False, "nobody to ask")
    seen = s.view.instance(s.subject)
    if s.view.is_answering(s.subject):
        return Fact(True, "answers")
    why = seen.failure_text or (seen.failure.value if seen.failure else "no fresh answer")
    return Fact(False, f"{s.subject}: {why}")


def subject_is_ours(s: Situation) -> Fact:
    """The instance carries the cluster's storage UUID (S10)."""
    uuid = s.view.storage_uuid(s.subject) if s.subject else ""
    ok = s.subject is not None and f.is_ours(s.cluster, s.view, s.subject)
    return Fact(ok, f"{uuid or 'unknown'}, the cluster's is {s.cluster.storage_uuid}")


def no_reset_is_open(s: Situation) -> Fact:
    """An instance whose data may be set aside any moment is no candidate (S12)."""
    refused = s.cluster.refusal_of(s.subject) if s.subject else None
    return Fact(refused is None, refused.text if refused else "none")


def nobody_is_safe(s: Situation) -> Fact:
    """No member of the sync set can be reached and used."""
    usable = [i for i in sorted(s.cluster.sync) if s.view.is_answering(i)]
    return Fact(not usable, f"reachable: {', '.join(usable) or 'none'}")


def main_answers_as_main(s: Situation) -> Fact:
    """The appointed main answers as MAIN, with rows read after the last command on it."""
    ok = s.cluster.main is not None and f.rows_are_current(s.view, s.cluster.main)
    return Fact(
        ok, "MAIN, rows current" if ok else "not MAIN, or its rows are not read again yet", True
    )


def gateways_have_cut(s: Situation) -> Fact:
    """Every gateway acknowledged the cut, or has surely closed by itself (S4, S6)."""
    view, seq = s.view, s.cluster.rw_closed_seq
    if view.gateways_read_after < seq:
        return Fact(False, f"gateways not listed after event {seq} yet", True)
    first = view.gateways_first_read_s
    waited_s = view.now_s - first if first is not None else 0.0
    if waited_s < view.policy.gateway_barrier_s:
        # a Lease deleted before our first look would be missing from every list
        return Fact(False, f"watching gateways for {waited_s:.1f} s only", True)
    open_ = f.unfenced_gateways(s.cluster, view)
    expired = sum(f.is_expired(view, g) for g in view.gateways)
    saw = (
        f"waiting for {', '.join(open_)}"
        if open_
        else (f"{len(view.gateways) - expired} acknowledged event {seq}, {expired} expired")
    )
    return Fact(not open_, saw, True)


def drained_if_needed(s: Situation) -> Fact:
    """A planned change that keeps the sync set is drained before anybody is demoted."""
    change = s.cluster.change
    ok = change is not None and (change.is_drained or not change.needs_drain)
    return Fact(ok, "drained" if change and change.is_drained else "nothing to drain", True)


def old_main_is_harmless(s: Situation) -> Fact:
    """The old main is demoted, or the candidate holds everything by STRICT_SYNC: then the old main
    cannot commit without it (S4). A renewal needs "demoted"."""
    proof = fence_proof(s)
    return Fact(proof != "", proof or "the old main may still commit", True)


def fence_proof(s: Situation) -> str:
    """Why the old main cannot acknowledge writes any more; "" while it may."""
    change, view = s.cluster.change, s.view
    if change is None:
        return ""
    if change.old_main is None:
        return "there was no main"
    if view.answers_as(change.old_main, Role.REPLICA):
        return "demoted"
    if change.old_main == change.candidate or view.is_answering(change.old_main):
        return ""
    old = view.instance(change.old_main)
    if old.kubelet_says_gone:
        return "dead"  # a writable comeback meets no gateway: they have cut, and verify anew (S7)
    registration = s.cluster.registration_of(change.candidate)
    if registration is None or not registration.is_joined:
        return ""
    if registration.mode is not Mode.STRICT_SYNC:
        return ""
    seen_otherwise = old.answer is not None and (
        old.answer.role is not Role.MAIN or not _is_fence(old.row(registration.name))
    )
    return "" if seen_otherwise else "complete by STRICT_SYNC"


def _is_fence(row: Row | None) -> bool:
    return row is not None and row.mode is Mode.STRICT_SYNC and row.status in f.COUNTS_AS_PRESENT


def marker_went_through(s: Situation) -> Fact:
    """A marker written after every gateway had cut carried every sync replica."""
    change, main = s.cluster.change, s.main
    marker = main.marker
    names = {r.name for r in s.cluster.registrations if r.is_joined}
    ok = (
        change is not None
        and marker is not None
        and marker.term == s.cluster.term
        and (names <= set(marker.names))
    )
    return Fact(ok, f"carried {', '.join(marker.names)}" if ok and marker else "not yet", True)


def drain_is_overdue(s: Situation) -> Fact:
    """Clients have waited long enough for the marker."""
    waited_s, limit_s = s.view.now_s - s.view.term_since_s, s.view.policy.renewal_deadline_s
    return Fact(waited_s >= limit_s, f"{waited_s:.1f} s of {limit_s:.1f} s", True)


def candidate_is_promoted(s: Situation) -> Fact:
    """Promotion and storage snapshot happened in one incarnation, in this term, and the role was
    read back since on the very same connection (S11)."""
    seen = s.view.instance(s.subject) if s.subject else None
    done, answer = (seen.promotion, seen.answer) if seen else (None, None)
    ok = (
        done is not None
        and answer is not None
        and done.term == s.cluster.term
        and done.incarnation == answer.incarnation
        and answer.role is Role.MAIN
        and answer.asked_at_s >= done.at_s
    )
    return Fact(ok, "MAIN, epoch pinned" if ok else "not read back as MAIN and pinned yet", True)


def outcome_is_settled(s: Situation) -> Fact:
    """No earlier role command to the instance may still be carried out (S9)."""
    unsettled = s.view.instance(s.subject).unsettled if s.subject else None
    return Fact(unsettled is None, "an answer was lost" if unsettled else "settled", True)


def replicas_had_their_time(s: Situation) -> Fact:
    """In a renewal clients wait, up to a deadline, until the replicas are registered again, so that
    no write is acknowledged by one copy alone."""
    change = s.cluster.change
    if change is None or not change.needs_drain:
        return Fact(True, "nobody to wait for")
    promotion = s.view.instance(change.candidate).promotion
    waited_s = s.view.now_s - promotion.at_s if promotion else 0.0
    wanted = [i for i in s.cluster.sync_replicas if s.view.is_answering(i)]
    missing = [i for i in wanted if i not in carried_replicas(s)]
    ok = not missing or waited_s >= s.view.policy.renewal_deadline_s
    return Fact(ok, f"missing after {waited_s:.1f} s: {', '.join(sorted(missing)) or 'none'}", True)


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


def sync_is_unready(s: Situation) -> Fact:
    """The sync replica's row has been unready for longer than its grace."""
    waited_s = s.main.unready_for_s(s.name, s.view.now_s)
    grace_s = s.view.policy.sync_grace_s
    return Fact(
        waited_s >= grace_s, f"{s.name} unready for {waited_s:.1f} s of {grace_s:.1f} s", True
    )


def main_is_alone_in_being_main(s: Situation) -> Fact:
    """A replica is never registered while another instance may be a main that is neither demoted
    nor fenced (S5)."""
    strays = f.stray_mains(s.cluster, s.view)
    return Fact(not strays, f"stray mains: {', '.join(strays) or 'none'}", True)


def replica_is_usable(s: Situation) -> Fact:
    """The replica answers as REPLICA, carries our storage or is empty, and was not refused."""
    assert s.subject is not None
    if not s.view.answers_as(s.subject, Role.REPLICA):
        return Fact(False, "does not answer as REPLICA", True)
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


def durability_is_preferred(s: Situation) -> Fact:
    """Policy: writes go on without a sync replica."""
    ok = s.cluster.durability is Durability.PREFERRED
    return Fact(ok, s.cluster.durability.value)


def reset_is_allowed(s: Situation) -> Fact:
    """Settings allow it, the verdict of the last change of main is none, the last reset of this
    instance is long ago (S12)."""
    assert s.subject is not None
    last_s = s.view.instance(s.subject).reset_at_s
    waited = last_s is None or s.view.now_s - last_s >= s.view.policy.reset_interval_s
    ok = s.view.policy.reset and waited
    return Fact(
        ok,
        f"reset {'on' if s.view.policy.reset else 'off'}, last "
        + ("never" if last_s is None else f"{s.view.now_s - last_s:.0f} s ago"),
    )


def subject_is_expendable(s: Situation) -> Fact:
    """Never the main, never a member of the sync set, and demoted (S12)."""
    assert s.subject is not None
    ok = s.subject not in s.cluster.sync and s.subject != s.cluster.main
    ok = ok and s.view.answers_as(s.subject, Role.REPLICA)
    return Fact(ok, f"sync set: {', '.join(sorted(s.cluster.sync))}")
