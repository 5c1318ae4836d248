"""What might be decided in each phase, in order of urgency: pure, and without the last word.

A proposal names a payload and whom it is about; the guards of its rules decide.
"""

from collections.abc import Callable, Iterator

from attrs import frozen

from statemachine import events as e
from statemachine import facts as f
from statemachine.cluster import Cluster
from statemachine.events import Payload
from statemachine.facts import Situation
from statemachine.guards import (
    carried_replicas,
    drain_is_overdue,
    fence_proof,
    proof_of_sync,
)
from statemachine.ids import Instance, Mode, Phase, Role
from statemachine.renewals import renewals
from statemachine.upkeep import upkeep
from statemachine.view import View


@frozen
class Proposal:
    """Something that might be decided now; the guards of its rules have the last word."""

    payload: Payload
    why: str
    subject: Instance | None = None
    name: str = ""


Proposer = Callable[[Cluster, View], Iterator[Proposal]]


def policy(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The durability of the settings is the one in force."""
    wanted = view.policy.durability
    if cluster.durability_setting is not wanted:
        yield Proposal(e.PolicyChanged(wanted), f"the settings say {wanted.value}")


# -- BOOTSTRAP


def beginning(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """Fresh, adopted, or refused."""
    yield _appointed(view, "fresh cluster: every eligible instance is proven empty")
    mains = [i.instance for i in view.instances if view.answers_as(i.instance, Role.MAIN)]
    if len(mains) == 1:
        rows = f.registrations_found(view, mains[0])
        uuid, generation = view.storage_uuid(mains[0]), f.generation_found(view, mains[0])
        adopted = e.ClusterAdopted(mains[0], uuid, rows, generation)
        yield Proposal(adopted, f"{mains[0]} is the only main: kept as it is", mains[0])
    reason = _ambiguity(view, mains)
    if f"bootstrap_refused: {reason}" not in cluster.noted:
        yield Proposal(e.BootstrapRefused(reason), reason)


def _appointed(view: View, why: str) -> Proposal:
    first = view.policy.eligible[0]
    return Proposal(e.MainAppointed(first, view.storage_uuid(first)), why, first)


def beginning_anew(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The appointed main of a fresh cluster carries another storage now, and nobody could write
    yet: what is still proven empty is appointed like the first time."""
    if cluster.is_fresh and cluster.main and f.lost_its_copy(cluster, view, cluster.main):
        yield _appointed(view, f"{cluster.main} lost its disk before anybody could write")


def _ambiguity(view: View, mains: list[Instance]) -> str:
    seen = ", ".join(
        f"{i.instance} {i.answer.role.value} {'with data' if i.answer.node_count else 'empty'}"
        for i in view.instances
        if i.answer is not None
    )
    what = f"{len(mains)} mains" if len(mains) != 1 else f"main {mains[0]} cannot be adopted"
    return (
        f"{what} ({seen}): make exactly one eligible instance ({', '.join(view.policy.eligible)}) "
        "MAIN, and the others its replicas; then it is adopted"
    )


# -- losing the main


def loss(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The appointed main is not what the ledger says."""
    evidence = f.evidence_against_main(cluster, view)
    if evidence is None or cluster.is_fresh:
        return
    candidate = f.choose_candidate(cluster, view)
    was_silent = evidence.needs_s > 0 or view.instance(cluster.main or Instance("")).fell_silent
    was_behind = not f.was_seen_whole(cluster, view)
    lost = e.MainLost(candidate, evidence.cause, was_silent, int(view.wall_s), was_behind)
    yield Proposal(lost, evidence.cause, candidate)
    if not cluster.is_main_lost:
        why = f"{evidence.cause}; nobody is safe: {_who_must_come_back(cluster, view)}"
        nobody = e.MainLost(None, evidence.cause, was_silent, int(view.wall_s), was_behind)
        yield Proposal(nobody, why, candidate)


def _who_must_come_back(cluster: Cluster, view: View) -> str:
    """Whose return would help; and of those that are there, why they do not."""
    doubtful = (i for i in sorted(cluster.sync) if f.may_be_refilled(cluster, view, i))
    told = "".join(f"; {f.doubt_about(i)}" for i in doubtful)
    return f"{' or '.join(sorted(cluster.sync))} must come back{told}"


def switchover(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The main's pod is being deleted: another member takes over before it stops."""
    if cluster.main is None or not f.is_leaving(view, cluster.main):
        return
    cause = f"the pod of {cluster.main} is being deleted"
    for candidate in sorted(cluster.sync_replicas):
        why = f"{cause}: {candidate} takes over"
        yield Proposal(e.SwitchoverStarted(candidate, cause), why, candidate)


def renewal(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The main needs a new epoch, or its rows have to be cleared without any DROP."""
    for why, needs_drain, lagging in renewals(cluster, view):
        yield Proposal(e.RenewalStarted(why, needs_drain, lagging), why, cluster.main)


# -- FAILOVER


def drain(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The marker went through the cut main."""
    change = cluster.change
    if change is None or not change.needs_drain or change.is_drained:
        return
    yield Proposal(e.Drained(), "cut, and the marker went through", cluster.main)
    cause = "the marker did not go through in time"
    old = change.old_main
    if old is not None and old != change.candidate and view.answers_as(old, Role.MAIN):
        if drain_is_overdue(Situation(cluster, view, old)).ok:
            # a candidate that does not take the marker must not be promoted: the old main stays
            yield Proposal(e.CandidateLost(old, cause), f"{cause}: {old} stays main", old)
        return
    yield Proposal(e.DrainAbandoned(cause), cause, cluster.main)


def fence(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """No acknowledgement can come from the old main."""
    if cluster.change and not cluster.change.fence:
        situation = Situation(cluster, view, cluster.change.candidate)
        proof = fence_proof(situation)
        died = cluster.change.is_planned and proof == "dead"
        was_silent = view.instance(cluster.main or Instance("")).fell_silent
        was_whole = f.was_seen_whole(cluster, view) and not was_silent
        fenced = e.MainFenced(proof, died and not was_whole)
        yield Proposal(fenced, f"fenced: {proof}", cluster.change.candidate)


def promotion(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The candidate is MAIN and pinned."""
    change = cluster.change
    candidate = change.candidate if change else cluster.main
    if candidate is None or (change is None and not cluster.is_fresh):
        return
    if change is not None and not change.fence:
        return
    carried = carried_replicas(Situation(cluster, view, candidate)) if change else frozenset()
    payload = e.MainPromoted(candidate, carried & cluster.sync, verdict(cluster, view.policy.mode))
    yield Proposal(payload, f"{candidate} is main, its epoch is pinned", candidate)


def verdict(cluster: Cluster, mode: Mode = Mode.STRICT_SYNC) -> str:
    """Whether acknowledged writes may be missing on the new main (S13). A main tells its replica
    before its client, but ignores that the telling failed (MEMGRAPH 3.6a): one that was cut off may
    have acknowledged what the replica never got, and one that died while its replica was behind, or
    unwatched. One that died may too, if its link failed between the last look at it and its death;
    that shows when it is back and refused, and the verdict is amended then."""
    change = cluster.change
    if change is not None and change.verdict:
        return change.verdict  # accepted by a person
    if change is None or change.is_drained or change.candidate == change.old_main:
        return "none"
    if mode is Mode.SYNC:
        return "unknown"  # a main goes on without its SYNC replica, and not every version says so
    return "at most 1 transaction a writer" if change.may_leave_writes_behind else "none"


def lost_candidate(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The candidate, or its copy, is gone before it was promoted."""
    change = cluster.change
    cause = _why_gone(cluster, view, change.candidate) if change else ""
    if change is None or not cause:
        return
    others = cluster.sync - {change.candidate}
    usable = sorted(i for i in others if f.is_usable(cluster, view, i))
    for other in usable[:1]:
        yield Proposal(e.CandidateLost(other, cause), cause, other)
    if not usable:
        who = _who_must_come_back(cluster, view)
        yield Proposal(e.CandidateLost(None, cause), f"{cause}; {who}")


def _why_gone(cluster: Cluster, view: View, candidate: Instance) -> str:
    """ "" while it may still become main. One that came back with an empty disk never may (S10)."""
    if f.lost_its_copy(cluster, view, candidate):
        return f"{candidate} lost its copy"
    if f.may_be_refilled(cluster, view, candidate):
        return f.doubt_about(candidate)
    seen = view.instance(candidate)
    reached = any(state == "ok" for _, state in f.other_vantages(view, candidate))
    grace_s = view.policy.candidate_grace_s if reached else view.policy.main_grace_s
    if seen.failing_since_s is None or view.now_s - seen.failing_since_s < grace_s:
        return ""
    return f"{candidate} is gone: {seen.failure_text or 'no answer'}"


# -- DEGRADED and OPERATIONAL


def comeback(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The main without a successor is back as MAIN."""
    if cluster.is_main_lost and cluster.main and view.answers_as(cluster.main, Role.MAIN):
        why = f"{cluster.main} is back as MAIN"
        yield Proposal(e.MainReturned(cluster.main), why, cluster.main)


def joining(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """A registered replica is proved to hold everything."""
    if cluster.is_main_lost:
        return
    for r in cluster.registrations:
        if not r.is_joined and r.mode is view.policy.mode:
            proven = proof_of_sync(Situation(cluster, view, r.instance, r.name), r.name)
            if proven:
                why = f"{r.instance} holds everything: the marker went through"
                yield Proposal(e.SyncJoined(r.instance, r.name), why, r.instance, r.name)


def losing_sync(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """A sync replica has been unready for too long, or leaves; writes wait for it."""
    if cluster.main is None:
        return
    main = view.instance(cluster.main)
    for r in cluster.registrations:
        leaves = f.is_leaving(view, r.instance)
        is_gone = f.lost_its_copy(cluster, view, r.instance)
        if r.is_joined and (leaves or is_gone or main.unready_for_s(r.name, view.now_s) > 0):
            state = "leaves" if leaves else "lost its copy" if is_gone else "is not in sync"
            why = f"{r.instance} {state}"
            yield Proposal(e.SyncLost(r.instance, r.name), why, r.instance, r.name)


def housekeeping(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """Registrations, readers, refused instances."""
    for payload, why, subject, name in upkeep(cluster, view):
        yield Proposal(payload, why, subject, name)


PROPOSERS: dict[Phase, tuple[Proposer, ...]] = {
    Phase.BOOTSTRAP: (policy, beginning),
    Phase.OPERATIONAL: (
        policy,
        loss,
        switchover,
        losing_sync,
        renewal,
        joining,
        housekeeping,
    ),
    Phase.FAILOVER: (drain, fence, promotion, lost_candidate, housekeeping),
    Phase.DEGRADED: (
        policy,
        beginning_anew,
        promotion,
        comeback,
        loss,
        joining,
        renewal,
        housekeeping,
    ),
}
