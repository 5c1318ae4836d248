"""When the present main gets a new epoch in place: the reasons, in order.

A renewal cures what a restart of a replica leaves behind (MEMGRAPH L4, L5), and clears rows without
any DROP (S8). Each costs clients a moment, so that each has a reason that a person can read.
"""

from collections.abc import Iterator

from statemachine import facts as f
from statemachine.cluster import Cluster
from statemachine.ids import Durability, Instance, Mode, Phase, RowStatus
from statemachine.view import View

Renewal = tuple[str, bool, frozenset[Instance]]
"""why, needs_drain, lagging"""


def renewals(cluster: Cluster, view: View) -> Iterator[Renewal]:
    """Why the epoch should be renewed now; nothing while there is no serving main."""
    if cluster.main is None or cluster.is_fresh or cluster.is_main_lost:
        return
    keeps_copies = bool(cluster.sync_replicas)
    yield from _without_blocking_rows(cluster, view)
    yield from _without_foreign_rows(cluster, view, keeps_copies)
    yield from _with_caught_up(cluster, view, keeps_copies)
    yield from _after_restart(cluster, view)


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
        is_eligible = r.instance in view.policy.eligible  # others are asynchronous for good
        waits = is_eligible and r.instance in cluster.lagging and r.mode is Mode.ASYNC
        if waits and attached and not f.is_leaving(view, r.instance):
            why = f"{r.instance} has caught up: it becomes synchronous"
            yield why, keeps_copies, cluster.lagging - {r.instance}


def _after_restart(cluster: Cluster, view: View) -> Iterator[Renewal]:
    if cluster.phase is not Phase.OPERATIONAL or not _is_renewal_wanted(cluster, view):
        return
    for r in f.restarted_members(cluster, view):
        # one that comes back with an empty disk leaves the sync set instead, without a renewal
        is_back = view.is_answering(r.instance) and f.is_ours(cluster, view, r.instance)
        if is_back and _is_in_sync(cluster, view, r.name):
            why = f"{r.instance} restarted inside this epoch: renewed before it is needed"
            yield why, True, cluster.lagging


def _is_renewal_wanted(cluster: Cluster, view: View) -> bool:
    """Eager: at once. Lazy: right before a planned change of main (F13)."""
    asked = any(r.request.kind == "switchover" for r in view.requests)
    is_needed_now = asked or (cluster.main is not None and f.is_leaving(view, cluster.main))
    how = view.policy.renewal
    return how == "eager" or (how == "lazy" and is_needed_now)


def _blocking_rows(cluster: Cluster, view: View) -> list[str]:
    """Synchronous rows outside of the sync set that have been unready for longer than the grace, or
    whose pod is being deleted. A row that replicates nothing (`{}`, after a failed REGISTER) takes
    no part in commits."""
    assert cluster.main is not None
    main = view.instance(cluster.main)
    synchronous = [
        r
        for r in (main.answer.rows if main.answer else None) or ()
        if r.mode is view.policy.mode and r.status is not RowStatus.ABSENT
    ]
    joined = {r.name for r in cluster.registrations if r.is_joined}
    leaving = {r.name for r in cluster.registrations if f.is_leaving(view, r.instance)}
    return [
        r.name
        for r in synchronous
        if r.name not in joined
        and (
            r.name in leaving or main.unready_for_s(r.name, view.now_s) >= view.policy.sync_grace_s
        )
    ]


def _is_in_sync(cluster: Cluster, view: View, name: str) -> bool:
    row = view.instance(cluster.main).row(name) if cluster.main else None
    return row is not None and row.is_in_sync
