"""Guards between the loss of a main and the next one: cut, drain, fence, promote."""

from statemachine import facts as f
from statemachine.facts import Situation
from statemachine.guards.base import Fact
from statemachine.guards.redundancy import carried_replicas
from statemachine.ids import Instance, Mode, Role, RowStatus
from statemachine.observations import Row


def gateways_have_cut(s: Situation) -> Fact:
    """Every gateway acknowledged the cut, or has surely closed by itself (S4, S6)."""
    view, seq = s.view, s.cluster.rw_closed_seq
    if view.gateways_read_after < seq:
        return Fact(False, f"gateways not listed after event {seq} yet", True)
    first = view.gateways_watched_since_s
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
    """The old main is demoted, dead, or was given to nobody since an older one was fenced; or the
    candidate holds everything by STRICT_SYNC, and the old main cannot commit without it (S4). A
    renewal needs "demoted"."""
    proof = fence_proof(s)
    hint = "the old main may still commit; is its node dead, delete its pod by force"
    return Fact(proof != "", proof or hint, True)


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
    if s.cluster.is_fenced:
        return "given to nobody since the last fence"  # an attempt of ours that failed
    if change.is_forced and old.failing_since_s is not None:
        return "accepted by a person"  # every gateway has cut; what the old main does is its own
    silent_s = view.now_s - (old.failing_since_s or view.now_s)
    if change.is_planned and silent_s < view.policy.main_grace_s:
        return ""  # it was well a moment ago: it is asked to step down first
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
    """Clients have waited long enough for the marker, or nobody is left who could carry it."""
    if s.main.kubelet_says_gone and not s.view.is_answering(s.main.instance):
        return Fact(True, f"{s.cluster.main} is gone")
    waited_s, limit_s = s.view.now_s - s.view.term_since_s, s.view.policy.renewal_deadline_s
    return Fact(waited_s >= limit_s, f"{waited_s:.1f} s of {limit_s:.1f} s", True)


def roles_are_settled(s: Situation) -> Fact:
    """No earlier role command to the main or to the candidate may still be carried out (S9)."""
    asked = [i for i in (s.cluster.main, s.subject) if i is not None]
    lost = [i for i in asked if s.view.instance(i).unsettled is not None]
    return Fact(not lost, f"an answer of {', '.join(lost)} was lost" if lost else "settled", True)


def subject_stays(s: Situation) -> Fact:
    """The subject's own pod is not being deleted."""
    leaves = s.subject is not None and f.is_leaving(s.view, s.subject)
    return Fact(not leaves, "its pod is being deleted" if leaves else "stays", True)


def subject_is_complete(s: Situation) -> Fact:
    """The main's row for the candidate is attached and not behind by anything that it knows of."""
    registration = s.cluster.registration_of(s.subject) if s.subject else None
    row = s.main.row(registration.name) if registration else None
    ok = row is not None and row.status in (RowStatus.READY, RowStatus.REPLICATING)
    saw = f"{row.status.value}, behind {row.behind}" if row else "no row"
    return Fact(ok and registration is not None and registration.is_joined, saw, True)


def subject_is_of_this_epoch(s: Situation) -> Fact:
    """The candidate has not restarted inside this epoch: promoted, it would be refused by
    everybody (MEMGRAPH L4). The epoch is renewed first, where the settings allow it."""
    restarted = {r.instance for r in f.restarted_members(s.cluster, s.view)}
    ok = s.subject not in restarted or s.view.policy.renewal == "off"
    return Fact(ok, "restarted: renewal first" if s.subject in restarted else "its own", True)


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


def _is_worth_waiting_for(s: Situation, instance: Instance) -> bool:
    is_here = s.view.is_answering(instance) and not f.is_leaving(s.view, instance)
    return is_here and not f.lost_its_copy(s.cluster, s.view, instance)


def replicas_had_their_time(s: Situation) -> Fact:
    """In a renewal clients wait, up to a deadline, until the replicas are registered again, so that
    no write is acknowledged by one copy alone."""
    change = s.cluster.change
    if change is None or not change.needs_drain:
        return Fact(True, "nobody to wait for")
    promotion = s.view.instance(change.candidate).promotion
    waited_s = s.view.now_s - promotion.at_s if promotion else 0.0
    others = s.cluster.sync - {change.candidate}
    missing = [i for i in others if _is_worth_waiting_for(s, i) and i not in carried_replicas(s)]
    ok = not missing or waited_s >= s.view.policy.renewal_deadline_s
    return Fact(ok, f"missing after {waited_s:.1f} s: {', '.join(sorted(missing)) or 'none'}", True)
