"""evolve(cluster, event) -> cluster. Checks edges, folds, then checks the invariants.

Guards are not asked again: the facts were true then. The same events fold to the same cluster for
ever, so a change in here needs a new version in the codec or must leave old folds as they were.
"""

from collections.abc import Callable
from typing import Any

from statemachine import events as e
from statemachine.cluster import Change, Cluster, Refused
from statemachine.edits import change
from statemachine.events import Event
from statemachine.folds import (
    ASKED,
    closed,
    ledger_archived,
    next_term,
    noted,
    refusal_key,
)
from statemachine.folds_names import OF_NAMES
from statemachine.folds_refused import OF_REFUSED
from statemachine.ids import Durability, Instance, Phase, Seq
from statemachine.invariants import check
from statemachine.machine import IllegalTransition, edge_exists

ANSWERED_MAX = 64  # entries are removed once answered; only the newest can still be seen


def evolve(cluster: Cluster, event: Event) -> Cluster:
    """The cluster after `event`, which is entry `cluster.seq + 1` of the ledger.

    Raises:
        IllegalTransition: the table has no such row. A bug, or a broken history.
        InvariantViolated: a safety rule does not hold afterwards. Open no route; let people look.
    """
    if event.source is not cluster.phase:
        raise IllegalTransition(
            f"{event.trigger} was decided in {event.source.value}, the phase is "
            f"{cluster.phase.value}"
        )
    if not edge_exists(event.trigger, event.source, event.dest):
        raise IllegalTransition(
            f"no rule leads from {event.source.value} to {event.dest.value} by {event.trigger}"
        )
    seq = Seq(cluster.seq + 1)
    after = FOLDS[type(event.payload)](change(cluster, seq=seq), event.payload)
    after = _with_answer(after, getattr(event.payload, "request", ""))
    noted = after.noted if event.dest is cluster.phase else frozenset[str]()
    after = change(after, phase=event.dest, noted=noted)
    check(cluster, event, after)
    return after


def _with_answer(c: Cluster, request: str) -> Cluster:
    """The request that this event answers is not looked at again."""
    return change(c, answered=(*c.answered, request)[-ANSWERED_MAX:]) if request else c


def _leader_elected(c: Cluster, p: e.LeaderElected) -> Cluster:
    return change(c, term=next_term(c), leader=p.leader)


def _main_appointed(c: Cluster, p: e.MainAppointed) -> Cluster:
    term = next_term(c)
    return change(
        c,
        term=term,
        main=p.main,
        main_term=term,
        is_fresh=True,
        rw_open=False,
        rw_closed_seq=c.seq,
        sync=frozenset({p.main}),
        storage_uuid=p.storage_uuid,
    )


def _cluster_adopted(c: Cluster, p: e.ClusterAdopted) -> Cluster:
    term = next_term(c)
    return change(
        c,
        term=term,
        main=p.main,
        main_term=term,
        rw_open=True,
        sync=frozenset({p.main}),
        storage_uuid=p.storage_uuid,
        registrations=p.registrations,
        generation=p.generation,
    )


def _bootstrap_refused(c: Cluster, p: e.BootstrapRefused) -> Cluster:
    return noted(c, f"bootstrap_refused: {p.reason}")


def _decision_refused(c: Cluster, p: e.DecisionRefused) -> Cluster:
    return noted(c, refusal_key(p.trigger, p.candidate, p.guard))


def _sync_joined(c: Cluster, p: e.SyncJoined) -> Cluster:
    return _with_sync(change(c, rw_open=True, owing=c.owing - {p.instance}), c.sync | {p.instance})


def _with_sync(c: Cluster, sync: frozenset[Any]) -> Cluster:
    joined = tuple(
        change(r, is_joined=r.instance in sync and r.instance != c.main) for r in c.registrations
    )
    return change(c, sync=sync, registrations=joined)


def _sync_lost(c: Cluster, p: e.SyncLost) -> Cluster:
    after = _with_sync(c, c.sync - {p.instance})
    alone_and_required = len(after.sync) == 1 and c.durability is Durability.REQUIRED
    return closed(after) if alone_and_required else after


def _main_lost(c: Cluster, p: e.MainLost) -> Cluster:
    lost = change(c, lost_at_s=p.at_s, is_cooldown_lifted=False)
    after = change(closed(lost), term=next_term(c))
    silent = p.was_silent or c.was_main_silent
    if p.candidate is None:
        return change(after, is_main_lost=True, was_main_silent=silent or p.was_behind)
    moved = Change(
        cause=p.cause,
        old_main=c.main,
        candidate=p.candidate,
        was_silent=silent,
        was_behind=p.was_behind,
        registered=c.registered,
    )
    return change(after, change=moved, readers=c.readers - {p.candidate})


def _renewal_started(c: Cluster, p: e.RenewalStarted) -> Cluster:
    assert c.main is not None, "rows that lead here start where there is a main"
    moved = Change(
        cause=p.cause,
        old_main=c.main,
        candidate=c.main,
        is_planned=True,
        needs_drain=p.needs_drain,
        registered=c.registered,
    )
    return change(closed(c), term=next_term(c), change=moved, lagging=p.lagging)


def _switchover_started(c: Cluster, p: e.SwitchoverStarted) -> Cluster:
    moved = Change(
        cause=p.cause,
        old_main=c.main,
        candidate=p.candidate,
        is_planned=True,
        needs_drain=True,
        registered=c.registered,
    )
    readers = c.readers - {p.candidate}
    return change(closed(c), term=next_term(c), change=moved, readers=readers)


def _edit_change(c: Cluster, **edits: Any) -> Cluster:
    if c.change is None:
        raise IllegalTransition("FAILOVER without a change of main under way")
    return change(c, change=change(c.change, **edits))


def _drained(c: Cluster, p: e.Drained) -> Cluster:
    return _edit_change(c, is_drained=True)


def _drain_abandoned(c: Cluster, p: e.DrainAbandoned) -> Cluster:
    return _edit_change(c, needs_drain=False, cause=p.cause)


def _main_fenced(c: Cluster, p: e.MainFenced) -> Cluster:
    # every name dies here: the old main was demoted or is fenced, and a promotion starts with none
    was_behind = p.was_behind or (c.change is not None and c.change.was_behind)
    fenced = _edit_change(c, fence=p.proof, was_behind=was_behind)
    # a person's word on the old main holds for his own attempt
    is_proved = c.is_fenced or not (c.change and c.change.is_forced)
    return change(fenced, registrations=(), epoch_pods=c.unproven_pods, is_fenced=is_proved)


def _candidate_lost(c: Cluster, p: e.CandidateLost) -> Cluster:
    fenced = c.change is not None and bool(c.change.fence)
    names = () if fenced else c.registrations
    c = change(c, sync=_complete(c))
    if p.candidate is None:
        silent = c.change is not None and c.change.may_leave_writes_behind
        owing = c.owing | c.registered if fenced else c.owing  # their names end here
        lost = change(c, is_main_lost=True, was_main_silent=c.was_main_silent or silent)
        return change(lost, term=next_term(c), change=None, registrations=names, owing=owing)
    c = closed(c)  # who reads from the next candidate has to let go of it, too (S14)
    after = change(c, term=next_term(c), readers=c.readers - {p.candidate}, registrations=names)
    return _edit_change(
        after, candidate=p.candidate, needs_drain=False, fence="", cause=p.cause, verdict=""
    )


def _complete(c: Cluster) -> frozenset[Instance]:
    """The sync set without a candidate that a person took for complete, accepting the loss: that
    word holds for his own attempt. A member for good, it would be promoted later by itself, and the
    verdict would say that nothing is missing (S3, S13)."""
    accepted = c.main is not None and c.change is not None and bool(c.change.verdict)
    return c.sync - {c.change.candidate} if accepted and c.change else c.sync


def _main_promoted(c: Cluster, p: e.MainPromoted) -> Cluster:
    sync = p.sync | {p.main}
    owing = (c.owing if _is_drained(c) else c.owing | _known(c)) - sync
    alone_and_required = len(sync) == 1 and c.durability is Durability.REQUIRED
    after = change(
        c,
        main=p.main,
        main_term=c.term,
        is_fresh=False,
        is_main_lost=False,
        was_main_silent=False,
        is_fenced=False,
        rw_open=not alone_and_required,
        readers=c.readers - {p.main},
        change=None,
        epoch_pods=tuple(pod for pod in c.epoch_pods if pod[0] != p.main),
        refused=_still_refused(c, p.main),
        verdict=c.verdict if _is_drained(c) and (c.refused or owing) else p.verdict,
        owing=owing,
        is_main_drained=_is_drained(c) and (c.is_main_drained or not c.refused),
    )
    return _with_sync(after, sync)


def _is_drained(c: Cluster) -> bool:
    """Whether this change loses nothing. What an earlier one may have lost stays said for as long
    as somebody is refused, or was not seen again, who may hold it."""
    moved = c.change
    return moved is None or moved.is_drained or moved.candidate == moved.old_main


def _known(c: Cluster) -> frozenset[Instance]:
    """Everybody who had data of this cluster when its main was changed, also who was away then."""
    old = c.change.old_main if c.change else None
    refused = {r.instance for r in c.refused}
    owners = c.sync | c.readers | c.lagging | c.registered | refused
    return owners | ({old} if old else frozenset())


def _still_refused(c: Cluster, main: Instance) -> tuple[Refused, ...]:
    """Another main may accept what the last one did not; the same one, renewed, would refuse it
    again. Orders of an earlier term are void either way (S12)."""
    if main != c.main:
        return ()
    return tuple(change(r, term=c.term, token=0) for r in c.refused)


def _main_returned(c: Cluster, p: e.MainReturned) -> Cluster:
    term = next_term(c)
    alone_and_required = len(c.sync) == 1 and c.durability is Durability.REQUIRED
    back = change(c, term=term, main_term=term, is_main_lost=False, was_main_silent=False)
    return change(back, is_fenced=False, rw_open=not alone_and_required)


def _readers_changed(c: Cluster, p: e.ReadersChanged) -> Cluster:
    return change(c, readers=p.readers, owing=c.owing - p.readers)


def _policy_changed(c: Cluster, p: e.PolicyChanged) -> Cluster:
    setting = c.durability_setting if p.request else p.durability
    after = change(c, durability=p.durability, durability_setting=setting)
    if c.phase is not Phase.DEGRADED or c.is_main_lost or c.is_fresh or len(c.sync) > 1:
        return after
    return change(after, rw_open=True) if p.durability is Durability.PREFERRED else closed(after)


FOLDS: dict[type, Callable[[Cluster, Any], Cluster]] = {
    e.LeaderElected: _leader_elected,
    e.MainAppointed: _main_appointed,
    e.ClusterAdopted: _cluster_adopted,
    e.BootstrapRefused: _bootstrap_refused,
    e.DecisionRefused: _decision_refused,
    **OF_NAMES,
    e.SyncJoined: _sync_joined,
    e.SyncLost: _sync_lost,
    e.MainLost: _main_lost,
    e.RenewalStarted: _renewal_started,
    e.SwitchoverStarted: _switchover_started,
    **ASKED,
    e.Drained: _drained,
    e.DrainAbandoned: _drain_abandoned,
    e.MainFenced: _main_fenced,
    e.CandidateLost: _candidate_lost,
    e.MainPromoted: _main_promoted,
    e.MainReturned: _main_returned,
    e.ReadersChanged: _readers_changed,
    **OF_REFUSED,
    e.PolicyChanged: _policy_changed,
    e.LedgerArchived: ledger_archived,
}
