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
from statemachine.guards import carried_replicas, fence_proof, proof_of_sync
from statemachine.ids import Durability, Instance, Mode, Phase, Role, RowStatus
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


def barrier(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """A new reign begins with its own event."""
    if cluster.leader != view.identity:
        why = f"{view.identity} leads now"
        yield Proposal(e.LeaderElected(view.identity), why)


def policy(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The durability of the settings is the one in force."""
    wanted = view.policy.durability
    if cluster.durability is not wanted:
        yield Proposal(e.PolicyChanged(wanted), f"the settings say {wanted.value}")


# -- BOOTSTRAP


def beginning(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """Fresh, adopted, or refused."""
    first = view.policy.eligible[0]
    uuid = view.storage_uuid(first)
    why = "fresh cluster: every eligible instance is proven empty"
    yield Proposal(e.MainAppointed(first, uuid), why, first)
    mains = [i.instance for i in view.instances if view.answers_as(i.instance, Role.MAIN)]
    if len(mains) == 1:
        rows = f.registrations_found(view, mains[0])
        adopted = e.ClusterAdopted(mains[0], view.storage_uuid(mains[0]), rows)
        yield Proposal(adopted, f"{mains[0]} is the only main: kept as it is", mains[0])
    reason = _ambiguity(view, mains)
    if f"bootstrap_refused: {reason}" not in cluster.noted:
        yield Proposal(e.BootstrapRefused(reason), reason)


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
    was_silent = evidence.needs_s > 0
    lost = e.MainLost(candidate, evidence.cause, was_silent)
    yield Proposal(lost, evidence.cause, candidate)
    if cluster.phase is Phase.DEGRADED and not cluster.is_main_lost:
        why = f"{evidence.cause}; nobody else is safe: {cluster.main} must come back"
        yield Proposal(e.MainLost(None, evidence.cause, was_silent), why, candidate)


def renewal(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The main needs a new epoch, or its rows have to be cleared without any DROP."""
    if cluster.main is None or cluster.is_fresh or cluster.is_main_lost:
        return
    keeps_copies = bool(cluster.sync_replicas)
    for why, needs_drain, lagging in (
        *_without_blocking_rows(cluster, view),
        *_without_foreign_rows(cluster, view, keeps_copies),
        *_with_caught_up(cluster, view, keeps_copies),
        *_after_restart(cluster, view),
    ):
        payload = e.RenewalStarted(why, needs_drain, lagging)
        yield Proposal(payload, why, cluster.main)


Renewal = tuple[str, bool, frozenset[Instance]]
"""why, needs_drain, lagging"""


def _without_blocking_rows(cluster: Cluster, view: View) -> Iterator[Renewal]:
    blocking = _blocking_rows(cluster, view)
    if blocking and cluster.durability is Durability.PREFERRED:
        owners = {r.instance for r in cluster.registrations if r.name in blocking}
        why = f"{', '.join(blocking)} blocks writes and is not in the sync set"
        yield why, False, cluster.lagging | owners


def _without_foreign_rows(cluster: Cluster, view: View, keeps_copies: bool) -> Iterator[Renewal]:
    foreign = f.foreign_rows(cluster, view)
    if foreign:
        why = f"{', '.join(foreign)} is not of the ledger: cleared without any DROP"
        yield why, keeps_copies, cluster.lagging


def _with_caught_up(cluster: Cluster, view: View, keeps_copies: bool) -> Iterator[Renewal]:
    """Who was registered as ASYNC to catch up, and did, becomes synchronous."""
    if view.now_s - view.term_since_s < view.policy.catch_up_s:
        return  # not again and again, should it turn out to be too slow
    main = view.instance(cluster.main) if cluster.main else None
    for r in cluster.registrations:
        row = main.row(r.name) if main else None
        attached = row is not None and row.status in (RowStatus.READY, RowStatus.REPLICATING)
        if r.instance in cluster.lagging and r.mode is Mode.ASYNC and attached:
            why = f"{r.instance} has caught up: it becomes synchronous"
            yield why, keeps_copies, cluster.lagging - {r.instance}


def _after_restart(cluster: Cluster, view: View) -> Iterator[Renewal]:
    if view.policy.renewal != "eager" or cluster.phase is not Phase.OPERATIONAL:
        return
    for r in f.restarted_members(cluster, view):
        if _is_in_sync(cluster, view, r.name):
            why = f"{r.instance} restarted inside this epoch: renewed before it is needed"
            yield why, True, cluster.lagging


def _blocking_rows(cluster: Cluster, view: View) -> list[str]:
    """Synchronous rows outside of the sync set that have been unready for longer than the grace. A
    row that replicates nothing (`{}`, after a failed REGISTER) takes no part in commits."""
    assert cluster.main is not None
    main = view.instance(cluster.main)
    synchronous = [
        r
        for r in (main.answer.rows if main.answer else None) or ()
        if r.mode is view.policy.mode and r.status is not RowStatus.ABSENT
    ]
    joined = {r.name for r in cluster.registrations if r.is_joined}
    return [
        r.name
        for r in synchronous
        if r.name not in joined
        and main.unready_for_s(r.name, view.now_s) >= view.policy.sync_grace_s
    ]


def _is_in_sync(cluster: Cluster, view: View, name: str) -> bool:
    row = view.instance(cluster.main).row(name) if cluster.main else None
    return row is not None and row.is_in_sync


# -- FAILOVER


def drain(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The marker went through the cut main."""
    if cluster.change and cluster.change.needs_drain and not cluster.change.is_drained:
        yield Proposal(e.Drained(), "cut, and the marker went through", cluster.main)
        cause = "the marker did not go through in time"
        yield Proposal(e.DrainAbandoned(cause), cause, cluster.main)


def fence(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """No acknowledgement can come from the old main."""
    if cluster.change and not cluster.change.fence:
        situation = Situation(cluster, view, cluster.change.candidate)
        proof = fence_proof(situation)
        yield Proposal(e.MainFenced(proof), f"fenced: {proof}", cluster.change.candidate)


def promotion(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The candidate is MAIN and pinned."""
    change = cluster.change
    candidate = change.candidate if change else cluster.main
    if candidate is None or (change is None and not cluster.is_fresh):
        return
    if change is not None and not change.fence:
        return
    carried = carried_replicas(Situation(cluster, view, candidate)) if change else frozenset()
    payload = e.MainPromoted(candidate, carried & cluster.sync, verdict(cluster))
    yield Proposal(payload, f"{candidate} is main, its epoch is pinned", candidate)


def verdict(cluster: Cluster) -> str:
    """Whether acknowledged writes may be missing on the new main (S13). A main that died cannot
    have acknowledged what its sync replica did not hold: it tells the replica before the client.
    One that was cut off may have, for it ignores that the telling failed (MEMGRAPH 3.6a)."""
    change = cluster.change
    if change is None or change.is_drained or change.candidate == change.old_main:
        return "none"
    return "at most 1 transaction a writer" if change.was_silent else "none"


def lost_candidate(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """The candidate is gone before it was promoted."""
    change = cluster.change
    if change is None:
        return
    seen = view.instance(change.candidate)
    since_s = seen.failing_since_s
    if since_s is None or view.now_s - since_s < view.policy.main_grace_s:
        return
    others = cluster.sync - {change.candidate}
    usable = sorted(i for i in others if view.is_answering(i) and f.is_ours(cluster, view, i))
    cause = f"{change.candidate} is gone: {seen.failure_text or 'no answer'}"
    for other in usable[:1] or sorted(others)[:1]:
        yield Proposal(e.CandidateLost(other, cause), cause, other)


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
    """A sync replica has been unready for too long; writes wait for it."""
    if cluster.main is None:
        return
    main = view.instance(cluster.main)
    for r in cluster.registrations:
        if r.is_joined and main.unready_for_s(r.name, view.now_s) > 0:
            why = f"{r.instance} is not in sync"
            yield Proposal(e.SyncLost(r.instance, r.name), why, r.instance, r.name)


def housekeeping(cluster: Cluster, view: View) -> Iterator[Proposal]:
    """Registrations, readers, refused instances."""
    for payload, why, subject, name in upkeep(cluster, view):
        yield Proposal(payload, why, subject, name)


PROPOSERS: dict[Phase, tuple[Proposer, ...]] = {
    Phase.BOOTSTRAP: (barrier, policy, beginning),
    Phase.OPERATIONAL: (barrier, policy, loss, losing_sync, renewal, joining, housekeeping),
    Phase.FAILOVER: (barrier, drain, fence, promotion, lost_candidate, housekeeping),
    Phase.DEGRADED: (
        barrier,
        policy,
        promotion,
        comeback,
        loss,
        joining,
        renewal,
        housekeeping,
    ),
}
